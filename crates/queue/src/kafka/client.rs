//! What all clients of librdkafka have in common: where they connect, where they log, what their errors mean.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use secrecy::{ExposeSecret, SecretString};

use crate::QueueError;
use crate::limits::refused;

/// How long one question to the brokers may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// What may be set from outside: how to connect. The rest decides what the queue promises.
const CONNECTION_PROPERTIES: [&str; 6] = ["security.", "sasl.", "ssl.", "enable.ssl.", "socket.", "client."];

/// Where the brokers are and how to log in.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    bootstrap_servers: String,
    properties: BTreeMap<String, SecretString>,
}

impl Connection {
    pub(super) fn new(
        bootstrap_servers: String,
        properties: BTreeMap<String, SecretString>,
    ) -> Result<Self, QueueError> {
        if bootstrap_servers.trim().is_empty() {
            return Err(refused("there are no bootstrap servers: name some as host:9092,other:9092".to_owned()));
        }
        for name in properties.keys() {
            if !CONNECTION_PROPERTIES.iter().any(|prefix| name.starts_with(prefix)) {
                let allowed = CONNECTION_PROPERTIES.join("*, ");
                return Err(refused(format!("{name} is not a property of the connection; those that are: {allowed}*")));
            }
        }
        Ok(Self { bootstrap_servers, properties })
    }

    /// What any client begins with.
    pub(super) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set_log_level(RDKafkaLogLevel::Warning)
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", "freshet")
            .set("allow.auto.create.topics", "false")
            .set("log.connection.close", "false")
            .set("socket.keepalive.enable", "true")
            .set("socket.timeout.ms", "10000")
            .set("socket.connection.setup.timeout.ms", "5000")
            // So that a broker that is back is found within a second or so.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000");
        for (name, value) in &self.properties {
            config.set(name, value.expose_secret());
        }
        config
    }
}

/// Sends what librdkafka has to say to our log. It reconnects by itself, so its errors are our warnings.
#[derive(Debug, Clone, Default)]
pub(super) struct LogContext;

impl ClientContext for LogContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for LogContext {}

pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::warn!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Warning => tracing::info!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::debug!(target: "librdkafka", facility, "{message}");
        }
    }
}

pub(super) fn log_error(error: &KafkaError, reason: &str) {
    tracing::warn!(target: "librdkafka", error = %error, "{reason}");
}

/// What an error of librdkafka means to who called.
pub(super) fn queue_error(context: String, error: KafkaError) -> QueueError {
    match error {
        // The library's error repeats the value, which may be a password.
        KafkaError::ClientConfig(_, description, name, value) => {
            let description = if value.is_empty() { description } else { description.replace(&value, "…") };
            refused(format!("{context}: property {name} is not accepted: {description}"))
        }
        KafkaError::ClientCreation(_) | KafkaError::Subscription(_) | KafkaError::Nul(_) => {
            QueueError::Refused { context, source: Some(error.into()) }
        }
        error if error.rdkafka_error_code().is_some_and(is_permanent) => {
            QueueError::Refused { context, source: Some(error.into()) }
        }
        error => QueueError::Unavailable { context, source: error.into() },
    }
}

/// Whether the brokers will say the same next time.
pub(super) fn is_permanent(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::MessageBatchTooLarge
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidTimestamp
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::InvalidPartitions
            | RDKafkaErrorCode::InvalidReplicationFactor
            | RDKafkaErrorCode::InvalidConfig
            | RDKafkaErrorCode::InvalidGroupId
            | RDKafkaErrorCode::InvalidArgument
            | RDKafkaErrorCode::PolicyViolation
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::UnsupportedSASLMechanism
            | RDKafkaErrorCode::SecurityDisabled
            | RDKafkaErrorCode::UnsupportedCompressionType
    )
}

/// Runs a call of librdkafka that waits for the brokers where it holds up no other task.
pub(super) async fn blocking<T: Send + 'static>(
    context: impl FnOnce() -> String,
    work: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, QueueError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(queue_error(context(), error)),
        Err(error) => Err(QueueError::Unavailable { context: context(), source: error.into() }),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::producer::FutureProducer;
    use rstest::rstest;

    use super::*;

    fn connection(name: &str, value: &str) -> Result<Connection, QueueError> {
        let properties = BTreeMap::from([(name.to_owned(), SecretString::from(value))]);
        Connection::new("127.0.0.1:1".to_owned(), properties)
    }

    #[rstest]
    #[case("acks")]
    #[case("enable.idempotence")]
    #[case("group.id")]
    #[case("plugin.library.paths")]
    fn what_the_queue_promises_cannot_be_set(#[case] name: &str) {
        let error = connection(name, "0").unwrap_err();
        assert!(matches!(error, QueueError::Refused { .. }));
        assert!(error.to_string().contains(name) && error.to_string().contains("sasl.*"), "{error}");
    }

    #[rstest]
    #[case("security.protocol", "hunter2")]
    #[case("ssl.key.pem", "hunter2")]
    #[case("ssl.certificate.pem", "hunter2")]
    fn a_refused_value_is_not_repeated(#[case] name: &str, #[case] value: &str) {
        let connection = connection(name, value).unwrap();
        assert!(!format!("{connection:?}").contains("hunter2"));
        let mut config = connection.config();
        if name != "security.protocol" {
            config.set("security.protocol", "ssl");
        }
        let error = config.create::<FutureProducer>().map(|_| ()).unwrap_err();
        let error = queue_error("connecting".to_owned(), error);
        assert!(matches!(error, QueueError::Refused { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
