//! Sending records to a stream: batches, several at the same time, tried again until they are acknowledged.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use freshet_model::PayloadFormat;
use futures::{StreamExt as _, stream};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::client::Client;
use crate::error::{CommandError, Problem};
use crate::source::Records;

/// Most bytes of a request's body: half of what ingest takes on the wire.
const MOST_BYTES: usize = 2 << 20;
/// How long a batch is tried again before sending gives up.
const PATIENCE: Duration = Duration::from_mins(5);
/// Shortest and longest pause between tries, where the server names none.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Most refused records that a report names.
const MOST_REFUSED: usize = 100;

/// How to send.
#[derive(Debug, Clone)]
pub(crate) struct SendOptions {
    /// The stream's id.
    pub(crate) stream_id: String,
    /// What the records are. Of XML a request has one.
    pub(crate) format: PayloadFormat,
    /// Records a request.
    pub(crate) batch: usize,
    /// Requests at the same time.
    pub(crate) parallel: usize,
    /// The first record's place in its file, for what a report names.
    pub(crate) first_record: u64,
}

/// One request that was acknowledged, or whose records were all refused.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    /// Its id.
    pub(crate) request_id: String,
    /// When its answer came.
    pub(crate) at: Instant,
    /// Records of the batch: acknowledged or refused.
    pub(crate) records: u64,
}

/// A record that the server refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RefusedRecord {
    /// Its place in the file, from 0.
    pub(crate) record: u64,
    /// Why.
    pub(crate) message: String,
}

/// What was sent.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct SendReport {
    /// Records that were acknowledged: they are durably queued.
    pub(crate) acknowledged: u64,
    /// Records that were refused.
    pub(crate) refused: u64,
    /// The first hundred of them.
    pub(crate) refused_records: Vec<RefusedRecord>,
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// Tries that had to be repeated.
    pub(crate) retries: u64,
    /// Seconds from the first request to the last answer.
    pub(crate) seconds: f64,
}

impl SendReport {
    /// Records acknowledged a second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(crate) fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.acknowledged as f64 / self.seconds } else { 0.0 }
    }
}

struct Batch {
    number: u64,
    first: u64,
    records: Vec<Bytes>,
}

#[derive(Default)]
struct BatchReport {
    acknowledged: u64,
    refused: Vec<RefusedRecord>,
    requests: u64,
    retries: u64,
}

/// Sends all records. `on_acknowledged` is called for each batch, in the order of the records, so that whoever keeps count
/// knows that everything before is done.
///
/// # Errors
/// The file can't be read further, the server refuses the stream or the token, or it stayed away for five minutes.
pub(crate) async fn send_records(
    client: &Client,
    records: Records,
    options: &SendOptions,
    mut on_acknowledged: impl FnMut(&Acknowledged),
) -> Result<SendReport, CommandError> {
    let started = Instant::now();
    let run = Uuid::now_v7().simple().to_string();
    let mut batches = read_ahead(records, options);
    let answers = stream::poll_fn(move |waker| batches.poll_recv(waker))
        .map(|batch| {
            let run = &run;
            async move {
                let batch = batch?;
                let request_id = format!("send-{run}-{}", batch.number);
                let records = batch.records.len() as u64;
                let report = send_batch(client, options, &request_id, batch).await?;
                Ok::<_, CommandError>((Acknowledged { request_id, at: Instant::now(), records }, report))
            }
        })
        .buffered(options.parallel);
    tokio::pin!(answers);
    let mut report = SendReport::default();
    while let Some(answer) = answers.next().await {
        let (acknowledged, batch) = answer?;
        on_acknowledged(&acknowledged);
        report.acknowledged += batch.acknowledged;
        report.refused += batch.refused.len() as u64;
        report.requests += batch.requests;
        report.retries += batch.retries;
        let room = MOST_REFUSED.saturating_sub(report.refused_records.len());
        report.refused_records.extend(batch.refused.into_iter().take(room));
    }
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Reads batches on a thread of their own, a few ahead.
fn read_ahead(records: Records, options: &SendOptions) -> tokio::sync::mpsc::Receiver<Result<Batch, CommandError>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(options.parallel);
    let most = match options.format {
        PayloadFormat::Json => options.batch,
        PayloadFormat::Xml => 1,
    };
    let mut first = options.first_record;
    tokio::task::spawn_blocking(move || {
        let mut records = records.peekable();
        let mut number = 0;
        while records.peek().is_some() {
            let batch = next_batch(&mut records, most, number, first);
            number += 1;
            first += batch.as_ref().map_or(0, |batch| batch.records.len() as u64);
            let failed = batch.is_err();
            if sender.blocking_send(batch).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

fn next_batch(
    records: &mut std::iter::Peekable<Records>,
    most: usize,
    number: u64,
    first: u64,
) -> Result<Batch, CommandError> {
    let mut batch = Batch { number, first, records: Vec::with_capacity(most.min(1_000)) };
    let mut bytes = 0;
    while batch.records.len() < most && bytes < MOST_BYTES {
        // An error waits for the next batch, so that what was read before it is still sent.
        if matches!(records.peek(), Some(Err(_))) && !batch.records.is_empty() {
            break;
        }
        let Some(record) = records.next() else { break };
        let record = record?;
        bytes += record.len() + 1;
        batch.records.push(record);
    }
    Ok(batch)
}

/// Sends one batch until it is acknowledged. Where the server refuses single records, the others go again without them.
async fn send_batch(
    client: &Client,
    options: &SendOptions,
    request_id: &str,
    batch: Batch,
) -> Result<BatchReport, CommandError> {
    let mut report = BatchReport::default();
    let mut rest: Vec<(u64, Bytes)> = (batch.first..).zip(batch.records).collect();
    while !rest.is_empty() {
        let Some(problem) = post(client, options, request_id, &rest, &mut report.retries).await? else {
            report.requests += 1;
            report.acknowledged = rest.len() as u64;
            break;
        };
        report.requests += 1;
        let bad: Vec<(usize, String)> = problem
            .errors
            .iter()
            .filter_map(|item| Some((usize::try_from(item.index?).ok()?, item.message.clone())))
            .filter(|(index, _)| *index < rest.len())
            .collect();
        if bad.is_empty() {
            return Err(CommandError::Refused { problem: Box::new(problem) });
        }
        for (index, message) in &bad {
            if let Some((record, _)) = rest.get(*index) {
                report.refused.push(RefusedRecord { record: *record, message: message.clone() });
            }
        }
        let mut index = 0;
        rest.retain(|_| {
            index += 1;
            !bad.iter().any(|(refused, _)| *refused == index - 1)
        });
    }
    Ok(report)
}

#[derive(Deserialize)]
struct Receipt {
    records: u64,
}

/// Posts records until the server answers for good: nothing when they are acknowledged, the problem when they are refused.
async fn post(
    client: &Client,
    options: &SendOptions,
    request_id: &str,
    records: &[(u64, Bytes)],
    retries: &mut u64,
) -> Result<Option<Problem>, CommandError> {
    let (content_type, body) = match options.format {
        PayloadFormat::Json => ("application/x-ndjson", lines(records)),
        PayloadFormat::Xml => {
            ("application/xml", records.first().map(|(_, document)| document.clone()).unwrap_or_default())
        }
    };
    let path = format!("/stream/v0/data/{}", options.stream_id);
    let give_up = Instant::now() + PATIENCE;
    let mut pause = PAUSES.0;
    loop {
        let request = client
            .request(Method::POST, &path)?
            .header(CONTENT_TYPE, content_type)
            .header("X-Request-Id", request_id)
            .body(body.clone());
        let url = client.url().to_string();
        let (named, error) = match request.send().await {
            Err(source) if source.is_builder() => return Err(CommandError::Answer { url, reason: source.to_string() }),
            // The answer may have been lost after the records were queued. They are queued again then: an upsert stays as it is,
            // a table that keeps every record has them twice.
            Err(source) => (None, CommandError::NoServer { url, source }),
            Ok(answer) => {
                let status = answer.status();
                let named = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                let bytes = answer.bytes().await.unwrap_or_default();
                if status == StatusCode::ACCEPTED
                    && serde_json::from_slice::<Receipt>(&bytes).is_ok_and(|it| it.records == records.len() as u64)
                {
                    return Ok(None);
                }
                let odd = || CommandError::Answer { url: url.clone(), reason: format!("status {status} to records") };
                let problem: Option<Problem> = serde_json::from_slice(&bytes).ok();
                let again = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() || status.is_success();
                match problem {
                    Some(problem) if !again => return Ok(Some(problem)),
                    Some(problem) => (named, CommandError::Refused { problem: Box::new(problem) }),
                    None if again => (named, odd()),
                    None => return Err(odd()),
                }
            }
        };
        if Instant::now() >= give_up {
            return Err(error);
        }
        *retries += 1;
        tokio::time::sleep(named.map_or(pause, Duration::from_secs).min(PAUSES.1)).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

fn lines(records: &[(u64, Bytes)]) -> Bytes {
    let mut body = BytesMut::with_capacity(records.iter().map(|(_, record)| record.len() + 1).sum());
    for (_, record) in records {
        body.extend_from_slice(record);
        body.extend_from_slice(b"\n");
    }
    body.freeze()
}
