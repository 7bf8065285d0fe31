//! Random schedules against the model.

use std::sync::Arc;

use freshet_table::{Slice, Table, TableError, TableKind, Tables};
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use rstest::rstest;

use crate::model::{Model, Row};
use crate::schedule::{Delivery, Schedule};
use crate::support::{Local, PATH, TOPIC, rows, slice, spec, tables, upsert};

const STEPS: usize = 8;

/// Follows one random schedule on `files`, and compares the table with the model on the way.
pub(crate) async fn follow(seed: u64, kind: TableKind, files: Arc<dyn ObjectStore>) {
    eprintln!("schedule of seed {seed}: FRESHET_SEED={seed} repeats it as the first one");
    let mut schedule = Schedule::new(seed);
    let mut model = Model::default();
    let mut process = Process::start(&files, &kind).await;
    let other = Process::start(&files, &kind).await;
    for step in 0..STEPS {
        if schedule.chance(20) {
            process = Process::start(&files, &kind).await;
        }
        if schedule.chance(25) {
            // Both have it, one of them more; whoever is first, each record is in once.
            let again = schedule.again();
            let next = schedule.next();
            let both: Vec<_> = again.slices.iter().chain(&next.slices).cloned().collect();
            let (one, two) = tokio::join!(process.table.write(TOPIC, both), other.table.write(TOPIC, next.slices));
            one.unwrap();
            two.unwrap();
            model.take(again.rows);
            model.take(next.rows);
        } else {
            let Delivery { slices, rows } = if schedule.chance(25) { schedule.again() } else { schedule.next() };
            let outcome = process.table.write(TOPIC, slices).await.unwrap();
            assert_eq!(outcome.rows_received, rows.len());
            assert_eq!(outcome.rows_new, outcome.rows_written + outcome.rows_superseded);
            model.take(rows);
        }
        compare(&process.table, &model, &kind, &format!("seed {seed}, step {step}")).await;
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
    async fn start(files: &Arc<dyn ObjectStore>, kind: &TableKind) -> Self {
        let tables = tables(files.clone());
        let table = tables.open_or_create(PATH, &spec(kind.clone())).await.unwrap();
        Self { _tables: tables, table }
    }
}

pub(crate) async fn compare(table: &Table, model: &Model, kind: &TableKind, at: &str) {
    let expected = match kind {
        TableKind::Append => model.appended(),
        TableKind::Upsert { order_by: Some(_), .. } => model.upserted(),
        TableKind::Upsert { order_by: None, .. } | TableKind::Replaced => panic!("not a kind of the model"),
    };
    assert_eq!(rows(table).await, expected, "{at}");
    let offsets = table.next_offsets(TOPIC).await.unwrap();
    for (partition, after_rows) in model.offsets_after_rows() {
        assert!(offsets.get(&partition).is_some_and(|next| *next >= after_rows), "{at}: {offsets:?}");
    }
}

#[rstest]
#[case::upsert(upsert(), 32)]
#[case::append(TableKind::Append, 12)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_schedules_leave_what_the_model_holds(#[case] kind: TableKind, #[case] schedules: u64) {
    let seed = freshet_testkit::seed();
    for schedule in 0..schedules {
        let local = Local::new();
        follow(seed.wrapping_add(schedule), kind.clone(), local.files()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_of_one_table_race_to_the_same_end() {
    let local = Local::new();
    let mut schedule = Schedule::new(freshet_testkit::seed());
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
async fn small_files_are_put_together_while_two_processes_write() {
    const COMMITS: u64 = 60;
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
    };
    let writers = (0..2u32).map(|partition| {
        let files = files.clone();
        tokio::spawn(async move {
            let process = Process::start(&files, &upsert()).await;
            for offset in 0..COMMITS {
                let slice = slice(partition, offset..offset + 1, &[record(partition, offset)]);
                write_in_a_race(&process.table, vec![slice]).await;
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    let mut model = Model::default();
    model.take((0..2).flat_map(|partition| (0..COMMITS).map(move |offset| record(partition, offset))));
    let process = Process::start(&files, &upsert()).await;
    compare(&process.table, &model, &upsert(), "at the end").await;
    let details = process.table.details().await.unwrap();
    assert!(details.files < 64 && details.version > 2 * COMMITS, "{details:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_the_same_on_s3_with_writers_that_race() {
    let server = freshet_testkit::SeaweedFs::shared().await.unwrap();
    let seed = freshet_testkit::seed();
    for schedule in 0..4 {
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
        let kind = if schedule == 3 { TableKind::Append } else { upsert() };
        follow(seed.wrapping_add(schedule), kind, Arc::new(files)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_another_process_is_seen_by_the_next_query() {
    let local = Local::new();
    let files = local.files();
    let (one, two) = (Process::start(&files, &upsert()).await, Process::start(&files, &upsert()).await);
    assert!(rows(&two.table).await.is_empty());
    let mut schedule = Schedule::new(7);
    let Delivery { slices, rows: delivered } = schedule.next();
    one.table.write(TOPIC, slices).await.unwrap();
    let mut model = Model::default();
    model.take(delivered);
    assert_eq!(rows(&two.table).await, model.upserted());
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
