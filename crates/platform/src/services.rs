//! What handlers and jobs work with, built from the settings.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};
use freshet_access::{Access, SigningKey, SigningKeyError};
use freshet_catalog::Catalog;
use freshet_model::{Location, Network, Place};
use freshet_queue::{EmbeddedQueue, EmbeddedSettings, KafkaQueue, KafkaSettings, Queue, QueueError, TopicCreation};
use freshet_store::{DynamoSettings, DynamoStore, RedbStore, Store, StoreError};
use object_store::ObjectStore;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::signer::Signer;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::credentials::ChainCredentials;
use crate::files::DurableDirectory;
use crate::links::PrefixSigner;
use crate::{
    Clock, FilesSettings, KafkaConnection, KeySettings, QueueSettings, Secrets, Settings, StoreSettings, write_private,
};

/// Why the services could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory can't be made.
    #[error("the data directory {} can't be made", .path.display())]
    Data {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The store can't be opened.
    #[error("the store can't be opened")]
    Store(#[from] StoreError),
    /// The queue can't be opened.
    #[error("the queue at {place} can't be opened")]
    Queue {
        /// Its file, or its brokers.
        place: String,
        /// Why.
        #[source]
        source: QueueError,
    },
    /// The files can't be opened.
    #[error("the files can't be opened")]
    Files(#[from] object_store::Error),
    /// The place of the files is no URL.
    #[error("{0:?} is not a place for files")]
    Root(String),
    /// The signing key can't be read or made.
    #[error("the signing key can't be used")]
    SigningKey(#[from] SigningKeyError),
    /// The file of the signing key can't be read or written.
    #[error("the signing key {} can't be read or made", .path.display())]
    SigningKeyFile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What handlers work with that need neither the queue nor files: they start without either.
#[derive(Debug)]
pub struct StoreServices {
    /// Definitions, keys, progress, profiles.
    pub store: Arc<dyn Store>,
    /// The definitions.
    pub catalog: Arc<Catalog>,
    /// Keys and tokens.
    pub access: Arc<Access>,
    /// The time.
    pub clock: Clock,
}

impl StoreServices {
    /// Opens the store that the settings name, and what is kept in it.
    ///
    /// # Errors
    /// As [`Services::open`].
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        make_data_directory(settings)?;
        Self::open_with(settings, &aws(settings).await).await
    }

    async fn open_with(settings: &Settings, aws: &SdkConfig) -> Result<Self, OpenError> {
        let store = open_store(&settings.store, aws).await?;
        let catalog = Arc::new(Catalog::new(Arc::clone(&store)));
        let signing_key = signing_key(&settings.signing_key)?;
        let access = Arc::new(Access::new(Arc::clone(&store), Arc::clone(&catalog), signing_key));
        Ok(Self { store, catalog, access, clock: Clock::system() })
    }
}

/// Prefixes below which external tables may lie, or activations write, each with the files of its bucket, or of this machine, from their root on.
pub type ExternalRoots = Vec<(Location, Arc<dyn ObjectStore>)>;

/// What activations work with besides.
#[derive(Debug)]
pub struct ActivationServices {
    /// Where they may write files besides tenants' own output files.
    pub outputs: ExternalRoots,
    /// Networks that webhooks may reach though they are not public.
    pub networks: Arc<[Network]>,
    /// Tenants' secrets.
    pub secrets: Secrets,
}

/// What handlers work with that read tables and need no queue: they start without one.
#[derive(Debug)]
pub struct FileServices {
    /// Definitions, keys, progress.
    pub store: Arc<dyn Store>,
    /// Tables' files.
    pub files: Arc<dyn ObjectStore>,
    /// Makes links to single files, good for a while; none where the files lie in a directory.
    pub signer: Option<Arc<dyn Signer>>,
    /// Where the files' root lies, for people and other engines: `file:///…` or `s3://…`.
    pub root: Url,
    /// Where external tables may lie besides.
    pub external: ExternalRoots,
    /// What activations work with besides.
    pub activations: ActivationServices,
    /// The definitions.
    pub catalog: Arc<Catalog>,
    /// Keys and tokens.
    pub access: Arc<Access>,
    /// The time.
    pub clock: Clock,
}

impl FileServices {
    /// Opens the store and the files that the settings name.
    ///
    /// # Errors
    /// As [`Services::open`].
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        make_data_directory(settings)?;
        let aws = aws(settings).await;
        let StoreServices { store, catalog, access, clock } = StoreServices::open_with(settings, &aws).await?;
        let Files { store: files, signer, root } = open_files(settings, &aws)?;
        let external = open_external(settings, &aws)?;
        let activations = ActivationServices {
            outputs: open_outputs(settings, &aws)?,
            networks: settings.webhook_networks.clone().into(),
            secrets: Secrets::new(settings.secrets.clone()),
        };
        Ok(Self { store, files, signer, root, external, activations, catalog, access, clock })
    }
}

/// Tables' files alone: what works on tables needs neither the store nor the queue, which another process may hold.
#[derive(Debug)]
pub struct TableFiles {
    /// The files.
    pub files: Arc<dyn ObjectStore>,
    /// Where their root lies.
    pub root: Url,
}

impl TableFiles {
    /// Opens the files that the settings name.
    ///
    /// # Errors
    /// They can't be opened.
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        let aws = aws(settings).await;
        let Files { store: files, root, .. } = open_files(settings, &aws)?;
        Ok(Self { files, root })
    }
}

/// What handlers and jobs work with.
#[derive(Debug)]
pub struct Services {
    /// The durable log of records.
    pub queue: Arc<dyn Queue>,
    /// All else.
    pub others: FileServices,
}

impl Deref for Services {
    type Target = FileServices;

    fn deref(&self) -> &FileServices {
        &self.others
    }
}

impl Services {
    /// Opens everything that the settings name.
    ///
    /// # Errors
    /// Something can't be opened; the error says what, and what would be right.
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        let others = FileServices::open(settings).await?;
        let queue = open_queue(settings, &others.clock).await?;
        Ok(Self { queue, others })
    }
}

async fn aws(settings: &Settings) -> SdkConfig {
    let is_in_s3 = |location: &Location| matches!(location.place(), Place::S3 { .. });
    let on_aws = matches!(settings.store, StoreSettings::DynamoDb { .. })
        || matches!(settings.files, FilesSettings::S3 { .. })
        || settings.external.iter().chain(&settings.outputs).any(is_in_s3);
    if on_aws {
        aws_config::defaults(BehaviorVersion::latest()).load().await
    } else {
        // One process on a laptop asks no profile, container or instance for credentials.
        SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build()
    }
}

fn make_data_directory(settings: &Settings) -> Result<(), OpenError> {
    use std::os::unix::fs::DirBuilderExt as _;

    let path = settings.data.clone();
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
    made.map_err(|source| OpenError::Data { path, source })
}

async fn open_store(settings: &StoreSettings, aws: &SdkConfig) -> Result<Arc<dyn Store>, OpenError> {
    match settings {
        StoreSettings::Redb(path) => Ok(Arc::new(RedbStore::open(path)?)),
        StoreSettings::DynamoDb { table, endpoint, create } => {
            let store = DynamoStore::new(aws, DynamoSettings { table: table.clone(), endpoint: endpoint.clone() });
            if *create {
                store.create_table().await?;
            }
            Ok(Arc::new(store))
        }
    }
}

async fn open_queue(settings: &Settings, clock: &Clock) -> Result<Arc<dyn Queue>, OpenError> {
    match &settings.queue {
        QueueSettings::Embedded { path, partitions, retention } => {
            let clock = clock.clone();
            let queue = EmbeddedQueue::open(EmbeddedSettings {
                path: path.clone(),
                topic: settings.topic.clone(),
                partitions: *partitions,
                retention: *retention,
                clock: Arc::new(move || clock.now()),
            });
            let place = path.display().to_string();
            Ok(Arc::new(queue.await.map_err(|source| OpenError::Queue { place, source })?))
        }
        QueueSettings::Kafka(connection) => {
            let place = connection.bootstrap_servers.clone();
            let queue = KafkaQueue::connect(kafka(connection, &settings.topic)).await;
            Ok(Arc::new(queue.map_err(|source| OpenError::Queue { place, source })?))
        }
    }
}

fn kafka(connection: &KafkaConnection, topic: &str) -> KafkaSettings {
    let plain = [
        ("security.protocol", connection.security_protocol.clone()),
        ("sasl.mechanism", connection.sasl_mechanism.clone()),
        ("sasl.username", connection.sasl_username.clone()),
        ("ssl.ca.location", connection.ssl_ca_file.as_ref().map(|path| path.display().to_string())),
    ];
    let mut properties: BTreeMap<String, SecretString> =
        plain.into_iter().filter_map(|(name, value)| Some((name.to_owned(), SecretString::from(value?)))).collect();
    if let Some(password) = &connection.sasl_password {
        properties.insert("sasl.password".to_owned(), password.clone());
    }
    let create_topic = connection.create_topic.map(|(partitions, replicas)| TopicCreation {
        partitions,
        replication: u8::try_from(replicas).unwrap_or(u8::MAX),
    });
    KafkaSettings {
        bootstrap_servers: connection.bootstrap_servers.clone(),
        topic: topic.to_owned(),
        create_topic,
        properties,
    }
}

struct Files {
    store: Arc<dyn ObjectStore>,
    signer: Option<Arc<dyn Signer>>,
    root: Url,
}

fn open_files(settings: &Settings, aws: &SdkConfig) -> Result<Files, OpenError> {
    match &settings.files {
        FilesSettings::Directory(directory) => {
            let files = DurableDirectory::open(directory)?;
            Ok(Files { store: Arc::new(files), signer: None, root: directory_url(directory)? })
        }
        FilesSettings::S3 { bucket, prefix } => {
            let files = bucket_files(bucket, settings.s3_endpoint.as_ref(), aws)?;
            let place = format!("s3://{bucket}/{prefix}");
            let root = Url::parse(&place).map_err(|_| OpenError::Root(place))?;
            let signer: Arc<dyn Signer> = Arc::new(PrefixSigner::new(files.clone(), prefix.as_str()));
            let store: Arc<dyn ObjectStore> = match prefix.as_str() {
                "" => Arc::new(files),
                prefix => Arc::new(PrefixStore::new(files, prefix)),
            };
            Ok(Files { store, signer: Some(signer), root })
        }
    }
}

/// A bucket, from its root on.
fn bucket_files(bucket: &str, endpoint: Option<&Url>, aws: &SdkConfig) -> Result<AmazonS3, OpenError> {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(aws.region().map_or("us-east-1", |region| region.as_ref()))
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    if let Some(credentials) = aws.credentials_provider() {
        builder = builder.with_credentials(Arc::new(ChainCredentials(credentials)));
    }
    if let Some(endpoint) = endpoint {
        builder = builder
            .with_endpoint(endpoint.as_str().trim_end_matches('/'))
            .with_allow_http(endpoint.scheme() == "http")
            .with_virtual_hosted_style_request(false);
    }
    Ok(builder.build()?)
}

/// The files that external tables may be read from besides the deployment's own.
fn open_external(settings: &Settings, aws: &SdkConfig) -> Result<ExternalRoots, OpenError> {
    let mut roots = Vec::new();
    for location in &settings.external {
        let files: Arc<dyn ObjectStore> = match location.place() {
            Place::S3 { bucket, .. } => Arc::new(bucket_files(bucket, settings.s3_endpoint.as_ref(), aws)?),
            Place::File { .. } | Place::Own { .. } => Arc::new(LocalFileSystem::new()),
        };
        roots.push((location.clone(), files));
    }
    Ok(roots)
}

/// The files that activations may write besides.
fn open_outputs(settings: &Settings, aws: &SdkConfig) -> Result<ExternalRoots, OpenError> {
    let mut roots = Vec::new();
    for location in &settings.outputs {
        let files: Arc<dyn ObjectStore> = match location.place() {
            Place::S3 { bucket, .. } => Arc::new(bucket_files(bucket, settings.s3_endpoint.as_ref(), aws)?),
            Place::File { .. } | Place::Own { .. } => Arc::new(DurableDirectory::open(Path::new("/"))?),
        };
        roots.push((location.clone(), files));
    }
    Ok(roots)
}

fn directory_url(directory: &Path) -> Result<Url, OpenError> {
    let shown = directory.display().to_string();
    let absolute = fs::canonicalize(directory).map_err(|_| OpenError::Root(shown.clone()))?;
    Url::from_directory_path(absolute).map_err(|()| OpenError::Root(shown))
}

fn signing_key(settings: &KeySettings) -> Result<SigningKey, OpenError> {
    let path = match settings {
        KeySettings::Pem(pem) => return Ok(SigningKey::from_pem(pem)?),
        KeySettings::File(path) => path,
    };
    let file_error = |source| OpenError::SigningKeyFile { path: path.clone(), source };
    if !path.exists() {
        let made = SigningKey::generate()?.to_pem();
        match write_private(path, made.expose_secret().as_bytes()) {
            // Another process that starts now has made it.
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {}
            written => written.map_err(file_error)?,
        }
    }
    let pem = fs::read_to_string(path).map_err(file_error)?;
    Ok(SigningKey::from_pem(&SecretString::from(pem))?)
}
