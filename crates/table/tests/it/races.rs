//! Races of two processes, in an order that the test decides: one of them is held at a version of the log.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::datatypes::{DataType, Field};
use async_trait::async_trait;
use bytes::Bytes;
use freshet_table::{Slice, Table, TableKind, TableSpec};
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use rstest::rstest;
use tokio::sync::Semaphore;

use crate::differential::compare;
use crate::model::{Model, Row};
use crate::schema::wider;
use crate::support::{Local, PATH, TOPIC, number, slice, spec, tables, upsert};

/// Small files at which the engine puts them together.
const CROWDED: u64 = 64;
const DEADLINE: Duration = Duration::from_mins(1);

/// What becomes of the first commit of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// It is held before it takes place.
    Held,
    /// It takes place, and its answer is held.
    Answered,
    /// It fails.
    Refused,
}

/// The store of one process, which does as it is told with the first commit of one version.
#[derive(Debug, Clone)]
struct Gate {
    files: Arc<dyn ObjectStore>,
    entry: String,
    first: First,
    passed: Arc<AtomicBool>,
    reached: Arc<Semaphore>,
    opened: Arc<Semaphore>,
}

impl Gate {
    fn at(local: &Local, version: u64, first: First) -> Self {
        let none = || Arc::new(Semaphore::new(0));
        let entry = format!("{version:020}.json");
        Self { files: local.files(), entry, first, passed: Arc::default(), reached: none(), opened: none() }
    }

    async fn table(&self, kind: TableKind) -> Arc<Table> {
        tables(Arc::new(self.clone())).open_or_create(PATH, &spec(kind)).await.unwrap()
    }

    /// Waits until the commit is held.
    async fn reached(&self) {
        tokio::time::timeout(DEADLINE, self.reached.acquire()).await.expect("it is never held").unwrap().forget();
    }

    fn open(&self) {
        self.opened.add_permits(1);
    }

    async fn hold(&self) {
        self.reached.add_permits(1);
        tokio::time::timeout(DEADLINE, self.opened.acquire()).await.expect("it is never let go").unwrap().forget();
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({})", self.files)
    }
}

#[async_trait]
impl ObjectStore for Gate {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let ours = location.filename() == Some(self.entry.as_str()) && !self.passed.swap(true, Ordering::SeqCst);
        if ours && self.first == First::Refused {
            self.reached.add_permits(1);
            return Err(Error::Generic { store: "Gate", source: "refused".into() });
        }
        if ours && self.first == First::Held {
            self.hold().await;
        }
        let answer = self.files.put_opts(location, payload, options).await;
        if ours && self.first == First::Answered {
            self.hold().await;
        }
        answer
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.files.rename_opts(from, to, options).await
    }
}

fn record(partition: u32, offset: u64) -> Row {
    Row {
        key: (format!("{partition}-{offset}"), Some(0)),
        order: None,
        value: "x".to_owned(),
        received_at: i64::try_from(offset).unwrap(),
        partition,
        offset,
    }
}

fn one(partition: u32, offset: u64) -> Vec<Slice> {
    vec![slice(partition, offset..offset + 1, &[record(partition, offset)])]
}

/// Writes one row a commit, so many that the last one is followed by a compaction.
async fn crowd(table: &Table) {
    for offset in 0..CROWDED {
        table.write(TOPIC, one(0, offset)).await.unwrap();
    }
}

/// The rows of [`crowd`], and one of another partition.
fn crowd_and_one_more() -> Model {
    let mut model = Model::default();
    model.take((0..CROWDED).map(|offset| record(0, offset)).chain([record(1, 0)]));
    model
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_compactions_at_once_double_no_row() {
    let local = Local::new();
    // Version 0 makes the table, and each row makes one more.
    let slow = Gate::at(&local, CROWDED + 1, First::Held);
    let quick = Gate::at(&local, CROWDED + 2, First::Held);
    let table = slow.table(TableKind::Append).await;
    let slow_writer = tokio::spawn(async move { crowd(&table).await });
    slow.reached().await;
    // The other process appends in between, and goes on to put the same files together.
    let table = quick.table(TableKind::Append).await;
    let quick_writer = tokio::spawn(async move { table.write(TOPIC, one(1, 0)).await.unwrap() });
    quick.reached().await;
    slow.open();
    slow_writer.await.unwrap();
    quick.open();
    quick_writer.await.unwrap();
    let table = local.tables().open(PATH).await.unwrap().unwrap();
    compare(&table, &crowd_and_one_more(), &TableKind::Append, "after both").await;
    let details = table.details().await.unwrap();
    assert_eq!(details.version, CROWDED + 2, "one of the two gave up");
    assert!(details.files < 4, "the other put the files together: {details:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_commit_during_a_compaction_is_known_after_it() {
    let local = Local::new();
    let gate = Gate::at(&local, CROWDED + 1, First::Answered);
    let table = gate.table(TableKind::Append).await;
    let writer = {
        let table = table.clone();
        tokio::spawn(async move { crowd(&table).await })
    };
    gate.reached().await;
    let other = local.tables().open(PATH).await.unwrap().unwrap();
    other.write(TOPIC, one(1, 0)).await.unwrap();
    gate.open();
    writer.await.unwrap();
    // The queue delivers to the first process what the other one has written.
    table.write(TOPIC, one(1, 0)).await.unwrap();
    compare(&table, &crowd_and_one_more(), &TableKind::Append, "after the compaction").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_that_fails_fails_no_write() {
    let local = Local::new();
    let gate = Gate::at(&local, CROWDED + 1, First::Refused);
    let table = gate.table(TableKind::Append).await;
    crowd(&table).await;
    gate.reached().await;
    table.write(TOPIC, one(1, 0)).await.unwrap();
    compare(&table, &crowd_and_one_more(), &TableKind::Append, "after the failure").await;
    assert!(table.details().await.unwrap().files < 4, "the next write puts the files together");
}

#[rstest]
#[case::upsert(upsert())]
#[case::append(TableKind::Append)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_another_process_adds_during_a_write_is_null_in_its_rows(#[case] kind: TableKind) {
    let local = Local::new();
    let gate = Gate::at(&local, 2, First::Held);
    let table = gate.table(kind.clone()).await;
    table.write(TOPIC, one(0, 0)).await.unwrap();
    let writer = {
        let table = table.clone();
        tokio::spawn(async move { table.write(TOPIC, one(0, 1)).await })
    };
    gate.reached().await;
    let schema = wider(Field::new("email", DataType::Utf8, true));
    local.tables().open_or_create(PATH, &TableSpec { schema, kind }).await.unwrap();
    gate.open();
    let outcome = writer.await.unwrap().unwrap();
    assert_eq!((outcome.attempts, outcome.rows_written), (2, 1));
    table.write(TOPIC, one(0, 2)).await.unwrap();
    assert_eq!(number(&table, "SELECT count(*) FROM t WHERE email IS NULL AND value = 'x'").await, 3);
}
