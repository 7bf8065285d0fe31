//! What is there: resources and status.

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::args::{Connection, Output, Shown};
use crate::client::Client;
use crate::error::CommandError;
use crate::output::{self, plain, thousands};

/// Shows the resources of a kind.
///
/// # Errors
/// There is no such resource, or the server doesn't answer or refuses.
pub(crate) async fn resources(connection: &Connection, kind: &str, shown: &Shown) -> Result<(), CommandError> {
    let client = Client::connect(connection).await?;
    match shown {
        Shown::List(as_json) => {
            let resources = client.resources(kind).await?;
            if as_json.json {
                output::json(&resources);
                return Ok(());
            }
            let fields = summary_of(kind);
            let rows = resources.iter().map(|(name, definition)| {
                let cells = fields.iter().map(|field| definition.get(field).map(short).unwrap_or_default());
                std::iter::once(name.clone()).chain(cells).collect()
            });
            let header: Vec<&str> = std::iter::once("name").chain(fields.iter().copied()).collect();
            output::line(output::table(&header, &[], rows));
        }
        Shown::Show { name, output: as_json } => {
            let resource: Value = client.json(Method::GET, &format!("/admin/v0/{kind}/{name}"), None).await?;
            if as_json.json {
                output::json(&resource);
                return Ok(());
            }
            let fields = resource.as_object().into_iter().flatten().filter(|(field, _)| *field != "definition");
            let definition = resource.get("definition").and_then(Value::as_object).into_iter().flatten();
            let rows = fields.chain(definition).map(|(field, value)| vec![field.clone(), long(value)]);
            output::line(output::table(&["field", "value"], &[], rows));
        }
    }
    Ok(())
}

/// The fields of a definition that a list shows beside the name.
fn summary_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "streams" => &["id", "format", "shards", "rate_limit", "description"],
        "tables" => &["stream", "state", "mode", "key", "order_by", "databases"],
        "databases" => &["external", "tables", "description"],
        "queries" => &["database", "parameters", "description"],
        "indexes" => &["id", "database", "key", "filters", "refresh", "description"],
        "activations" => &["query", "send", "key", "destination", "description"],
        _ => &["description"],
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            items.iter().map(|item| plain(item.get("name").unwrap_or(item))).collect::<Vec<_>>().join(", ")
        }
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
        other => plain(other),
    }
}

fn long(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join("\n"),
        other => plain(other),
    }
}

#[derive(Deserialize)]
struct Status {
    tables: Vec<TableStatus>,
    streams: Vec<StreamStatus>,
}

#[derive(Deserialize)]
struct TableStatus {
    name: String,
    stream: String,
    state: String,
    version: Option<u64>,
    rows: Option<u64>,
    files: u64,
    last_commit_at: Option<Timestamp>,
    failed_rows: Option<u64>,
    ignored_fields: Option<u64>,
    freshness_lag_ms: Option<i64>,
    problem: Option<String>,
}

#[derive(Deserialize)]
struct StreamStatus {
    name: String,
    id: String,
    partitions: Vec<PartitionStatus>,
}

#[derive(Deserialize)]
struct PartitionStatus {
    partition: u32,
    low: u64,
    high: u64,
    written: u64,
}

/// Shows what every table holds and how far behind its stream it is.
///
/// # Errors
/// The server doesn't answer or refuses.
pub(crate) async fn status(connection: &Connection, as_json: Output) -> Result<(), CommandError> {
    let client = Client::connect(connection).await?;
    let answer: Value = client.json(Method::GET, "/admin/v0/status", None).await?;
    if as_json.json {
        output::json(&answer);
        return Ok(());
    }
    let status = Status::deserialize(&answer)
        .map_err(|source| CommandError::Answer { url: client.url().to_string(), reason: source.to_string() })?;
    let number = |number: Option<u64>| number.map(thousands).unwrap_or_default();
    let tables = status.tables.into_iter().map(|table| {
        vec![
            table.name,
            table.stream,
            table.state,
            number(table.rows),
            number(Some(table.files)),
            number(table.version),
            number(table.failed_rows),
            number(table.ignored_fields),
            table.last_commit_at.map(|time| format!("{time:.0}")).unwrap_or_default(),
            table.problem.or_else(|| table.freshness_lag_ms.map(behind)).unwrap_or_default(),
        ]
    });
    let header = [
        "table",
        "stream",
        "state",
        "rows",
        "files",
        "version",
        "failed rows",
        "ignored fields",
        "last written",
        "behind",
    ];
    output::line(output::table(&header, &[3, 4, 5, 6, 7], tables));
    let streams = status.streams.into_iter().flat_map(|stream| {
        let (name, id) = (stream.name, stream.id);
        stream.partitions.into_iter().map(move |partition| {
            vec![
                name.clone(),
                id.clone(),
                partition.partition.to_string(),
                thousands(partition.low),
                thousands(partition.high),
                thousands(partition.high.saturating_sub(partition.written)),
            ]
        })
    });
    let header = ["stream", "id", "partition", "first offset", "next offset", "not yet written"];
    output::line(output::table(&header, &[2, 3, 4, 5], streams));
    Ok(())
}

/// How long ago the oldest record came that may not be in a table yet.
fn behind(milliseconds: i64) -> String {
    match milliseconds {
        0 => "no".to_owned(),
        _ => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
    }
}
