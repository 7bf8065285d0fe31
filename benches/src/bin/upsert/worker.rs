//! Processes of their own for what is measured, so that memory and caches are those of one side alone.
//!
//! A worker is this program again. It reads a request a line on its standard input and answers each with a line; it ends with its input.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use freshet_benches::counting::Requests;
use freshet_benches::engine::{Keys, Place};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{Batch, Data};
use crate::ours::Ours;
use crate::theirs::Theirs;

/// The argument that makes a worker of this program.
pub(crate) const WORKER: &str = "worker";

/// What a worker works on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) data: Data,
    pub(crate) side: Side,
}

/// Whose table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Side {
    /// Ours.
    Ours { place: Place, keys: Keys },
    /// The peer's, in a directory.
    Theirs(PathBuf),
}

/// What a worker is asked to do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Request {
    /// To make the table and fill it. Answered by nothing.
    Fill,
    /// To open the table, and to bring what is kept of its keys up to date. Answered by nothing.
    Ready,
    /// To upsert a batch, as [`Measured`]. What isn't open yet is opened within the time that is taken.
    Upsert(Batch),
    /// To upsert so many batches from this one on while the table is maintained, as [`Maintained`].
    Maintain { first: Batch, upserts: u64 },
    /// The count of the table's rows and the sum of their amounts, as deltalake reads them.
    Sums,
}

/// What an upsert took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) milliseconds: f64,
    pub(crate) requests: Requests,
    /// The most resident memory of the process meanwhile.
    pub(crate) peak_megabytes: f64,
}

/// What upserts in a row took while the table was maintained.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Maintained {
    pub(crate) milliseconds: Vec<f64>,
    /// A point query's time before them and after them, in milliseconds.
    pub(crate) point_query: (f64, f64),
    /// The table's data files before them and after them.
    pub(crate) files: (usize, usize),
}

/// A running worker, which ends when dropped.
pub(crate) struct Worker {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // With its input it ends by itself, and leaves nothing half done.
        drop(self.input.take());
        let _ = self.process.wait();
    }
}

impl Worker {
    pub(crate) fn start(data: Data, side: Side) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([WORKER, &serde_json::to_string(&Setup { data, side })?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("a worker")?;
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().context("its output")?);
        Ok(Self { process, input, output })
    }

    /// Has it do something, and waits until it has.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, request: Request) -> anyhow::Result<T> {
        let input = self.input.as_mut().context("its input")?;
        writeln!(input, "{}", serde_json::to_string(&request)?)?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("a worker ended before it answered {request:?}"))
    }

    pub(crate) fn upsert(&mut self, batch: Batch) -> anyhow::Result<Measured> {
        self.ask(Request::Upsert(batch))
    }
}

/// Is a worker until there are no more requests.
pub(crate) fn work(setup: &str) -> anyhow::Result<()> {
    let Setup { data, side } = serde_json::from_str(setup)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut worker: Box<dyn FnMut(Request) -> anyhow::Result<Value>> = match side {
        Side::Ours { place, keys } => {
            let mut ours = Ours::new(data, place, keys)?;
            Box::new(move |request| runtime.block_on(ours.answer(request)))
        }
        Side::Theirs(directory) => {
            let mut theirs = Theirs::new(data, directory);
            Box::new(move |request| runtime.block_on(theirs.answer(request)))
        }
    };
    for line in std::io::stdin().lines() {
        let answer = worker(serde_json::from_str(&line?)?)?;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}
