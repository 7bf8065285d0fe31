//! Finding the topic, or making it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{Connection, LogContext, REQUEST_TIMEOUT, blocking, queue_error};
use super::{KafkaSettings, TopicCreation};
use crate::limits::{MAX_PAYLOAD_BYTES, refused};
use crate::{MAX_PARTITIONS, QueueError};

/// The largest message: the largest payload with its headers and Kafka's own bytes, and some room.
pub(super) const MAX_MESSAGE_BYTES: usize = 2_097_152;
/// What headers and Kafka's own bytes can take of a message: the identifiers are at most 63, 64 and 128 bytes.
const MESSAGE_OVERHEAD: usize = 1_024;
/// How long a new topic may take to get its leaders.
const CREATION_TIMEOUT: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const MAX_MESSAGE_BYTES_SETTING: &str = "max.message.bytes";

/// A topic that is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Topic {
    pub(super) partitions: u32,
    /// Most bytes of a payload that surely fits.
    pub(super) max_payload_bytes: usize,
}

/// Finds the topic of the settings, or makes it if they say how.
pub(super) async fn find_or_create(
    connection: &Connection,
    lookup: &Arc<BaseConsumer<LogContext>>,
    settings: &KafkaSettings,
) -> Result<Topic, QueueError> {
    let topic = settings.topic.as_str();
    let servers = &settings.bootstrap_servers;
    let partitions = match (count_partitions(lookup, topic).await?, settings.create_topic) {
        (Some(partitions), _) => partitions,
        (None, None) => {
            return Err(refused(format!(
                "topic {topic} does not exist on {servers}: create it there, or give the number of partitions and \
                 replicas to create it with"
            )));
        }
        (None, Some(creation)) => {
            create(connection, topic, creation).await?;
            wait_until_created(lookup, topic).await?
        }
    };
    if partitions > MAX_PARTITIONS {
        return Err(refused(format!(
            "topic {topic} has {partitions} partitions; at most {MAX_PARTITIONS} are supported"
        )));
    }
    let max_payload_bytes = max_payload_bytes(connection, topic).await;
    Ok(Topic { partitions, max_payload_bytes })
}

/// The number of partitions, or none where there is no such topic.
async fn count_partitions(lookup: &Arc<BaseConsumer<LogContext>>, topic: &str) -> Result<Option<u32>, QueueError> {
    let (lookup, name) = (Arc::clone(lookup), topic.to_owned());
    blocking(
        || format!("asking for topic {topic}"),
        move || {
            let metadata = lookup.fetch_metadata(Some(&name), REQUEST_TIMEOUT)?;
            let Some(found) = metadata.topics().first() else { return Ok(None) };
            match found.error().map(RDKafkaErrorCode::from) {
                None => {}
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => return Ok(None),
                Some(code) => return Err(KafkaError::MetadataFetch(code)),
            }
            let leaderless = found.partitions().iter().find(|partition| partition.leader() < 0);
            if leaderless.is_some() {
                return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable));
            }
            Ok(u32::try_from(found.partitions().len()).ok().filter(|partitions| *partitions > 0))
        },
    )
    .await
}

async fn create(connection: &Connection, topic: &str, creation: TopicCreation) -> Result<(), QueueError> {
    let context = || format!("creating topic {topic}");
    let admin = admin_client(connection).map_err(|error| queue_error(context(), error))?;
    let partitions = i32::try_from(creation.partitions).unwrap_or(i32::MAX);
    let max_message_bytes = MAX_MESSAGE_BYTES.to_string();
    let new_topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(i32::from(creation.replication)))
        .set(MAX_MESSAGE_BYTES_SETTING, &max_message_bytes);
    let results = admin.create_topics([&new_topic], &admin_options()).await;
    match results.map(|results| results.into_iter().next()) {
        Ok(Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)))) => Ok(()),
        Ok(Some(Err((_, code)))) => Err(queue_error(context(), KafkaError::Global(code))),
        Ok(None) => Err(queue_error(context(), KafkaError::Canceled)),
        Err(error) => Err(queue_error(context(), error)),
    }
}

async fn wait_until_created(lookup: &Arc<BaseConsumer<LogContext>>, topic: &str) -> Result<u32, QueueError> {
    let started = Instant::now();
    loop {
        let found = count_partitions(lookup, topic).await;
        match found {
            Ok(Some(partitions)) => return Ok(partitions),
            Err(error) if !error.is_temporary() => return Err(error),
            Ok(None) | Err(_) if started.elapsed() < CREATION_TIMEOUT => tokio::time::sleep(LOOK_EVERY).await,
            Err(error) => return Err(error),
            Ok(None) => {
                return Err(QueueError::Unavailable {
                    context: format!("creating topic {topic}"),
                    source: "the brokers don't know it yet".into(),
                });
            }
        }
    }
}

/// What the topic's own limit leaves for a payload. Not everybody may read a topic's configuration; then the brokers refuse
/// what is too large.
async fn max_payload_bytes(connection: &Connection, topic: &str) -> usize {
    let described = async {
        let admin = admin_client(connection)?;
        admin.describe_configs([&ResourceSpecifier::Topic(topic)], &admin_options()).await
    };
    let limit = described.await.ok().and_then(|resources| {
        let resource = resources.into_iter().next()?.ok()?;
        resource.get(MAX_MESSAGE_BYTES_SETTING)?.value.as_ref()?.parse::<usize>().ok()
    });
    if limit.is_none() {
        tracing::warn!(topic, "the topic's max.message.bytes can't be read; the brokers may refuse large records");
    }
    limit.map_or(MAX_PAYLOAD_BYTES, |limit| limit.saturating_sub(MESSAGE_OVERHEAD).min(MAX_PAYLOAD_BYTES))
}

fn admin_client(connection: &Connection) -> Result<AdminClient<DefaultClientContext>, KafkaError> {
    connection.config().create()
}

fn admin_options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(REQUEST_TIMEOUT))
}
