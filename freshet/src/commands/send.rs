//! `freshet send`.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::args::{Connection, Send};
use crate::client::Client;
use crate::error::CommandError;
use crate::sender::{SendOptions, send_records};
use crate::source::Source;
use crate::{output, source};

/// How far a file was sent: a file in the data directory that holds the number of records done, while there are more.
struct Resume {
    path: PathBuf,
}

impl Resume {
    /// Of this file, as it is now, to this stream of this server.
    fn of(data: &Path, server: &str, stream_id: &str, file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let mut identity = DefaultHasher::new();
        (server, stream_id, fs::canonicalize(file).ok()?, metadata.len(), modified.as_nanos()).hash(&mut identity);
        Some(Self { path: data.join("sending").join(format!("{:016x}", identity.finish())) })
    }

    fn done(&self) -> u64 {
        fs::read_to_string(&self.path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    fn note(&self, done: u64) {
        // Forgetting how far it came costs time, not records.
        if let Some(directory) = self.path.parent() {
            let _ = fs::create_dir_all(directory);
        }
        // Renamed when whole: being killed half-way leaves the number before.
        let staged = self.path.with_extension("new");
        let _ = fs::write(&staged, done.to_string()).and_then(|()| fs::rename(&staged, &self.path));
    }

    fn forget(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Sends a file's records; after an interruption, from where it came to.
///
/// # Errors
/// The file can't be read, or the server refuses the stream or single records, or stays away.
pub(crate) async fn run(connection: &Connection, arguments: &Send) -> Result<(), CommandError> {
    let client = Client::connect(connection).await?;
    let stream_id = if arguments.stream.starts_with("is-") {
        arguments.stream.clone()
    } else {
        client.stream_id(&arguments.stream).await?
    };
    let Source { mut records, format } = source::open(&arguments.file)?;
    let resume = Resume::of(&connection.data, client.url().as_str(), &stream_id, &arguments.file);
    let done = resume.as_ref().map_or(0, Resume::done);
    if done > 0 {
        output::note(format!("{} records were sent before; going on from there", output::thousands(done)));
        for _ in 0..done {
            let Some(record) = records.next() else { break };
            record?;
        }
    }
    let options = SendOptions {
        stream_id,
        format,
        batch: usize::try_from(arguments.batch).unwrap_or(1_000),
        parallel: usize::try_from(arguments.parallel).unwrap_or(1),
        first_record: done,
    };
    let progress = output::progress(0, arguments.output.json);
    let mut sent = done;
    let report = send_records(&client, records, &options, |batch| {
        sent += batch.records;
        progress.inc(batch.records);
        if let Some(resume) = &resume {
            resume.note(sent);
        }
    })
    .await;
    progress.finish_and_clear();
    let report = report?;
    if let Some(resume) = &resume {
        resume.forget();
    }
    if arguments.output.json {
        output::json(&report);
    } else {
        output::line(format!(
            "{} records acknowledged in {:.1} s, {:.0} a second",
            output::thousands(report.acknowledged),
            report.seconds,
            report.rate()
        ));
        for refused in &report.refused_records {
            output::note(format!("record {} (from 0) was refused: {}", refused.record, refused.message));
        }
    }
    if report.refused > 0 {
        return Err(CommandError::Failed(format!("{} records were refused", output::thousands(report.refused))));
    }
    Ok(())
}
