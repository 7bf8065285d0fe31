//! What has changed since a version, against the rows of both versions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use async_trait::async_trait;
use freshet_table::{ChangeLimits, Changes, Merge, Since, Table, TableKind, Untold, VersionedTable};
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::differential::at_once;
use crate::model::{Given, Row};
use crate::schedule::{Delivery, Schedule};
use crate::support::{PATH, TOPIC, rows_of, slice, spec, tables};

/// One row for each order.
fn kind(merge: Merge) -> TableKind {
    TableKind::Upsert { key: vec!["order_id".to_owned()], order_by: Some("seq".to_owned()), merge }
}

type Rows = BTreeMap<String, Row>;

async fn rows(version: &VersionedTable) -> Rows {
    by_key(rows_of(version.provider()).await)
}

fn by_key(rows: Vec<Row>) -> Rows {
    let count = rows.len();
    let by_key: Rows = rows.into_iter().map(|row| (row.key.0.clone(), row)).collect();
    assert_eq!(by_key.len(), count, "a key is in twice");
    by_key
}

fn keys(changes: &Changes) -> BTreeSet<String> {
    let texts = cast(&changes.keys, &DataType::Utf8).unwrap();
    let keys: BTreeSet<String> = texts.as_string::<i32>().iter().map(|key| key.unwrap().to_owned()).collect();
    assert_eq!(keys.len(), texts.len(), "a key is told twice");
    keys
}

async fn told(version: &VersionedTable, since: &Noted) -> Changes {
    let limits = ChangeLimits::default();
    match version.changes_since(since.version, &since.made_by, limits).await.unwrap() {
        Since::Changes(changes) => changes,
        Since::Untold(why) => panic!("{why}"),
    }
}

async fn untold(version: &VersionedTable, since: &Noted, limits: ChangeLimits) -> Untold {
    match version.changes_since(since.version, &since.made_by, limits).await.unwrap() {
        Since::Changes(changes) => panic!("{changes:?}"),
        Since::Untold(why) => why,
    }
}

/// A version, as whoever followed the table has noted it.
struct Noted {
    version: u64,
    made_by: String,
    rows: Rows,
}

async fn note(table: &Arc<Table>) -> Noted {
    let version = table.newest_version().await.unwrap();
    let made_by = version.made_by().await.unwrap().expect("a commit of ours made it");
    Noted { version: version.number(), made_by, rows: rows(&version).await }
}

/// Two processes that write, delete, deliver again and compact; whatever they do, what is told since any earlier version is what makes the
/// rows of that one those of the newest.
#[rstest]
#[case::replace(Merge::Replace)]
#[case::patch(Merge::Patch)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_makes_the_older_version_the_newer(#[case] merge: Merge) {
    let first_seed = freshet_testkit::seed();
    for number in 0..40 {
        let seed = first_seed.wrapping_add(number);
        let kind = kind(merge);
        let files: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut schedule = Schedule::new(seed, &kind);
        let one = tables(Arc::clone(&files)).open_or_create(PATH, &spec(kind.clone())).await.unwrap();
        let other = tables(Arc::clone(&files)).open_or_create(PATH, &spec(kind)).await.unwrap();
        let mut noted = vec![note(&one).await];
        for step in 0..10 {
            let Delivery { slices, .. } = if schedule.chance(25) { schedule.again() } else { schedule.next() };
            let compacts = schedule.chance(40);
            let (written, compacted) = tokio::join!(one.write(TOPIC, slices), async {
                if compacts { other.maintain(&at_once()).await.map(drop) } else { Ok(()) }
            });
            written.unwrap();
            compacted.unwrap();
            let newest = one.newest_version().await.unwrap();
            let now = rows(&newest).await;
            for before in &noted {
                let at = format!("FRESHET_SEED={seed}, step {step}, {} to {}", before.version, newest.number());
                let changes = told(&newest, before).await;
                let keys = keys(&changes);
                let all: BTreeSet<&String> = before.rows.keys().chain(now.keys()).collect();
                for key in all {
                    assert!(before.rows.get(key) == now.get(key) || keys.contains(key), "{at}: {key} is not told");
                }
                let expected: Rows = now
                    .iter()
                    .filter(|(key, _)| keys.contains(*key))
                    .map(|(key, row)| (key.clone(), row.clone()))
                    .collect();
                assert_eq!(by_key(rows_of(changes.rows).await), expected, "{at}");
                assert_eq!(changes.commits, newest.number() - before.version, "{at}");
            }
            noted.push(note(&one).await);
        }
    }
}

/// Files in memory that note what is read of them.
#[derive(Debug, Default)]
struct Noting {
    files: InMemory,
    read: Mutex<BTreeSet<String>>,
}

impl Noting {
    /// The data files that were read since this was asked last.
    fn read(&self) -> BTreeSet<String> {
        let read = std::mem::take(&mut *self.read.lock().unwrap());
        read.into_iter().filter(|name| name.ends_with(".parquet") && !name.contains("_delta_log")).collect()
    }
}

impl std::fmt::Display for Noting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.files.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Noting {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.files.put_opts(location, payload, options).await
    }
    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(location, options).await
    }
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.read.lock().unwrap().insert(location.to_string());
        self.files.get_opts(location, options).await
    }
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}

fn record(key: u64, offset: u64, deletes: bool) -> Row {
    Row {
        key: (format!("o-{key:05}"), Some(0)),
        order: None,
        value: format!("of {offset}"),
        received_at: 1_700_000_000_000_000 + i64::try_from(offset).unwrap(),
        partition: 0,
        offset,
        note: Given::Null,
        deletes,
    }
}

/// A table of one writer, by hand.
struct Written {
    files: Arc<Noting>,
    table: Arc<Table>,
    next: u64,
}

impl Written {
    async fn new() -> Self {
        let files = Arc::new(Noting::default());
        let table = tables(files.clone()).open_or_create(PATH, &spec(kind(Merge::Replace))).await.unwrap();
        Self { files, table, next: 0 }
    }

    async fn write(&mut self, keys: impl IntoIterator<Item = u64>) {
        self.deliver(keys, false).await;
    }

    async fn delete(&mut self, keys: impl IntoIterator<Item = u64>) {
        self.deliver(keys, true).await;
    }

    async fn deliver(&mut self, keys: impl IntoIterator<Item = u64>, deletes: bool) {
        let rows: Vec<Row> =
            keys.into_iter().zip(self.next..).map(|(key, offset)| record(key, offset, deletes)).collect();
        let end = self.next + rows.len() as u64;
        self.table.write(TOPIC, vec![slice(0, self.next..end, &rows)]).await.unwrap();
        self.next = end;
    }

    async fn newest(&self) -> VersionedTable {
        self.table.newest_version().await.unwrap()
    }

    /// Makes the next version, with these actions.
    async fn commit(&self, actions: &[Value]) {
        let next = self.newest().await.number() + 1;
        let entry = actions.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
        self.files.put(&entry_of(next), entry.into()).await.unwrap();
    }

    /// The actions of a version.
    async fn entry(&self, version: u64) -> Vec<Value> {
        let bytes = self.files.get(&entry_of(version)).await.unwrap().bytes().await.unwrap();
        serde_json::Deserializer::from_slice(&bytes).into_iter().map(|line| line.unwrap()).collect()
    }
}

fn entry_of(version: u64) -> Path {
    Path::from(format!("{PATH}/_delta_log/{version:020}.json"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_files_that_were_added_since_are_read() {
    let mut written = Written::new().await;
    written.write(0..5_000).await;
    written.write(5_000..10_000).await;
    let before = note(&written.table).await;
    let old = written.files.read();
    assert_eq!(old.len(), 2, "{old:?}");
    written.write([3, 7_000, 20_000]).await;
    written.delete([4, 7_001, 30_000]).await;
    written.files.read();
    // As a process that knows nothing of the table yet.
    let table = tables(written.files.clone()).open(PATH).await.unwrap().unwrap();
    let newest = table.newest_version().await.unwrap();
    let changes = told(&newest, &before).await;
    assert_eq!(changes.files, 2);
    let expected = ["o-00003", "o-00004", "o-07000", "o-07001", "o-20000", "o-30000"].map(str::to_owned);
    assert_eq!(keys(&changes), BTreeSet::from(expected));
    let rows: Vec<String> = by_key(rows_of(changes.rows).await).into_keys().collect();
    assert_eq!(rows, ["o-00003", "o-07000", "o-20000"]);
    let read = written.files.read();
    assert!(read.len() == 2 && read.is_disjoint(&old), "{read:?} of {old:?}");

    // Put together, the table is one file, which is read for the keys alone that have changed.
    written.table.maintain(&at_once()).await.unwrap();
    let newest = written.newest().await;
    let changes = told(&newest, &before).await;
    assert_eq!((keys(&changes).len(), changes.files), (6, 3));
    assert_eq!(by_key(rows_of(changes.rows).await).len(), 3);
    // Since then nothing has.
    let changes = told(&newest, &note(&written.table).await).await;
    assert_eq!((changes.keys.len(), changes.files, changes.commits), (0, 0, 0));
    assert!(rows_of(changes.rows).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_alone_changes_no_key() {
    let mut written = Written::new().await;
    for part in 0..4 {
        written.write(part * 10..(part + 1) * 10).await;
    }
    let before = note(&written.table).await;
    written.table.maintain(&at_once()).await.unwrap();
    let changes = told(&written.newest().await, &before).await;
    assert_eq!((changes.keys.len(), changes.commits, changes.files), (0, 1, 0));
    assert!(rows_of(changes.rows).await.is_empty());
}

#[rstest]
#[case::that_adds(json!({"operation": "WRITE"}), true, true)]
#[case::that_removes(json!({"operation": "DELETE"}), false, true)]
#[case::that_says_it_changes_nothing(json!({"operation": "OPTIMIZE"}), false, false)]
#[case::that_says_it_is_an_upsert(json!({"operation": "MERGE"}), false, true)]
#[case::of_ours_that_is_no_upsert(json!({"operation": "ERASE", "freshetCommit": "x"}), false, true)]
#[case::of_ours_that_takes_a_file_away(json!({"operation": "MERGE", "freshetCommit": "x"}), false, true)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_trace_leaves_it_untold(#[case] info: Value, #[case] adds: bool, #[case] changes: bool) {
    let mut written = Written::new().await;
    written.write(0..10).await;
    let before = note(&written.table).await;
    written.write(5..15).await;
    let file = written.entry(before.version).await.into_iter().find_map(|action| action.get("add").cloned()).unwrap();
    let action = if adds {
        json!({"add": {"path": "theirs.parquet", "partitionValues": {}, "size": 9, "modificationTime": 0, "dataChange": changes}})
    } else {
        json!({"remove": {"path": file["path"], "dataChange": changes, "deletionTimestamp": 0}})
    };
    written.commit(&[json!({"commitInfo": info}), action]).await;
    let why = untold(&written.newest().await, &before, ChangeLimits::default()).await;
    assert_eq!(why, Untold::Traceless);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_another_engine_that_touches_no_file_is_passed_over() {
    let mut written = Written::new().await;
    written.write(0..10).await;
    let before = note(&written.table).await;
    written
        .commit(&[
            json!({"commitInfo": {"operation": "STREAMING UPDATE"}}),
            json!({"txn": {"appId": "theirs", "version": 1}}),
        ])
        .await;
    written.write(3..5).await;
    assert_eq!(keys(&told(&written.newest().await, &before).await).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_columns_leave_it_untold() {
    let mut written = Written::new().await;
    written.write(0..10).await;
    let before = note(&written.table).await;
    let metadata = written.entry(0).await.into_iter().find(|action| action.get("metaData").is_some()).unwrap();
    written.commit(&[json!({"commitInfo": {"operation": "SET TBLPROPERTIES"}}), metadata]).await;
    let why = untold(&written.newest().await, &before, ChangeLimits::default()).await;
    assert_eq!(why, Untold::Altered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cleaned_up_leaves_it_untold() {
    let mut written = Written::new().await;
    written.write(0..10).await;
    let before = note(&written.table).await;
    written.write(5..15).await;
    written.write(5..15).await;
    let newest = written.newest().await;
    written.files.delete(&entry_of(newest.number() - 1)).await.unwrap();
    assert_eq!(untold(&newest, &before, ChangeLimits::default()).await, Untold::CleanedUp);
    written.files.delete(&entry_of(before.version)).await.unwrap();
    assert_eq!(untold(&newest, &before, ChangeLimits::default()).await, Untold::CleanedUp);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_vacuumed_leaves_it_untold() {
    let mut written = Written::new().await;
    written.write(0..10).await;
    let before = note(&written.table).await;
    written.write(5..15).await;
    written.table.maintain(&at_once()).await.unwrap();
    let entry = written.entry(before.version + 1).await;
    let adds = entry.iter().filter_map(|action| action["add"]["path"].as_str());
    for name in adds {
        written.files.delete(&Path::from(format!("{PATH}/{name}"))).await.unwrap();
    }
    let newest = written.newest().await;
    assert_eq!(rows(&newest).await.len(), 15);
    assert_eq!(untold(&newest, &before, ChangeLimits::default()).await, Untold::Vacuumed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_with_another_history_leaves_it_untold() {
    let mut written = Written::new().await;
    written.write(0..10).await;
    written.write(5..15).await;
    let before = note(&written.table).await;
    // Made anew in the same place, with as many versions.
    let mut other = Written::new().await;
    for _ in 0..4 {
        other.write(0..10).await;
    }
    assert_eq!(untold(&other.newest().await, &before, ChangeLimits::default()).await, Untold::OtherHistory);
    // And set back: the version is yet to come.
    let ahead = Noted { version: 99, ..before };
    assert_eq!(untold(&other.newest().await, &ahead, ChangeLimits::default()).await, Untold::OtherHistory);
}

#[rstest]
#[case::many_commits(ChangeLimits { commits: 2, ..ChangeLimits::default() }, Untold::ManyCommits)]
#[case::many_keys(ChangeLimits { keys: 14, ..ChangeLimits::default() }, Untold::ManyKeys)]
#[case::many_keys_of_one_file(ChangeLimits { keys: 9, ..ChangeLimits::default() }, Untold::ManyKeys)]
#[case::many_bytes(ChangeLimits { key_bytes: 7 * 15 - 1, ..ChangeLimits::default() }, Untold::ManyKeys)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_is_gone_through_leaves_it_untold(#[case] limits: ChangeLimits, #[case] expected: Untold) {
    let mut written = Written::new().await;
    written.write(0..10).await;
    let before = note(&written.table).await;
    written.write(0..10).await;
    written.write(5..15).await;
    written.delete(0..10).await;
    let newest = written.newest().await;
    assert_eq!(untold(&newest, &before, limits).await, expected);
    let just = ChangeLimits { commits: 3, keys: 15, key_bytes: 7 * 15 };
    assert!(matches!(newest.changes_since(before.version, &before.made_by, just).await.unwrap(), Since::Changes(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_two_columns_is_none_to_follow() {
    let kinds = [
        TableKind::Append,
        TableKind::Upsert {
            key: vec!["order_id".to_owned(), "line".to_owned()],
            order_by: None,
            merge: Merge::Replace,
        },
    ];
    for kind in kinds {
        let files: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let table = tables(files).open_or_create(PATH, &spec(kind)).await.unwrap();
        let newest = table.newest_version().await.unwrap();
        assert_eq!(newest.key(), None);
        let since = note(&table).await;
        assert_eq!(untold(&newest, &since, ChangeLimits::default()).await, Untold::NoKey);
    }
}
