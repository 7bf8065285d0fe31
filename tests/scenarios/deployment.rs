//! What servers work on: a directory, or Kafka, S3 and DynamoDB.

use std::path::PathBuf;
use std::sync::Mutex;

use freshet_testkit::{Kafka, MiniStack, SeaweedFs, free_port, random_name};
use tempfile::TempDir;

use crate::client::Client;
use crate::process::{Launch, Said};
use crate::server::Server;

/// The tenant of a server whose user names none.
pub(crate) const TENANT: &str = "default";

/// Both shapes that a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platform {
    /// Everything in a data directory.
    Embedded,
    /// Kafka, S3 and DynamoDB.
    Servers,
}

/// Where Kafka, S3 and DynamoDB are.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) bootstrap_servers: String,
    pub(crate) s3_endpoint: String,
    pub(crate) bucket: String,
    /// SeaweedFS's; MiniStack takes any.
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) dynamodb_endpoint: String,
}

impl Addresses {
    /// Of these servers, with a new bucket.
    pub(crate) async fn of(kafka: &Kafka, seaweedfs: &SeaweedFs, ministack: &MiniStack) -> Self {
        let bucket = random_name("bucket");
        seaweedfs.create_bucket(&bucket).await.unwrap();
        Self {
            bootstrap_servers: kafka.bootstrap_servers(),
            s3_endpoint: seaweedfs.endpoint(),
            bucket,
            access_key: seaweedfs.access_key().to_owned(),
            secret_key: seaweedfs.secret_key().to_owned(),
            dynamodb_endpoint: ministack.endpoint(),
        }
    }

    /// Of the servers that all tests share.
    pub(crate) async fn shared() -> Self {
        let kafka = Kafka::shared().await.unwrap();
        let seaweedfs = SeaweedFs::shared().await.unwrap();
        let ministack = MiniStack::shared().await.unwrap();
        Self::of(kafka, seaweedfs, ministack).await
    }
}

/// Where servers of one installation keep everything, in names that no other test uses. Gone when dropped.
pub(crate) struct Deployment {
    directory: TempDir,
    environment: Vec<(String, String)>,
    addresses: Option<Addresses>,
    /// What no log may hold.
    secrets: Mutex<Vec<String>>,
}

impl Deployment {
    /// A new one on a platform.
    pub(crate) async fn new(platform: Platform) -> Self {
        match platform {
            Platform::Embedded => Self::embedded(),
            Platform::Servers => Self::on(Addresses::shared().await),
        }
    }

    /// A new one in a directory.
    pub(crate) fn embedded() -> Self {
        let directory = tempfile::Builder::new().prefix("freshet-scenario-").tempdir().unwrap();
        Self { directory, environment: Vec::new(), addresses: None, secrets: Mutex::default() }
    }

    /// A new one on these servers.
    pub(crate) fn on(addresses: Addresses) -> Self {
        let mut deployment = Self::embedded();
        let key_file = deployment.directory.path().join("signing-key.pem").display().to_string();
        let files = format!("s3://{}/{}", addresses.bucket, random_name("prefix"));
        deployment.environment = [
            ("FRESHET_QUEUE", "kafka".to_owned()),
            ("FRESHET_KAFKA_BOOTSTRAP_SERVERS", addresses.bootstrap_servers.clone()),
            ("FRESHET_KAFKA_CREATE_TOPIC", "1".to_owned()),
            ("FRESHET_TOPIC", random_name("records")),
            ("FRESHET_GROUP", random_name("writers")),
            ("FRESHET_FILES", files),
            ("FRESHET_S3_ENDPOINT", addresses.s3_endpoint.clone()),
            ("FRESHET_STORE", "dynamodb".to_owned()),
            ("FRESHET_DYNAMODB_ENDPOINT", addresses.dynamodb_endpoint.clone()),
            ("FRESHET_DYNAMODB_TABLE", random_name("items")),
            ("FRESHET_DYNAMODB_CREATE_TABLE", "true".to_owned()),
            // Several processes sign with one key.
            ("FRESHET_SIGNING_KEY_FILE", key_file),
            ("AWS_ACCESS_KEY_ID", addresses.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", addresses.secret_key.clone()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        deployment.addresses = Some(addresses);
        deployment
    }

    /// A server of it, not started yet. Its data directory has this name.
    pub(crate) fn server(&self, name: &str) -> Server {
        Server::new(self.directory.path().join(name), free_port().unwrap(), self.environment.clone())
    }

    /// A running server of it.
    pub(crate) async fn start(&self) -> Server {
        let mut server = self.server("data");
        server.start().await;
        server
    }

    /// A client of a server with its admin's token.
    pub(crate) async fn client(&self, server: &Server) -> Client {
        let client = Client::of_admin(server.url(), server.data()).await;
        self.keep_secret(&client.token);
        client
    }

    /// A directory for what a test needs beside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a command against the server whose data directory is `data`.
    pub(crate) async fn freshet(&self, arguments: &[&str]) -> Said {
        self.launch(arguments).run().await
    }

    /// How that is run.
    pub(crate) fn launch(&self, arguments: &[&str]) -> Launch {
        let data = self.path("data").display().to_string();
        let arguments = arguments.iter().copied().chain(["--data", &data]).map(str::to_owned).collect();
        Launch { arguments, environment: Vec::new(), largest_file_kib: None }
    }

    /// Where another engine finds a table, and with which options.
    pub(crate) fn table_place(&self, table: &str) -> (String, String) {
        let options: serde_json::Map<_, _> =
            self.files_environment().into_iter().map(|(name, value)| (name, value.into())).collect();
        (self.place(&format!("tables/{TENANT}/{table}")), serde_json::Value::from(options).to_string())
    }

    /// Where others put an external table for it to be found at a location among the tenant's own.
    pub(crate) fn external_place(&self, location: &str) -> String {
        self.place(&format!("external/{TENANT}/{location}"))
    }

    /// What others need in their environment to reach its files.
    pub(crate) fn files_environment(&self) -> Vec<(String, String)> {
        let Some(addresses) = &self.addresses else { return Vec::new() };
        [
            ("AWS_ENDPOINT_URL", addresses.s3_endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", &addresses.access_key),
            ("AWS_SECRET_ACCESS_KEY", &addresses.secret_key),
            ("AWS_REGION", "us-east-1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// A path in its files.
    fn place(&self, path: &str) -> String {
        let files = self.environment.iter().find(|(name, _)| name == "FRESHET_FILES").map(|(_, value)| value);
        files.map_or_else(|| self.path("data/files").join(path).display().to_string(), |root| format!("{root}/{path}"))
    }

    /// Remembers something that no log may hold.
    pub(crate) fn keep_secret(&self, secret: &str) {
        self.secrets.lock().unwrap().push(secret.to_owned());
    }

    /// Stops servers as their users do, and looks through the logs of all that ran for secrets.
    pub(crate) async fn finish(self, servers: impl IntoIterator<Item = Server>) {
        for mut server in servers {
            server.stop().await;
            self.keep_secrets_of(&server);
            let log = server.log();
            for secret in self.secrets.lock().unwrap().iter() {
                assert!(!log.contains(secret), "the log holds a secret: {secret}");
            }
        }
    }

    fn keep_secrets_of(&self, server: &Server) {
        if let Ok(text) = std::fs::read(server.data().join(format!("admin-{TENANT}.json"))) {
            let credentials: serde_json::Value = serde_json::from_slice(&text).unwrap();
            self.keep_secret(credentials["client_secret"].as_str().unwrap());
        }
        let keys = [self.path("signing-key.pem"), server.data().join("signing-key.pem")];
        for pem in keys.iter().filter_map(|path| std::fs::read_to_string(path).ok()) {
            pem.lines().filter(|line| !line.starts_with('-')).for_each(|line| self.keep_secret(line));
        }
        if let Some(addresses) = &self.addresses {
            self.keep_secret(&addresses.secret_key);
        }
    }
}
