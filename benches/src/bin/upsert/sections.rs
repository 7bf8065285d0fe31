//! What is measured, section by section.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use freshet_benches::counting::Requests;
use freshet_benches::engine::{Keys, Place};
use freshet_benches::{Must, Row, bench_directory, median, say};
use freshet_testkit::SeaweedFs;
use serde_json::Value;
use tempfile::TempDir;

use crate::data::{Batch, Data};
use crate::ours::copy;
use crate::worker::{Maintained, Measured, Request, Side, Worker};

/// Times that each size of batch is upserted by each side.
const ROUNDS: u64 = 5;
/// The same for what takes minutes a time.
const LONG_ROUNDS: u64 = 3;
/// The same where the peer isn't asked.
const QUICK_ROUNDS: u64 = 20;
/// What a process keeps of keys in memory where that is not what is measured.
const MEMORY: usize = 256 << 20;
/// The same where what it keeps on disk is: it holds the keys of no table here.
const LITTLE_MEMORY: usize = 8 << 20;
/// Of a batch's rows, how many of a hundred are updates, unless said otherwise.
const UPDATES: usize = 80;
/// Upserts in a row while the table is maintained.
const IN_A_ROW: u64 = 100;

/// What the sections share.
pub(crate) struct Bench {
    directory: TempDir,
    orders: u64,
    /// Of lineitem.
    scale: f64,
    /// Where our table of the orders lies that all sections copy.
    filled: Option<PathBuf>,
}

impl Bench {
    pub(crate) fn new(orders: u64, scale: f64) -> anyhow::Result<Self> {
        Ok(Self { directory: bench_directory("upsert-")?, orders, scale, filled: None })
    }

    /// Batches of several sizes into the orders, warm, beside MERGE; then the first upsert of a process.
    pub(crate) fn orders(&mut self) -> anyhow::Result<Vec<Row>> {
        let data = Data::Orders(self.orders);
        let into = millions(self.orders);
        let copied = self.copy_of_filled("warm")?;
        let mut theirs = self.theirs(data, "peer-orders")?;
        let mut ours = self.ours(data, copied, MEMORY, Some("warm"))?;
        ours.ask::<Value>(Request::Ready)?;

        let mut number = 1;
        let mut rows = Vec::new();
        let mut merge_milliseconds = 0.0;
        for (size, times) in [(10_000, 100.0), (1_000, 200.0), (34, 200.0)] {
            say(&format!("upserting {size} rows {ROUNDS} times into {into}, both sides …"));
            let (mine, peers) = alternate(&mut ours, &mut theirs, &mut number, (size, UPDATES), ROUNDS)?;
            let what = format!("{size} rows into {into}, warm");
            let peer = peers.milliseconds();
            rows.push(Row::new(&what, "ms", mine.milliseconds(), Some(peer), Must::AtMost(peer / times)));
            if size == 10_000 {
                merge_milliseconds = peer;
                rows.extend(mine.costs(&peers, &what, 400.0, Must::AtMost(1.0)));
            }
        }
        say("comparing what both tables hold …");
        ensure_same(&mut ours, &mut theirs)?;
        drop((ours, theirs));

        let first = |section: &str, directory: Option<&str>| self.first_upserts(section, directory);
        let none = first("cold", None)?;
        let on_disk = first("kept", Some("kept"))?;
        for (what, measured, times) in [("no index at all", none, 8.0), ("the on-disk index", on_disk, 40.0)] {
            let must = Must::AtMost(merge_milliseconds / times);
            let what = format!("10000 rows into {into}, first of a process, {what}");
            rows.push(Row::new(&what, "ms", measured.milliseconds(), Some(merge_milliseconds), must));
            rows.push(Row::new(format!("{what}: peak memory"), "MB", measured.peak(), None, Must::Nothing));
        }
        Ok(rows)
    }

    /// The first upserts of processes, with an index that earlier ones left in a directory or without.
    fn first_upserts(&self, section: &str, directory: Option<&str>) -> anyhow::Result<Several> {
        say(&format!("upserting 10000 rows in {ROUNDS} new processes, {section} …"));
        let data = Data::Orders(self.orders);
        let filled = self.filled.as_ref().context("the orders are filled by now")?;
        let copied = copy(filled, self.path(section))?;
        if directory.is_some() {
            self.ours(data, copied.clone(), LITTLE_MEMORY, directory)?.ask::<Value>(Request::Ready)?;
        }
        let mut measured = Several::default();
        for number in 1..=ROUNDS {
            let mut ours = self.ours(data, copied.clone(), LITTLE_MEMORY, directory)?;
            measured.0.push(ours.upsert(Batch { number, rows: 10_000, updates: UPDATES })?);
            if directory.is_some() {
                // What is never part of a write: the index follows it for the next process.
                ours.ask::<Value>(Request::Ready)?;
            }
        }
        Ok(measured)
    }

    /// The same batch into ten and a hundred times as many orders, with the index on disk.
    pub(crate) fn growth(&mut self) -> anyhow::Result<Vec<Row>> {
        let middle = self.copy_of_filled("growth")?;
        let (fewer, more) = (self.orders / 10, self.orders * 10);
        let mut workers = Vec::new();
        for (orders, filled) in [(fewer, None), (self.orders, Some(middle)), (more, None)] {
            let data = Data::Orders(orders);
            let name = format!("growth-{orders}");
            let place = match filled {
                Some(place) => place,
                None => self.fill(data, &name)?,
            };
            say(&format!("indexing {} orders on disk …", millions(orders)));
            let mut ours = self.ours(data, place, LITTLE_MEMORY, Some(&name))?;
            ours.ask::<Value>(Request::Ready)?;
            workers.push((orders, ours, Vec::new()));
        }
        say(&format!("upserting 1000 rows {QUICK_ROUNDS} times into each …"));
        for number in 1..=QUICK_ROUNDS + 1 {
            for (_, ours, milliseconds) in &mut workers {
                let measured = ours.upsert(Batch { number, rows: 1_000, updates: UPDATES })?;
                // The first is there to warm.
                if number > 1 {
                    milliseconds.push(measured.milliseconds);
                }
            }
        }
        let mut rows = Vec::new();
        let mut smaller = None;
        for (orders, _, milliseconds) in &workers {
            let ours = median(milliseconds);
            let must = match smaller {
                Some(smaller) if *orders == more => Must::AtMost(1.5 * smaller),
                _ => Must::Nothing,
            };
            let beside = if smaller.is_some() { ", beside a tenth of them" } else { "" };
            let what = format!("1000 rows into {} orders, index on disk{beside}", millions(*orders));
            rows.push(Row::new(what, "ms", ours, smaller, must));
            smaller = Some(ours);
        }
        Ok(rows)
    }

    /// Upserts in a row while the table is maintained, and point queries before them and after them.
    pub(crate) fn maintenance(&mut self) -> anyhow::Result<Vec<Row>> {
        let data = Data::Orders(self.orders);
        let copied = self.copy_of_filled("maintained")?;
        let mut ours = self.ours(data, copied, MEMORY, Some("maintained"))?;
        ours.ask::<Value>(Request::Ready)?;
        ours.upsert(Batch { number: 1, rows: 10_000, updates: UPDATES })?;
        say(&format!("upserting 10000 rows {IN_A_ROW} times while the table is maintained …"));
        let first = Batch { number: 2, rows: 10_000, updates: UPDATES };
        let maintained: Maintained = ours.ask(Request::Maintain { first, upserts: IN_A_ROW })?;
        let Maintained { milliseconds, point_query: (before, after), files } = maintained;
        let middle = median(&milliseconds);
        let longest = milliseconds.iter().copied().fold(0.0, f64::max);
        let what = format!("{IN_A_ROW} upserts while maintained");
        #[expect(clippy::cast_precision_loss, reason = "a few hundred files")]
        let (files_before, files_after) = (files.0 as f64, files.1 as f64);
        Ok(vec![
            Row::new(
                format!("data files after {what}, beside before"),
                "files",
                files_after,
                Some(files_before),
                // Less than it would be without maintenance.
                Must::AtMost(files_before + 60.0),
            ),
            Row::new(
                format!("{what}: the longest, beside the median"),
                "ms",
                longest,
                Some(middle),
                Must::AtMost(5.0 * middle),
            ),
            Row::new(
                format!("point query after {what}, beside before"),
                "ms",
                after,
                Some(before),
                Must::AtMost(1.5 * before),
            ),
        ])
    }

    /// What a warm upsert asks of an S3 server.
    pub(crate) fn requests(&mut self) -> anyhow::Result<Vec<Row>> {
        let runtime = tokio::runtime::Runtime::new()?;
        let data = Data::Orders(self.orders / 50);
        say("filling a table on SeaweedFS …");
        let server = runtime.block_on(SeaweedFs::start())?;
        let bucket = "bench";
        runtime.block_on(server.create_bucket(bucket))?;
        let place = Place::Bucket {
            endpoint: server.endpoint(),
            name: bucket.to_owned(),
            access_key: server.access_key().to_owned(),
            secret_key: server.secret_key().to_owned(),
        };
        let keys = Keys { memory_bytes: MEMORY, directory: Some(self.path("keys-requests")) };
        let mut ours = Worker::start(data, Side::Ours { place, keys })?;
        ours.ask::<Value>(Request::Fill)?;
        ours.ask::<Value>(Request::Ready)?;
        let mut measured = Several::default();
        for number in 1..=QUICK_ROUNDS + 1 {
            let upsert = ours.upsert(Batch { number, rows: 1_000, updates: UPDATES })?;
            // The first is there to warm.
            if number > 1 {
                measured.0.push(upsert);
            }
        }
        drop(ours);
        let most = |kind: fn(&Requests) -> u64| measured.most(kind);
        let row = |name: &str, most: f64, must: f64| {
            Row::new(
                format!("{name} of a warm upsert, on SeaweedFS, at most"),
                "requests",
                most,
                None,
                Must::AtMost(must),
            )
        };
        Ok(vec![
            row("PUT", most(|requests| requests.put), 3.0),
            row("GET", most(|requests| requests.get), 1.0),
            row("LIST", most(|requests| requests.list), 0.0),
            row("HEAD", most(|requests| requests.head), 0.0),
            Row::new("1000 rows, warm, on SeaweedFS", "ms", measured.milliseconds(), None, Must::Nothing),
        ])
    }

    /// A hundredth of lineitem's rows, half of them updates, beside MERGE.
    pub(crate) fn lineitem(&mut self) -> anyhow::Result<Vec<Row>> {
        // The orders are not needed any more, and take up room.
        self.filled = None;
        self.directory = bench_directory("upsert-")?;
        let scale = self.scale;
        let data = Data::LineItems(scale);
        let place = self.fill(data, "lineitem")?;
        let mut theirs = self.theirs(data, "peer-lineitem")?;
        let mut ours = self.ours(data, place, MEMORY, Some("lineitem"))?;
        say("indexing lineitem …");
        ours.ask::<Value>(Request::Ready)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "far below 2^52, and whole")]
        let size = (60_000.0 * scale) as usize;
        say(&format!("upserting {size} rows {LONG_ROUNDS} times, both sides …"));
        let (mine, peers) = alternate(&mut ours, &mut theirs, &mut 1, (size, 50), LONG_ROUNDS)?;
        let what = format!("{size} mixed rows into lineitem of scale {scale}");
        let (milliseconds, peer) = (mine.milliseconds(), peers.milliseconds());
        let mut rows = vec![Row::new(&what, "ms", milliseconds, Some(peer), Must::AtMost(peer / 8.0))];
        rows.extend(mine.costs(&peers, &what, 1_000.0, Must::Nothing));
        say("comparing what both tables hold …");
        ensure_same(&mut ours, &mut theirs)?;
        Ok(rows)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn ours(&self, data: Data, place: PathBuf, memory_bytes: usize, keys: Option<&str>) -> anyhow::Result<Worker> {
        let directory = keys.map(|name| self.path(&format!("keys-{name}")));
        let keys = Keys { memory_bytes, directory };
        Worker::start(data, Side::Ours { place: Place::Directory(place), keys })
    }

    /// The peer's table with all rows, opened by a process that hasn't filled it.
    fn theirs(&self, data: Data, name: &str) -> anyhow::Result<Worker> {
        say(&format!("filling the peer's table {name} …"));
        let side = Side::Theirs(self.path(name));
        Worker::start(data, side.clone())?.ask::<Value>(Request::Fill)?;
        let mut theirs = Worker::start(data, side)?;
        theirs.ask::<Value>(Request::Ready)?;
        Ok(theirs)
    }

    /// A table of ours with all rows, and nothing else done to it.
    fn fill(&self, data: Data, name: &str) -> anyhow::Result<PathBuf> {
        say(&format!("filling our table {name} …"));
        let place = self.path(name);
        let directory = self.path(&format!("filling-{name}"));
        let keys = Keys { memory_bytes: MEMORY, directory: Some(directory) };
        let mut filling = Worker::start(data, Side::Ours { place: Place::Directory(place.clone()), keys })?;
        filling.ask::<Value>(Request::Fill)?;
        Ok(place)
    }

    /// A copy of our table of the orders, which is filled once.
    fn copy_of_filled(&mut self, name: &str) -> anyhow::Result<PathBuf> {
        let filled = match self.filled.take() {
            Some(filled) => filled,
            None => self.fill(Data::Orders(self.orders), "orders")?,
        };
        let copied = copy(&filled, self.path(name))?;
        self.filled = Some(filled);
        Ok(copied)
    }
}

/// What some upserts took.
#[derive(Debug, Default)]
struct Several(Vec<Measured>);

impl Several {
    fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        median(&self.0.iter().map(of).collect::<Vec<_>>())
    }

    fn milliseconds(&self) -> f64 {
        self.median(|measured| measured.milliseconds)
    }

    /// The most memory that any of them took.
    fn peak(&self) -> f64 {
        self.0.iter().map(|measured| measured.peak_megabytes).fold(0.0, f64::max)
    }

    fn most(&self, kind: impl Fn(&Requests) -> u64) -> f64 {
        self.0.iter().map(|measured| count(kind(&measured.requests))).fold(0.0, f64::max)
    }

    /// Beside the peer's: what was written, the memory at the peak, and the requests.
    fn costs(&self, peer: &Self, what: &str, most_memory: f64, most_written: Must) -> Vec<Row> {
        let beside = |name: &str, unit, of: fn(&Measured) -> f64, must| {
            Row::new(format!("{what}: {name}"), unit, self.median(of), Some(peer.median(of)), must)
        };
        vec![
            beside("written", "MB", |measured| count(measured.requests.bytes_written) / 1e6, most_written),
            Row::new(format!("{what}: peak memory"), "MB", self.peak(), Some(peer.peak()), Must::AtMost(most_memory)),
            beside("PUT", "requests", |measured| count(measured.requests.put), Must::Nothing),
            beside("GET", "requests", |measured| count(measured.requests.get), Must::Nothing),
            beside("LIST", "requests", |measured| count(measured.requests.list), Must::Nothing),
            beside("HEAD", "requests", |measured| count(measured.requests.head), Must::Nothing),
        ]
    }
}

/// Upserts the same batches by both sides in turns, after one that isn't measured.
fn alternate(
    ours: &mut Worker,
    theirs: &mut Worker,
    number: &mut u64,
    (rows, updates): (usize, usize),
    rounds: u64,
) -> anyhow::Result<(Several, Several)> {
    let (mut mine, mut peers) = (Several::default(), Several::default());
    for round in 0..=rounds {
        let batch = Batch { number: *number, rows, updates };
        let (our_upsert, their_merge) = (ours.upsert(batch)?, theirs.upsert(batch)?);
        if round > 0 {
            mine.0.push(our_upsert);
            peers.0.push(their_merge);
        }
        *number += 1;
    }
    Ok((mine, peers))
}

fn ensure_same(ours: &mut Worker, theirs: &mut Worker) -> anyhow::Result<()> {
    let mine: (i64, f64) = ours.ask(Request::Sums)?;
    let peers: (i64, f64) = theirs.ask(Request::Sums)?;
    // Sums of decimals are exact, and rounded alike.
    ensure!(mine == peers, "our table holds {mine:?} (rows, amount) and the peer's {peers:?}");
    Ok(())
}

fn millions(rows: u64) -> String {
    format!("{} M", count(rows) / 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}
