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

use crate::differential::{at_once, compare};
use crate::model::{Given, Model, Row};
use crate::schema::wider;
use crate::support::{Local, PATH, TOPIC, number, slice, spec, tables, upsert};

/// Files that are put together.
const CROWDED: u64 = 6;
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
        note: Given::Null,
        deletes: false,
    }
}

fn one(partition: u32, offset: u64) -> Vec<Slice> {
    vec![slice(partition, offset..offset + 1, &[record(partition, offset)])]
}

/// Writes one row a commit.
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

/// Version 0 makes the table, and each row makes one more: the version of a compaction after them.
const COMPACTION: u64 = CROWDED + 1;

/// A process that is held before the compaction of six rows.
async fn held_compaction(local: &Local, kind: &TableKind, first: First) -> (Gate, tokio::task::JoinHandle<usize>) {
    let gate = Gate::at(local, COMPACTION, first);
    let table = gate.table(kind.clone()).await;
    crowd(&table).await;
    let compaction = tokio::spawn(async move { table.maintain(&at_once()).await.unwrap().compacted.files_removed });
    gate.reached().await;
    (gate, compaction)
}

#[rstest]
#[case::upsert(upsert())]
#[case::append(TableKind::Append)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_compactions_at_once_double_no_row(#[case] kind: TableKind) {
    let local = Local::new();
    let (gate, slow) = held_compaction(&local, &kind, First::Held).await;
    let quick = local.tables().open(PATH).await.unwrap().unwrap();
    quick.write(TOPIC, one(1, 0)).await.unwrap();
    assert_eq!(quick.maintain(&at_once()).await.unwrap().compacted.files_removed, 7);
    gate.open();
    assert_eq!(slow.await.unwrap(), 0, "the other one was first");
    compare(&quick, &crowd_and_one_more(), &kind, "after both").await;
    let details = quick.details().await.unwrap();
    assert_eq!((details.version, details.files), (CROWDED + 2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_that_loses_to_upserts_takes_their_rows_out_of_its_new_files() {
    let local = Local::new();
    let (gate, slow) = held_compaction(&local, &upsert(), First::Held).await;
    let other = local.tables().open(PATH).await.unwrap().unwrap();
    // One key that is in the files is written again, another one is deleted.
    let newer = Row { key: record(0, 3).key, order: Some(1), value: "newer".to_owned(), ..record(1, 0) };
    let deletion = Row { key: record(0, 5).key, order: Some(1), deletes: true, ..record(1, 1) };
    other.write(TOPIC, vec![slice(1, 0..2, &[newer.clone(), deletion.clone()])]).await.unwrap();
    gate.open();
    assert_eq!(slow.await.unwrap(), 6, "both win");
    let mut model = Model::default();
    model.take((0..CROWDED).map(|offset| record(0, offset)).chain([newer, deletion]));
    compare(&other, &model, &upsert(), "after both").await;
    // And it stays so for whoever starts then.
    let late = Row { key: record(0, 5).key, order: Some(0), ..record(1, 2) };
    let third = local.tables().open(PATH).await.unwrap().unwrap();
    third.write(TOPIC, vec![slice(1, 2..3, std::slice::from_ref(&late))]).await.unwrap();
    model.take([late]);
    compare(&third, &model, &upsert(), "after a late record").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upsert_that_loses_to_a_compaction_finds_its_rows_in_the_new_files() {
    let local = Local::new();
    let gate = Gate::at(&local, COMPACTION, First::Held);
    let table = gate.table(upsert()).await;
    crowd(&table).await;
    let newer = Row { key: record(0, 3).key, order: Some(1), value: "newer".to_owned(), ..record(1, 0) };
    let upsert_held = {
        let slices = vec![slice(1, 0..1, std::slice::from_ref(&newer))];
        let table = table.clone();
        tokio::spawn(async move { table.write(TOPIC, slices).await.unwrap() })
    };
    gate.reached().await;
    let other = local.tables().open(PATH).await.unwrap().unwrap();
    assert_eq!(other.maintain(&at_once()).await.unwrap().compacted.files_removed, 6);
    gate.open();
    assert_eq!(upsert_held.await.unwrap().attempts, 2);
    let mut model = Model::default();
    model.take((0..CROWDED).map(|offset| record(0, offset)).chain([newer]));
    compare(&other, &model, &upsert(), "after both").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_commit_during_a_compaction_is_known_after_it() {
    let local = Local::new();
    let gate = Gate::at(&local, COMPACTION, First::Answered);
    let table = gate.table(TableKind::Append).await;
    crowd(&table).await;
    let compaction = {
        let table = table.clone();
        tokio::spawn(async move { table.maintain(&at_once()).await.unwrap() })
    };
    gate.reached().await;
    let other = local.tables().open(PATH).await.unwrap().unwrap();
    other.write(TOPIC, one(1, 0)).await.unwrap();
    gate.open();
    compaction.await.unwrap();
    // The queue delivers to the first process what the other one has written.
    table.write(TOPIC, one(1, 0)).await.unwrap();
    compare(&table, &crowd_and_one_more(), &TableKind::Append, "after the compaction").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_whose_commit_fails_is_tried_again() {
    let local = Local::new();
    let gate = Gate::at(&local, COMPACTION, First::Refused);
    let table = gate.table(TableKind::Append).await;
    crowd(&table).await;
    assert_eq!(table.maintain(&at_once()).await.unwrap().compacted.files_removed, 6);
    table.write(TOPIC, one(1, 0)).await.unwrap();
    compare(&table, &crowd_and_one_more(), &TableKind::Append, "after the failure").await;
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
