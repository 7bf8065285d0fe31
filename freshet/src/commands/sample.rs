//! `freshet streams sample`.

use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::args::{Connection, Output};
use crate::client::Client;
use crate::error::CommandError;
use crate::output::{self, thousands};

/// The newest records of a stream, as the server answers them.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Sample {
    /// The stream's name.
    pub(crate) stream: String,
    stream_id: String,
    /// The newest first.
    pub(crate) records: Vec<SampledRecord>,
    looked_at: u64,
    ended_by: String,
}

/// A record, as it came.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct SampledRecord {
    received_at: Timestamp,
    request_id: String,
    index: u32,
    partition: u32,
    offset: u64,
    content_type: String,
    /// The record itself.
    pub(crate) raw: String,
}

impl SampledRecord {
    /// Whether it is an XML document.
    #[must_use]
    pub(crate) fn is_xml(&self) -> bool {
        self.content_type.contains("xml")
    }
}

impl Sample {
    /// Asks for the newest records of a stream, by its name or id.
    ///
    /// # Errors
    /// There is no such stream, or the server doesn't answer or refuses.
    pub(crate) async fn of(client: &Client, stream: &str, limit: u32) -> Result<Self, CommandError> {
        client.json(Method::GET, &format!("/admin/v0/streams/{stream}/sample?limit={limit}"), None).await
    }

    /// Why there are fewer records than were asked for, unless there are no more.
    #[must_use]
    pub(crate) fn cut_short(&self) -> Option<String> {
        let looked_at = thousands(self.looked_at);
        match self.ended_by.as_str() {
            "looked_at" => Some(format!("the last {looked_at} records of the queue were looked at, others' included")),
            "bytes" => Some("more would be too large for an answer".to_owned()),
            "time" => Some(format!("the time was over after {looked_at} records of the queue, others' included")),
            _ => None,
        }
    }
}

/// Shows the newest records of a stream.
///
/// # Errors
/// There is no such stream, or the server doesn't answer or refuses.
pub(crate) async fn run(
    connection: &Connection,
    stream: &str,
    limit: u32,
    as_json: Output,
) -> Result<(), CommandError> {
    let client = Client::connect(connection).await?;
    let sample = Sample::of(&client, stream, limit).await?;
    if as_json.json {
        output::json(&sample);
        return Ok(());
    }
    let rows = sample.records.iter().map(|record| {
        vec![
            record.received_at.to_string(),
            record.request_id.clone(),
            record.index.to_string(),
            record.partition.to_string(),
            record.offset.to_string(),
            record.content_type.clone(),
            record.raw.clone(),
        ]
    });
    let header = ["received at", "request", "index", "partition", "offset", "content type", "record"];
    output::line(output::table(&header, &[2, 3, 4], rows));
    let why = sample.cut_short().map(|why| format!("; {why}")).unwrap_or_default();
    output::note(format!("{} records{why}", thousands(sample.records.len() as u64)));
    Ok(())
}
