//! Random schedules against the model.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use freshet_table::{IndexSettings, Maintenance, Merge, Slice, Table, TableError, TableKind, Tables};
use futures::{StreamExt, stream};
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use tempfile::TempDir;

use crate::model::{Given, Model, Row};
use crate::schedule::{Delivery, Schedule};
use crate::support::{Local, PATH, TOPIC, patch, rows, rows_where, slice, spec, tables, upsert};

const STEPS: usize = 10;
/// Schedules on S3, of those of the gate.
const ON_S3: u64 = 200;
const AT_A_TIME: usize = 4;

/// What maintenance does at once, of whatever there is.
pub(crate) fn at_once() -> Maintenance {
    // The records of tests are years old.
    let tombstone_retention = Duration::from_hours(24 * 365 * 100);
    Maintenance { files: 2, dead_percent: 1, checkpoint_after: 5, tombstone_retention, ..Maintenance::default() }
}

fn kind_of(schedule: u64) -> TableKind {
    match schedule % 5 {
        0 | 1 => upsert(),
        2 | 3 => patch(),
        _ => TableKind::Append,
    }
}

/// Follows one random schedule on `files`, and compares the table with the model on the way.
pub(crate) async fn follow(seed: u64, kind: TableKind, files: Arc<dyn ObjectStore>) {
    let mut schedule = Schedule::new(seed, &kind);
    let mut model = Model::default();
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::indexed(&files, &kind, &mut schedule, &directory).await;
    let other = Process::indexed(&files, &kind, &mut schedule, &directory).await;
    for step in 0..STEPS {
        let at = format!("FRESHET_SEED={seed}, step {step}, {kind:?}");
        if schedule.chance(20) {
            // The index on disk is for one process at a time.
            drop(process);
            process = Process::indexed(&files, &kind, &mut schedule, &directory).await;
        }
        if schedule.chance(25) {
            // Both have it, one of them more; whoever is first, each record is in once. And somebody compacts.
            let again = schedule.again();
            let next = schedule.next();
            let both: Vec<_> = again.slices.iter().chain(&next.slices).cloned().collect();
            let compacting = schedule.chance(50);
            let (one, two, three) =
                tokio::join!(process.table.write(TOPIC, both), other.table.write(TOPIC, next.slices), async {
                    if compacting { other.table.maintain(&at_once()).await.map(drop) } else { Ok(()) }
                },);
            one.unwrap_or_else(|error| panic!("{at}: {error:?}"));
            two.unwrap_or_else(|error| panic!("{at}: {error:?}"));
            three.unwrap_or_else(|error| panic!("{at}: {error:?}"));
            model.take(again.rows);
            model.take(next.rows);
        } else if schedule.chance(20) {
            process.table.maintain(&at_once()).await.unwrap_or_else(|error| panic!("{at}: {error:?}"));
        } else {
            let Delivery { slices, rows } = if schedule.chance(25) { schedule.again() } else { schedule.next() };
            let outcome = process.table.write(TOPIC, slices).await.unwrap_or_else(|error| panic!("{at}: {error:?}"));
            assert_eq!(outcome.rows_received, rows.len(), "{at}");
            let accounted = outcome.rows_written + outcome.rows_superseded + outcome.rows_deleted;
            assert_eq!(outcome.rows_new, accounted, "{at}");
            model.take(rows);
        }
        compare(&process.table, &model, &kind, &at).await;
    }
    let expected = rows(&process.table).await.len() as u64;
    assert_eq!(
        other.table.details().await.unwrap().rows,
        Some(expected),
        "seed {seed}: what the files say of themselves"
    );
}

/// What one process holds of the table.
pub(crate) struct Process {
    _tables: Tables,
    pub(crate) table: Arc<Table>,
}

impl Process {
    pub(crate) async fn start(files: &Arc<dyn ObjectStore>, kind: &TableKind) -> Self {
        Self::with(tables(files.clone()), kind).await
    }

    /// With an index of some kind: none, in memory, on disk; of whole hashes, or of so few bits that keys share them.
    async fn indexed(
        files: &Arc<dyn ObjectStore>,
        kind: &TableKind,
        schedule: &mut Schedule,
        directory: &TempDir,
    ) -> Self {
        let settings = IndexSettings {
            memory_bytes: if schedule.chance(60) { 1 << 20 } else { 0 },
            directory: schedule.chance(50).then(|| directory.path().to_owned()),
            waits_for_build: schedule.chance(80),
            hash_bits: if schedule.chance(50) { 2 } else { 64 },
        };
        Self::with(tables(files.clone()).with_index(settings), kind).await
    }

    async fn with(tables: Tables, kind: &TableKind) -> Self {
        let table = tables.open_or_create(PATH, &spec(kind.clone())).await.unwrap();
        Self { _tables: tables, table }
    }
}

/// What a table of a kind must hold.
pub(crate) fn expected(model: &Model, kind: &TableKind) -> Vec<Row> {
    match kind {
        TableKind::Append => model.appended(),
        TableKind::Upsert { order_by: Some(_), merge, .. } => model.upserted(*merge == Merge::Patch),
        TableKind::Upsert { order_by: None, .. } | TableKind::Replaced => panic!("not a kind of the model"),
    }
}

pub(crate) async fn compare(table: &Table, model: &Model, kind: &TableKind, at: &str) {
    let (held, expected) = (rows(table).await, expected(model, kind));
    if held != expected {
        let missing: Vec<_> = expected.iter().filter(|row| !held.contains(row)).collect();
        let wrong: Vec<_> = held.iter().filter(|row| !expected.contains(row)).collect();
        let records = missing.first().or(wrong.first()).map(|row| model.of(&row.key));
        panic!("{at}: missing {missing:?}, wrong {wrong:?}, of the records {records:#?}");
    }
    if let Some((condition, holds)) = condition(model) {
        let held = rows_where(table.provider().await.unwrap(), &condition).await;
        let expected: Vec<Row> = expected.into_iter().filter(|row| holds(row)).collect();
        assert_eq!(held, expected, "{at}: WHERE {condition}");
    }
    let offsets = table.next_offsets(TOPIC).await.unwrap();
    for (partition, after_rows) in model.offsets_after_rows() {
        assert!(offsets.get(&partition).is_some_and(|next| *next >= after_rows), "{at}: {offsets:?}");
    }
}

/// Whether a row meets a condition.
type Holds = Box<dyn Fn(&Row) -> bool + Send>;

/// A condition on a table's rows that some of the delivered ones meet, in SQL and in words; which one, the model's length decides.
fn condition(model: &Model) -> Option<(String, Holds)> {
    let rows = model.rows();
    // Of any age, so that it may be dead or deleted.
    let row = |number: usize| rows.get((rows.len() * 7 + number * 13) % rows.len().max(1)).cloned();
    let (one, two) = (row(0)?, row(1)?);
    let (id, line) = (one.key.0.clone(), one.key.1?);
    Some(match rows.len() % 8 {
        0 => (format!("order_id = '{id}'"), Box::new(move |row| row.key.0 == id)),
        1 => (format!("order_id = '{id}' AND line = {line}"), Box::new(move |row| row.key == one.key)),
        2 => (
            format!("order_id IN ('{id}', '{}', 'nobody')", two.key.0),
            Box::new(move |row| row.key.0 == id || row.key.0 == two.key.0),
        ),
        3 => (
            format!("order_id = '{id}' OR value = '{}'", two.value),
            Box::new(move |row| row.key.0 == id || row.value == two.value),
        ),
        4 => ("note IS NULL".to_owned(), Box::new(|row| row.note.text().is_none())),
        5 => (format!("value = '{}'", two.value), Box::new(move |row| row.value == two.value)),
        6 => (format!("_offset >= {}", two.offset), Box::new(move |row| row.offset >= two.offset)),
        _ => return None,
    })
}

async fn follow_many(schedules: u64) {
    let seed = freshet_testkit::seed();
    stream::iter(0..schedules)
        .map(|schedule| {
            let seed = seed.wrapping_add(schedule);
            let followed = tokio::spawn(follow(seed, kind_of(seed), Arc::new(InMemory::new())));
            async move { followed.await.unwrap() }
        })
        .buffer_unordered(AT_A_TIME)
        .collect::<()>()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_schedules_leave_what_the_model_holds() {
    follow_many(1_000).await;
}

#[ignore = "for `make soak`: takes twenty times as long"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_random_schedules_leave_what_the_model_holds() {
    follow_many(20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_of_one_table_race_to_the_same_end() {
    let local = Local::new();
    let mut schedule = Schedule::new(freshet_testkit::seed(), &upsert());
    let mut model = Model::default();
    let deliveries: Vec<Delivery> = (0..4).map(|_| schedule.next()).collect();
    let files = local.files();
    let mut writers = Vec::new();
    // Each gets everything that came before its own, so whoever wins first leaves less to the others.
    for upto in 1..=deliveries.len() {
        let slices: Vec<_> = deliveries[..upto].iter().flat_map(|delivery| delivery.slices.clone()).collect();
        let process = Process::start(&files, &upsert()).await;
        writers.push(tokio::spawn(async move {
            write_in_a_race(&process.table, slices).await;
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    for delivery in deliveries {
        model.take(delivery.rows);
    }
    let process = Process::start(&files, &upsert()).await;
    compare(&process.table, &model, &upsert(), "after the race").await;
}

/// Writes as the queue's consumers do: what lost every race comes again.
async fn write_in_a_race(table: &Table, slices: Vec<Slice>) {
    for _ in 0..20 {
        match table.write(TOPIC, slices.clone()).await {
            Err(TableError::Conflict { .. }) => {}
            written => {
                written.unwrap();
                return;
            }
        }
    }
    panic!("a writer was starved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_write_while_a_third_puts_their_files_together() {
    const COMMITS: u64 = 60;
    /// On a busy machine the writers go on until files were put together, up to here.
    const MOST_COMMITS: u64 = 3_000;
    let compacted = Arc::new(AtomicUsize::new(0));
    let local = Local::new();
    let files = local.files();
    let record = |partition: u32, offset: u64| Row {
        // Every fourth record is of a key that both write.
        key: (if offset.is_multiple_of(4) { "shared".to_owned() } else { format!("{partition}-{offset}") }, Some(0)),
        order: None,
        value: format!("{partition}/{offset}"),
        received_at: i64::try_from(offset).unwrap(),
        partition,
        offset,
        note: Given::Null,
        deletes: false,
    };
    let writers = (0..2u32).map(|partition| {
        let (files, compacted) = (files.clone(), compacted.clone());
        tokio::spawn(async move {
            let process = Process::start(&files, &upsert()).await;
            let mut offset = 0;
            while offset < COMMITS || (compacted.load(Ordering::Relaxed) == 0 && offset < MOST_COMMITS) {
                let slice = slice(partition, offset..offset + 1, &[record(partition, offset)]);
                write_in_a_race(&process.table, vec![slice]).await;
                offset += 1;
            }
            offset
        })
    });
    let writers = futures::future::join_all(writers);
    let process = Process::start(&files, &upsert()).await;
    let options = at_once();
    tokio::pin!(writers);
    let written = loop {
        tokio::select! {
            written = &mut writers => break written,
            report = process.table.maintain(&options) => {
                compacted.fetch_add(report.unwrap().compacted.files_removed, Ordering::Relaxed);
            }
        }
    };
    assert!(compacted.load(Ordering::Relaxed) > 0, "the writers starved the compaction");
    let mut model = Model::default();
    for (partition, offsets) in (0..).zip(written) {
        model.take((0..offsets.unwrap()).map(|offset| record(partition, offset)));
    }
    process.table.maintain(&at_once()).await.unwrap();
    compare(&process.table, &model, &upsert(), "at the end").await;
    let details = process.table.details().await.unwrap();
    assert!(details.files < 4 && details.version > 2 * COMMITS, "{details:?}");
}

/// A bucket of its own on a real S3.
pub(crate) async fn s3_bucket() -> Arc<dyn ObjectStore> {
    let server = freshet_testkit::SeaweedFs::shared().await.unwrap();
    let bucket = freshet_testkit::random_name("table");
    server.create_bucket(&bucket).await.unwrap();
    let files = AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name(&bucket)
        .with_access_key_id(server.access_key())
        .with_secret_access_key(server.secret_key())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .build()
        .unwrap();
    Arc::new(files)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_the_same_on_s3_with_writers_that_race() {
    let files = s3_bucket().await;
    let seed = freshet_testkit::seed();
    stream::iter(0..ON_S3)
        .map(|schedule| {
            let seed = seed.wrapping_add(schedule);
            let files = Arc::new(PrefixStore::new(files.clone(), format!("{schedule}")));
            let followed = tokio::spawn(follow(seed, kind_of(seed), files));
            async move { followed.await.unwrap() }
        })
        .buffer_unordered(2 * AT_A_TIME)
        .collect::<()>()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_another_process_is_seen_by_the_next_query() {
    let local = Local::new();
    let files = local.files();
    let (one, two) = (Process::start(&files, &upsert()).await, Process::start(&files, &upsert()).await);
    assert!(rows(&two.table).await.is_empty());
    let mut schedule = Schedule::new(7, &upsert());
    let Delivery { slices, rows: delivered } = schedule.next();
    one.table.write(TOPIC, slices).await.unwrap();
    let mut model = Model::default();
    model.take(delivered);
    assert_eq!(rows(&two.table).await, model.upserted(false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_is_temporary() {
    let local = Local::new();
    let table = local.tables().open_or_create(PATH, &spec(upsert())).await.unwrap();
    let files = crate::faults::Faulty::new(local.files(), 1);
    files.break_down();
    let broken = tables(Arc::new(files));
    let error = broken.open(PATH).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    assert!(matches!(broken.ping().await, Err(TableError::Unavailable { .. })));
    assert!(table.next_offsets(TOPIC).await.unwrap().is_empty());
}
