//! `freshet infer`.

use std::path::Path;

use bytes::Bytes;
use freshet_infer::{MAX_RECORDS, Proposal, Sampled, propose};
use freshet_model::{PayloadFormat, ResourceName, TableName};
use serde_json::json;

use super::sample::{Sample, SampledRecord};
use crate::args::{Connection, Infer};
use crate::client::Client;
use crate::error::CommandError;
use crate::{output, source};

/// Records of a stream that are looked at: as many as a sample has.
const OF_STREAM: u32 = 100;
/// The database of a file's records, where none is named.
const DATABASE: &str = "default";

/// Proposes a definition from a file's records or a stream's newest ones.
///
/// # Errors
/// There is neither such a file nor such a stream, or it holds nothing that a table can be made of.
pub(crate) async fn run(connection: &Connection, asked: &Infer) -> Result<(), CommandError> {
    let path = Path::new(&asked.from);
    let sampled = if path.exists() { of_file(path, asked)? } else { of_stream(connection, asked).await? };
    let Proposal { table, feed, notes, definition } =
        propose(&sampled).map_err(|refusal| CommandError::Failed(format!("{}: {refusal}", asked.from)))?;
    let text = if asked.feed { feed } else { table };
    if asked.output.json {
        output::json(&json!({"table": sampled.table, "definition": definition, "notes": notes, "toml": text}));
        return Ok(());
    }
    output::line(text.trim_end());
    output::note(format!("looked at {} records", output::thousands(sampled.records.len() as u64)));
    for note in &notes {
        output::note(format!("  {note}"));
    }
    if !asked.feed {
        output::note("next: put it into a file, and freshet apply FILE --dry-run");
    }
    Ok(())
}

fn of_file(path: &Path, asked: &Infer) -> Result<Sampled, CommandError> {
    let opened = source::open(path)?;
    let most = usize::try_from(asked.records).unwrap_or(MAX_RECORDS);
    let records = opened.records.take(most).collect::<Result<Vec<Bytes>, CommandError>>()?;
    let stem = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem: String = stem.split('.').next().unwrap_or_default().to_owned();
    let stream = name_from(&stem);
    let table = table_name(asked, &stream)?;
    let database = Some(asked.database.clone().unwrap_or_else(|| DATABASE.to_owned()));
    Ok(Sampled { format: opened.format, records, stream, table, database, is_known: false })
}

async fn of_stream(connection: &Connection, asked: &Infer) -> Result<Sampled, CommandError> {
    let name = &asked.from;
    if ResourceName::parse(name).is_err() {
        return Err(CommandError::Input(format!(
            "{name} is neither a file nor the name of a stream; see the streams with: freshet streams list"
        )));
    }
    let client = Client::connect(connection).await?;
    let sample = Sample::of(&client, name, OF_STREAM).await?;
    if sample.records.is_empty() {
        let stream = &sample.stream;
        return Err(CommandError::Input(format!(
            "nothing has come to stream {stream} lately; send some records first: freshet send {stream} FILE"
        )));
    }
    let is_xml = sample.records.iter().any(SampledRecord::is_xml);
    let database = if asked.database.is_some() {
        asked.database.clone()
    } else {
        let names: Vec<String> = client.resources("databases").await?.into_keys().collect();
        <[String; 1]>::try_from(names).ok().map(|[only]| only)
    };
    let format = if is_xml { PayloadFormat::Xml } else { PayloadFormat::Json };
    let table = table_name(asked, &sample.stream)?;
    let records = sample.records.into_iter().map(|record| Bytes::from(record.raw)).collect();
    Ok(Sampled { format, records, stream: sample.stream, table, database, is_known: true })
}

fn table_name(asked: &Infer, stream: &str) -> Result<String, CommandError> {
    let name = asked.name.clone().unwrap_or_else(|| name_from(stream));
    TableName::parse(&name)
        .map(|name| name.to_string())
        .map_err(|wrong| CommandError::Input(format!("--name: {wrong}")))
}

/// A file's name as one that streams and tables may have.
fn name_from(text: &str) -> String {
    let name: String =
        text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).take(64).collect();
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) { name } else { format!("t_{name}") }
}
