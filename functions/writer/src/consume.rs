//! The writer of one process: a member of a group of consumers.

use std::sync::Arc;
use std::time::Duration;

use freshet_queue::{Consumer, QueueError, ReadLimit};
use futures::future::join_all;
use metrics::counter;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::WriterContext;
use crate::handler::write_batch;
use crate::join::{Gaps, join_tables};

/// How a process consumes.
#[derive(Debug, Clone)]
pub struct ConsumeSettings {
    /// The group that it is a member of.
    pub group: String,
    /// How much is written at once.
    pub batch: ReadLimit,
    /// How often tables that don't follow yet are looked for.
    pub join_every: Duration,
}

impl ConsumeSettings {
    /// Batches that a table takes in well under a second, as a member of a group.
    #[must_use]
    pub fn of_group(group: &str) -> Self {
        let batch = ReadLimit { records: 20_000, bytes: 32 << 20, wait: Duration::from_millis(500) };
        Self { group: group.to_owned(), batch, join_every: Duration::from_secs(2) }
    }
}

/// Shortest and longest pause after something was not available.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Writes what comes to this process's partitions until `stop` is cancelled. What can't be written for now is tried again,
/// with growing pauses, until it can. The batches in hand when `stop` comes are finished first.
pub async fn consume(context: Arc<WriterContext>, settings: ConsumeSettings, stop: CancellationToken) {
    tokio::join!(write(&context, &settings, &stop), join_everywhere(&context, &settings, &stop));
}

async fn write(context: &Arc<WriterContext>, settings: &ConsumeSettings, stop: &CancellationToken) {
    let mut pause = PAUSES.0;
    while !stop.is_cancelled() {
        match Arc::clone(&context.queue).consumer(&settings.group).await {
            Ok(mut consumer) => {
                let ended = follow(context, settings, &mut *consumer, stop, &mut pause).await;
                if let Err(source) = consumer.close().await {
                    report("the group of consumers can't be left", &source, pause);
                }
                if let Err(source) = ended {
                    report("the queue can't be consumed", &source, pause);
                }
            }
            Err(source) => report("the queue can't be consumed", &source, pause),
        }
        rest(&mut pause, stop).await;
    }
}

fn report(what: &str, source: &(dyn std::error::Error + 'static), pause: Duration) {
    counter!("freshet_writer_retries_total").increment(1);
    error!(error = source, retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX), "{what}");
}

/// Waits, longer each time, but not once it is to stop.
async fn rest(pause: &mut Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(*pause) => *pause = (*pause * 2).min(PAUSES.1),
    }
}

/// Follows the queue as one member of the group until `stop`, or until the queue fails.
async fn follow(
    context: &WriterContext,
    settings: &ConsumeSettings,
    consumer: &mut dyn Consumer,
    stop: &CancellationToken,
    pause: &mut Duration,
) -> Result<(), QueueError> {
    while !stop.is_cancelled() {
        let batches = consumer.poll(settings.batch).await?;
        let results = join_all(batches.iter().map(|batch| write_batch(context, batch, Gaps::Short))).await;
        let mut failed = false;
        for (batch, result) in batches.iter().zip(results) {
            match (result, batch.records.last()) {
                (Ok(_), Some(last)) => {
                    // The progress says what is written. Without the commit the records come again, and are known.
                    if let Err(source) = consumer.commit(batch.partition, last.position.offset + 1).await {
                        let source: &dyn std::error::Error = &source;
                        warn!(partition = batch.partition, error = source, "an offset can't be committed");
                    }
                }
                (Ok(_), None) => {}
                (Err(source), _) => {
                    failed = true;
                    report("a batch can't be written and is tried again", &source, *pause);
                    consumer.rewind(batch.partition).await?;
                }
            }
        }
        if failed {
            rest(pause, stop).await;
        } else {
            *pause = PAUSES.0;
        }
    }
    Ok(())
}

/// Lets new tables join every partition now and then, also those to which nothing comes. It goes beside the writing of batches: a
/// table that starts at the beginning of a long queue may take its time.
async fn join_everywhere(context: &WriterContext, settings: &ConsumeSettings, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        for partition in 0..context.queue.partitions() {
            let joined = tokio::select! {
                () = stop.cancelled() => return,
                joined = join_tables(context, partition) => joined,
            };
            if let Err(source) = joined {
                let source: &dyn std::error::Error = &source;
                warn!(partition, error = source, "tables can't join the partition for now");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(settings.join_every) => {}
        }
    }
}
