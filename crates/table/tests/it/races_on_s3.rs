//! Writers against maintenance for a minute, on a real S3.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use freshet_table::{Maintenance, TableError, TableKind};
use object_store::ObjectStore;

use crate::differential::{Process, compare, s3_bucket};
use crate::model::{Given, Model, Row};
use crate::support::{TOPIC, slice, upsert};

const LASTS: Duration = Duration::from_mins(1);
const WRITERS: u32 = 4;
const ROWS: u64 = 50;
/// Keys that all writers share.
const KEYS: u64 = 500;

fn record(partition: u32, offset: u64) -> Row {
    Row {
        key: (format!("o-{}", (offset * 7_919 + u64::from(partition)) % KEYS), Some(0)),
        order: Some(i64::try_from(offset % 97).unwrap()),
        value: format!("{partition}/{offset}"),
        received_at: i64::try_from(offset).unwrap(),
        partition,
        offset,
        note: Given::Null,
        deletes: offset.is_multiple_of(11),
    }
}

/// Writes batch after batch of one partition, and says how many records that were.
async fn write(files: Arc<dyn ObjectStore>, partition: u32, stop: Arc<AtomicBool>) -> u64 {
    let process = Process::start(&files, &upsert()).await;
    let mut offset = 0;
    while !stop.load(Ordering::SeqCst) {
        let rows: Vec<Row> = (offset..offset + ROWS).map(|offset| record(partition, offset)).collect();
        match process.table.write(TOPIC, vec![slice(partition, offset..offset + ROWS, &rows)]).await {
            Ok(_) => offset += ROWS,
            Err(TableError::Conflict { .. }) => {}
            Err(error) => panic!("partition {partition}, offset {offset}: {error:?}"),
        }
    }
    offset
}

#[ignore = "for `make soak`: takes a minute"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_writers_and_maintenance_for_a_minute() {
    let files = s3_bucket().await;
    let kind: TableKind = upsert();
    let maintainer = Process::start(&files, &kind).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers = (0..WRITERS).map(|partition| tokio::spawn(write(files.clone(), partition, stop.clone())));
    let writers: Vec<_> = writers.collect();
    let (compacted, removed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let maintenance = Maintenance {
        // Longer than any of them is on an older version.
        retention: Duration::from_secs(15),
        tombstone_retention: Duration::from_hours(24 * 365 * 100),
        files: 4,
        checkpoint_after: 20,
        ..Maintenance::default()
    };
    let started = Instant::now();
    while started.elapsed() < LASTS {
        let report = maintainer.table.maintain(&maintenance).await.unwrap();
        compacted.fetch_add(report.compacted.files_removed, Ordering::SeqCst);
        removed.fetch_add(report.vacuumed.files, Ordering::SeqCst);
    }
    stop.store(true, Ordering::SeqCst);
    let mut model = Model::default();
    let mut written = Vec::new();
    for (partition, writer) in (0..).zip(writers) {
        let records = writer.await.unwrap();
        model.take((0..records).map(|offset| record(partition, offset)));
        written.push(records);
    }
    eprintln!("records {written:?}, files compacted {compacted:?}, removed {removed:?}");
    assert!(written.iter().all(|records| *records >= 5 * ROWS), "a writer was starved: {written:?}");
    assert!(compacted.into_inner() > 0 && removed.into_inner() > 0);
    compare(&maintainer.table, &model, &kind, "at the end").await;
    let fresh = Process::start(&files, &kind).await;
    compare(&fresh.table, &model, &kind, "for a process that starts then").await;
}
