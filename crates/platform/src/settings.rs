//! The environment, read once into types.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use freshet_model::{Location, Network, Place, did_you_mean};
use secrecy::SecretString;
use url::Url;

/// Everything that is wrong with the environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsError(pub Vec<String>);

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json"),
        }
    }
}

/// How to reach Kafka.
#[derive(Debug, Clone)]
pub struct KafkaConnection {
    /// `host:port`, several separated by commas.
    pub bootstrap_servers: String,
    /// Partitions and replicas of a topic to be made where it is missing; none: a missing topic is refused.
    pub create_topic: Option<(u32, u32)>,
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    pub security_protocol: Option<String>,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub sasl_mechanism: Option<String>,
    /// The user.
    pub sasl_username: Option<String>,
    /// The password.
    pub sasl_password: Option<SecretString>,
    /// A file of certificate authorities; none: the system's.
    pub ssl_ca_file: Option<PathBuf>,
}

/// Which queue.
#[derive(Debug, Clone)]
pub enum QueueSettings {
    /// A file in the data directory.
    Embedded {
        /// The file.
        path: PathBuf,
        /// How many partitions it is made with.
        partitions: u32,
        /// How long records are kept.
        retention: Duration,
    },
    /// A broker that speaks Kafka's protocol.
    Kafka(KafkaConnection),
}

/// Which store.
#[derive(Debug, Clone)]
pub enum StoreSettings {
    /// A file in the data directory.
    Redb(PathBuf),
    /// A DynamoDB table.
    DynamoDb {
        /// The table's name.
        table: String,
        /// Another endpoint than AWS's own.
        endpoint: Option<String>,
        /// Whether to make the table where it is missing.
        create: bool,
    },
}

/// Where tables' files are kept.
#[derive(Debug, Clone)]
pub enum FilesSettings {
    /// A local directory.
    Directory(PathBuf),
    /// A prefix of an S3 bucket.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix, without slashes at its ends; may be empty.
        prefix: String,
    },
}

/// Where the key that signs tokens comes from.
#[derive(Debug, Clone)]
pub enum KeySettings {
    /// A PEM file, made at first start where it is missing.
    File(PathBuf),
    /// The PEM text itself.
    Pem(SecretString),
}

/// Everything that the environment sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data directory of one process.
    pub data: PathBuf,
    /// The queue.
    pub queue: QueueSettings,
    /// The topic's name.
    pub topic: String,
    /// The group that writers consume as.
    pub group: String,
    /// The store.
    pub store: StoreSettings,
    /// The files.
    pub files: FilesSettings,
    /// The directory of the key indexes of tables: a cache, which may be lost.
    pub index: PathBuf,
    /// Bytes of key indexes in memory.
    pub index_memory: usize,
    /// Another endpoint of S3 than AWS's own.
    pub s3_endpoint: Option<Url>,
    /// The prefixes below which external tables may lie, besides tenants' own external files; each in S3 or on this machine.
    pub external: Vec<Location>,
    /// The prefixes below which activations may write files, besides tenants' own output files; each in S3 or on this machine.
    pub outputs: Vec<Location>,
    /// Networks that webhooks may reach though they are not public.
    pub webhook_networks: Vec<Network>,
    /// The directory of tenants' secrets: a folder a tenant, a file a secret.
    pub secrets: PathBuf,
    /// The signing key.
    pub signing_key: KeySettings,
    /// Which log lines are written, as `info` or `freshet_table=debug,warn`.
    pub log: String,
    /// How they are written.
    pub log_format: LogFormat,
}

/// deltalake reports each race for a version that it lost as an error; ours are tried again, and reported where they fail. Its kernel
/// says several lines a commit.
const DEFAULT_LOG: &str = "info,buoyant_kernel=warn,deltalake_core=off";

/// Every variable, and what it sets: the rows of docs/configuration.md.
pub(crate) const VARIABLES: &[(&str, &str)] = &[
    ("FRESHET_DATA", "data directory of one process; default .freshet"),
    ("FRESHET_QUEUE", "embedded (default) or kafka"),
    ("FRESHET_QUEUE_PARTITIONS", "partitions of a new embedded queue, or of a Kafka topic to be made; default 4"),
    ("FRESHET_QUEUE_RETENTION", "how long the embedded queue keeps records, as 90s, 15m, 12h or 7d; default 7d"),
    ("FRESHET_KAFKA_BOOTSTRAP_SERVERS", "host:port, several separated by commas"),
    (
        "FRESHET_KAFKA_CREATE_TOPIC",
        "replicas of the topic to be made where it is missing; unset: a missing topic is refused",
    ),
    ("FRESHET_KAFKA_SECURITY_PROTOCOL", "plaintext (default), ssl, sasl_plaintext or sasl_ssl"),
    ("FRESHET_KAFKA_SASL_MECHANISM", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
    ("FRESHET_KAFKA_SASL_USERNAME", "the user"),
    ("FRESHET_KAFKA_SASL_PASSWORD", "the password"),
    ("FRESHET_KAFKA_SSL_CA_FILE", "a PEM file of certificate authorities; unset: the system's"),
    ("FRESHET_TOPIC", "the queue's topic; default freshet-records"),
    ("FRESHET_GROUP", "the group that writers consume as; default freshet-writer"),
    ("FRESHET_STORE", "redb (default) or dynamodb"),
    ("FRESHET_DYNAMODB_TABLE", "the DynamoDB table; default freshet"),
    ("FRESHET_DYNAMODB_ENDPOINT", "another endpoint than AWS's own"),
    ("FRESHET_DYNAMODB_CREATE_TABLE", "true: make the table where it is missing; default false"),
    ("FRESHET_FILES", "a directory or s3://bucket/prefix; default <data>/files"),
    (
        "FRESHET_INDEX_DIRECTORY",
        "local directory of the key indexes of tables, a cache that may be lost; default <data>/index",
    ),
    ("FRESHET_INDEX_MEMORY", "megabytes of key indexes in memory, over all tables; default 128"),
    ("FRESHET_S3_ENDPOINT", "another endpoint than AWS's own"),
    (
        "FRESHET_EXTERNAL_LOCATIONS",
        "prefixes below which external tables may lie, as s3://bucket/path or file:///path, several separated by commas; unset: only below external/<tenant>/ of the files",
    ),
    (
        "FRESHET_ACTIVATION_LOCATIONS",
        "prefixes below which activations may write files, as s3://bucket/path or file:///path, several separated by commas; unset: only below activations/<tenant>/ of the files",
    ),
    (
        "FRESHET_WEBHOOK_NETWORKS",
        "networks that webhooks may reach though they are not public, as 10.1.0.0/16, several separated by commas; unset: none",
    ),
    (
        "FRESHET_SECRETS_DIRECTORY",
        "directory of the secrets that activations name, each a file <tenant>/<name>; default <data>/secrets",
    ),
    ("FRESHET_SIGNING_KEY", "the Ed25519 key that signs tokens, PKCS#8 PEM"),
    ("FRESHET_SIGNING_KEY_FILE", "the file that holds it, made where it is missing; default <data>/signing-key.pem"),
    (
        "FRESHET_LOG",
        "which log lines are written, as info or freshet_table=debug,warn; default info,buoyant_kernel=warn,deltalake_core=off",
    ),
    ("FRESHET_LOG_FORMAT", "text (default) or json"),
    ("FRESHET_LISTEN", "address of freshet up; default 127.0.0.1:8080"),
    ("FRESHET_URL", "where the command line's server is"),
    ("FRESHET_TOKEN", "the command line's token"),
    ("FRESHET_TENANT", "the command line's tenant"),
];

const MEGABYTE: usize = 1 << 20;

/// Takes variables one by one and notes what is wrong.
struct Reader {
    variables: BTreeMap<String, String>,
    wrong: Vec<String>,
}

impl Reader {
    fn text(&mut self, name: &str) -> Option<String> {
        self.variables.remove(name).filter(|value| !value.is_empty())
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.text(name)?;
        match value.parse() {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.wrong.push(format!("{name}: {why}"));
                None
            }
        }
    }

    fn number(&mut self, name: &str, least: u32, most: u32) -> Option<u32> {
        let number = self.parsed::<u32>(name)?;
        if (least..=most).contains(&number) {
            return Some(number);
        }
        self.wrong.push(format!("{name}: expected a whole number from {least} to {most}, found {number}"));
        None
    }

    fn one_of(&mut self, name: &str, known: &[&'static str]) -> Option<&'static str> {
        let value = self.text(name)?;
        let found = known.iter().find(|word| **word == value).copied();
        if found.is_none() {
            self.wrong.push(format!("{name}: expected {}, found {value:?}", known.join(" or ")));
        }
        found
    }
}

impl Settings {
    /// Reads this process's environment, some variables of it replaced: those that the command line names.
    ///
    /// # Errors
    /// As [`Settings::from_environment`], and values that are not UTF-8.
    pub fn from_process(replaced: &[(&str, &str)]) -> Result<Self, SettingsError> {
        let mut variables: Vec<(String, String)> =
            replaced.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut wrong = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| name.starts_with("FRESHET_")) else { continue };
            if replaced.iter().any(|(other, _)| *other == name) {
                continue;
            }
            match value.into_string() {
                Ok(value) => variables.push((name.to_owned(), value)),
                Err(_) => wrong.push(format!("{name}: is not UTF-8")),
            }
        }
        if wrong.is_empty() { Self::from_environment(variables) } else { Err(SettingsError(wrong)) }
    }

    /// Reads variables, the process's own or a test's.
    ///
    /// # Errors
    /// Everything that is wrong: unknown `FRESHET_*` names, values that don't parse, settings that miss their companion.
    pub fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, SettingsError> {
        let variables = variables.into_iter().filter(|(name, _)| name.starts_with("FRESHET_")).collect();
        let mut reader = Reader { variables, wrong: Vec::new() };
        let unknown: Vec<String> =
            reader.variables.keys().filter(|name| !VARIABLES.iter().any(|known| known.0 == *name)).cloned().collect();
        for name in unknown {
            let hint = did_you_mean(&name, VARIABLES.iter().map(|known| known.0));
            reader.wrong.push(format!("{name}: no such setting{hint}"));
        }
        let data = reader.text("FRESHET_DATA").map_or_else(|| PathBuf::from(".freshet"), PathBuf::from);
        let settings = Self {
            queue: queue(&mut reader, &data),
            topic: reader.text("FRESHET_TOPIC").unwrap_or_else(|| "freshet-records".to_owned()),
            group: reader.text("FRESHET_GROUP").unwrap_or_else(|| "freshet-writer".to_owned()),
            store: store(&mut reader, &data),
            files: files(&mut reader, &data),
            index: reader.text("FRESHET_INDEX_DIRECTORY").map_or_else(|| data.join("index"), PathBuf::from),
            index_memory: reader.number("FRESHET_INDEX_MEMORY", 0, 1 << 20).unwrap_or(128) as usize * MEGABYTE,
            s3_endpoint: reader.parsed("FRESHET_S3_ENDPOINT"),
            external: locations(&mut reader, "FRESHET_EXTERNAL_LOCATIONS"),
            outputs: locations(&mut reader, "FRESHET_ACTIVATION_LOCATIONS"),
            webhook_networks: networks(&mut reader),
            secrets: reader.text("FRESHET_SECRETS_DIRECTORY").map_or_else(|| data.join("secrets"), PathBuf::from),
            signing_key: match reader.text("FRESHET_SIGNING_KEY") {
                Some(pem) => KeySettings::Pem(SecretString::from(pem)),
                None => KeySettings::File(
                    reader.text("FRESHET_SIGNING_KEY_FILE").map_or_else(|| data.join("signing-key.pem"), PathBuf::from),
                ),
            },
            log: reader.text("FRESHET_LOG").unwrap_or_else(|| DEFAULT_LOG.to_owned()),
            log_format: reader.parsed("FRESHET_LOG_FORMAT").unwrap_or(LogFormat::Text),
            data,
        };
        if reader.wrong.is_empty() { Ok(settings) } else { Err(SettingsError(reader.wrong)) }
    }
}

fn queue(reader: &mut Reader, data: &Path) -> QueueSettings {
    let kind = reader.one_of("FRESHET_QUEUE", &["embedded", "kafka"]).unwrap_or("embedded");
    let partitions = reader.number("FRESHET_QUEUE_PARTITIONS", 1, 1_024).unwrap_or(4);
    let retention = reader.text("FRESHET_QUEUE_RETENTION").and_then(|text| {
        let parsed = parse_duration(&text);
        if parsed.is_none() {
            reader
                .wrong
                .push(format!("FRESHET_QUEUE_RETENTION: {text:?} is not a duration: write 90s, 15m, 12h or 7d"));
        }
        parsed
    });
    if kind == "embedded" {
        let retention = retention.unwrap_or(Duration::from_hours(7 * 24));
        return QueueSettings::Embedded { path: data.join("queue.redb"), partitions, retention };
    }
    let bootstrap_servers = reader.text("FRESHET_KAFKA_BOOTSTRAP_SERVERS").unwrap_or_default();
    if bootstrap_servers.is_empty() {
        reader.wrong.push(
            "FRESHET_KAFKA_BOOTSTRAP_SERVERS: is needed where FRESHET_QUEUE is kafka, as localhost:9092".to_owned(),
        );
    }
    let replicas = reader.number("FRESHET_KAFKA_CREATE_TOPIC", 1, 32);
    QueueSettings::Kafka(KafkaConnection {
        bootstrap_servers,
        create_topic: replicas.map(|replicas| (partitions, replicas)),
        security_protocol: reader
            .one_of("FRESHET_KAFKA_SECURITY_PROTOCOL", &["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"])
            .map(str::to_owned),
        sasl_mechanism: reader
            .one_of("FRESHET_KAFKA_SASL_MECHANISM", &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
            .map(str::to_owned),
        sasl_username: reader.text("FRESHET_KAFKA_SASL_USERNAME"),
        sasl_password: reader.text("FRESHET_KAFKA_SASL_PASSWORD").map(SecretString::from),
        ssl_ca_file: reader.text("FRESHET_KAFKA_SSL_CA_FILE").map(PathBuf::from),
    })
}

fn store(reader: &mut Reader, data: &Path) -> StoreSettings {
    let kind = reader.one_of("FRESHET_STORE", &["redb", "dynamodb"]).unwrap_or("redb");
    if kind == "redb" {
        return StoreSettings::Redb(data.join("store.redb"));
    }
    StoreSettings::DynamoDb {
        table: reader.text("FRESHET_DYNAMODB_TABLE").unwrap_or_else(|| "freshet".to_owned()),
        endpoint: reader.text("FRESHET_DYNAMODB_ENDPOINT"),
        create: reader.parsed("FRESHET_DYNAMODB_CREATE_TABLE").unwrap_or(false),
    }
}

fn files(reader: &mut Reader, data: &Path) -> FilesSettings {
    match reader.text("FRESHET_FILES") {
        None => FilesSettings::Directory(data.join("files")),
        Some(place) => match place.strip_prefix("s3://") {
            None if place.contains("://") => {
                reader
                    .wrong
                    .push(format!("FRESHET_FILES: expected a directory or s3://bucket/prefix, found {place:?}"));
                FilesSettings::Directory(data.join("files"))
            }
            None => FilesSettings::Directory(PathBuf::from(place)),
            Some(rest) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    reader.wrong.push(format!("FRESHET_FILES: {place:?} names no bucket; write s3://bucket/prefix"));
                }
                FilesSettings::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() }
            }
        },
    }
}

fn locations(reader: &mut Reader, name: &str) -> Vec<Location> {
    let text = reader.text(name).unwrap_or_default();
    let mut locations = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.parse::<Location>() {
            Ok(location) if !matches!(location.place(), Place::Own { .. }) => locations.push(location),
            Ok(_own) => reader.wrong.push(format!("{name}: expected s3://bucket/path or file:///path, found {part:?}")),
            Err(why) => reader.wrong.push(format!("{name}: {why}")),
        }
    }
    locations
}

fn networks(reader: &mut Reader) -> Vec<Network> {
    let text = reader.text("FRESHET_WEBHOOK_NETWORKS").unwrap_or_default();
    let mut networks = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.parse() {
            Ok(network) => networks.push(network),
            Err(why) => reader.wrong.push(format!("FRESHET_WEBHOOK_NETWORKS: {why}")),
        }
    }
    networks
}

/// A duration as `90s`, `15m`, `12h` or `7d`; none: it is not one.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_environment(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn nothing_set_is_one_process_in_one_directory() {
        let settings = read(&[("HOME", "/home/x"), ("FRESHET_DATA", "/data")]).unwrap();
        assert!(matches!(&settings.store, StoreSettings::Redb(path) if path == Path::new("/data/store.redb")));
        assert!(matches!(&settings.files, FilesSettings::Directory(path) if path == Path::new("/data/files")));
        assert!(matches!(&settings.queue, QueueSettings::Embedded { partitions: 4, .. }));
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let wrong = read(&[
            ("FRESHET_QEUE", "kafka"),
            ("FRESHET_QUEUE", "kafka"),
            ("FRESHET_QUEUE_PARTITIONS", "0"),
            ("FRESHET_QUEUE_RETENTION", "7 days"),
            ("FRESHET_STORE", "postgres"),
            ("FRESHET_FILES", "gs://bucket"),
            ("FRESHET_EXTERNAL_LOCATIONS", "s3://batch/daily, customers"),
        ])
        .unwrap_err();
        let expected = [
            "FRESHET_QEUE: no such setting; did you mean \"FRESHET_QUEUE\"?",
            "FRESHET_QUEUE_PARTITIONS: expected a whole number from 1 to 1024, found 0",
            "FRESHET_QUEUE_RETENTION: \"7 days\" is not a duration: write 90s, 15m, 12h or 7d",
            "FRESHET_KAFKA_BOOTSTRAP_SERVERS: is needed where FRESHET_QUEUE is kafka, as localhost:9092",
            "FRESHET_STORE: expected redb or dynamodb, found \"postgres\"",
            "FRESHET_FILES: expected a directory or s3://bucket/prefix, found \"gs://bucket\"",
            "FRESHET_EXTERNAL_LOCATIONS: expected s3://bucket/path or file:///path, found \"customers\"",
        ];
        assert_eq!(wrong.0, expected);
    }

    #[test]
    fn the_documentation_lists_every_variable() {
        let documentation = include_str!("../../../docs/configuration.md");
        let listed: Vec<&str> = documentation.lines().filter(|line| line.starts_with("| `FRESHET_")).collect();
        let rows: Vec<String> = VARIABLES.iter().map(|(name, what)| format!("| `{name}` | {what} |")).collect();
        assert_eq!(listed, rows);
    }

    #[test]
    fn the_seams_mix() {
        let settings = read(&[
            ("FRESHET_QUEUE", "kafka"),
            ("FRESHET_KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
            ("FRESHET_KAFKA_CREATE_TOPIC", "3"),
            ("FRESHET_KAFKA_SASL_PASSWORD", "hunter2"),
            ("FRESHET_FILES", "s3://bucket/some/prefix/"),
            ("FRESHET_EXTERNAL_LOCATIONS", "s3://batch/daily, file:///srv/batch"),
        ])
        .unwrap();
        let external: Vec<String> = settings.external.iter().map(ToString::to_string).collect();
        assert_eq!(external, ["s3://batch/daily", "file:///srv/batch"]);
        assert!(matches!(&settings.queue, QueueSettings::Kafka(KafkaConnection { create_topic: Some((4, 3)), .. })));
        assert!(matches!(&settings.files, FilesSettings::S3 { prefix, .. } if prefix == "some/prefix"));
        assert!(matches!(&settings.store, StoreSettings::Redb(_)));
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
