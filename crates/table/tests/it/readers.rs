//! Other engines read our tables.

use std::sync::Arc;

use freshet_table::{Maintenance, Table, TableKind};
use rstest::rstest;

use crate::differential::at_once;
use crate::model::{Given, Model, Row};
use crate::schedule::{Delivery, Schedule};
use crate::support::{Local, PATH, TOPIC, number, patch, slice, spec, upsert};

/// Prints sums of each version that is named, as delta-rs, polars and DuckDB read it, a line each. DuckDB reads the newest.
const SUMS: &str = r#"
import sys, deltalake, duckdb_delta, polars
path, newest, *versions = sys.argv[1:]
for version in [newest] + versions:
    table = deltalake.DeltaTable(path, version=int(version))
    rows = deltalake.QueryBuilder().register("t", table).execute(
        "SELECT count(*) AS a, sum(_offset) AS b, count(seq) AS c, sum(length(value)) AS d, count(note) AS e FROM t").read_all()
    print("delta-rs", version, *[rows.column(name)[0].as_py() for name in ["a", "b", "c", "d", "e"]])
    frame = polars.scan_delta(path, version=int(version)).collect()
    print("polars", version, frame.height, frame["_offset"].sum(), frame["seq"].count(), frame["value"].str.len_bytes().sum(),
        frame["note"].count())
sums = "SELECT count(*) || ' ' || sum(_offset) || ' ' || count(seq) || ' ' || sum(length(value)) || ' ' || count(note) FROM "
print("duckdb", newest, duckdb_delta.connect().execute(sums + "delta_scan(?)", [path]).fetchone()[0])
newest = deltalake.DeltaTable(path)
print(sorted(str(key) + "=" + str(newest.transaction_version(key)) for key in ["freshet:records:0", "freshet:records:9"]))
"#;

fn sums(held: &[Row]) -> String {
    format!(
        "{} {} {} {} {}",
        held.len(),
        held.iter().map(|row| row.offset).sum::<u64>(),
        held.iter().filter(|row| row.order.is_some()).count(),
        held.iter().map(|row| row.value.len()).sum::<usize>(),
        held.iter().filter(|row| row.note.text().is_some()).count(),
    )
}

/// A table after random deliveries with maintenance between them, and what each of its versions that are not empty holds: its
/// number and its sums, the newest last.
pub(crate) async fn written(local: &Local, kind: &TableKind, patches: bool) -> (Arc<Table>, Vec<(u64, String)>) {
    let table = local.tables().open_or_create(PATH, &spec(kind.clone())).await.unwrap();
    let mut schedule = Schedule::new(freshet_testkit::seed(), kind);
    let mut model = Model::default();
    let mut versions: Vec<(u64, String)> = Vec::new();
    for step in 0..8 {
        let Delivery { slices, rows } = schedule.next();
        table.write(TOPIC, slices).await.unwrap();
        model.take(rows);
        let held = model.upserted(patches);
        if held.is_empty() {
            continue;
        }
        versions.push((table.version().await.unwrap(), sums(&held)));
        if step % 3 == 2 {
            // It stays the same whatever is written again.
            table.maintain(&at_once()).await.unwrap();
            versions.push((table.version().await.unwrap(), sums(&held)));
        }
    }
    (table, versions)
}

#[rstest]
#[case::replace(upsert(), false)]
#[case::patch(patch(), true)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_engines_read_the_same_at_every_version(#[case] kind: TableKind, #[case] patches: bool) {
    let local = Local::new();
    let (table, mut versions) = written(&local, &kind, patches).await;
    let (newest, of_newest) = versions.pop().expect("something was written");
    let path = local.path(PATH);
    let newest = newest.to_string();
    let older: Vec<String> = versions.iter().map(|(version, _)| version.to_string()).collect();
    let arguments: Vec<&str> =
        [path.as_str(), newest.as_str()].into_iter().chain(older.iter().map(String::as_str)).collect();
    let printed = freshet_testkit::python_script(SUMS, &arguments).await.unwrap();
    let next = table.next_offsets(TOPIC).await.unwrap().get(&0).map_or("None".to_owned(), u64::to_string);
    let of_both =
        |version: &str, sums: &str| [format!("delta-rs {version} {sums}"), format!("polars {version} {sums}")];
    let mut expected = of_both(&newest, &of_newest).to_vec();
    expected.extend(versions.iter().flat_map(|(version, sums)| of_both(&version.to_string(), sums)));
    expected.push(format!("duckdb {newest} {of_newest}"));
    expected.push(format!("['freshet:records:0={next}', 'freshet:records:9=None']"));
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_commits_leave_few_files_and_a_checkpoint_that_a_new_process_opens() {
    const COMMITS: u64 = 130;
    let local = Local::new();
    let table = local.tables().open_or_create(PATH, &spec(TableKind::Append)).await.unwrap();
    let row = |offset: u64| Row {
        key: (format!("o-{offset}"), Some(0)),
        order: None,
        value: "x".to_owned(),
        received_at: 1,
        partition: 4,
        offset,
        note: Given::Null,
        deletes: false,
    };
    for offset in 0..COMMITS {
        let outcome = table.write(TOPIC, vec![slice(4, offset..offset + 1, &[row(offset)])]).await.unwrap();
        assert_eq!((outcome.attempts, outcome.rows_written), (1, 1));
    }
    let report = table.maintain(&Maintenance { checkpoint_after: 100, ..Maintenance::default() }).await.unwrap();
    assert_eq!((report.compacted.files_removed, report.checkpoint), (130, Some(COMMITS + 1)));
    let details = table.details().await.unwrap();
    assert_eq!((details.rows, details.files), (Some(COMMITS), 1));
    assert!(details.last_commit_at.is_some());
    let checkpoint = local.path(PATH) + "/_delta_log/00000000000000000131.checkpoint.parquet";
    assert!(std::fs::exists(checkpoint).unwrap());
    let opened = local.tables().open(PATH).await.unwrap().unwrap();
    assert_eq!(opened.next_offsets(TOPIC).await.unwrap(), [(4, COMMITS)].into());
    assert_eq!(number(&opened, "SELECT count(DISTINCT order_id) FROM t").await, i64::try_from(COMMITS).unwrap());
    let outcome = opened.write(TOPIC, vec![slice(4, 0..1, &[row(0)])]).await.unwrap();
    assert!(!outcome.committed, "{outcome:?}");
}

/// Of a file's nulls those of its tombstones are counted too: they must not make it one that has nothing but nulls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_finds_a_row_that_lies_beside_as_many_tombstones() {
    let local = Local::new();
    let table = local.tables().open_or_create(PATH, &spec(upsert())).await.unwrap();
    let row = |offset: u64, deletes: bool| Row {
        key: (format!("o-{offset}"), Some(0)),
        order: Some(1),
        value: "x".to_owned(),
        received_at: 1,
        partition: 0,
        offset,
        note: Given::Null,
        deletes,
    };
    table.write(TOPIC, vec![slice(0, 0..2, &[row(0, false), row(1, true)])]).await.unwrap();
    assert_eq!(number(&table, "SELECT count(*) FROM t WHERE value = 'x'").await, 1);
    assert_eq!(number(&table, "SELECT count(*) FROM t WHERE value IS NOT NULL").await, 1);
    assert_eq!(number(&table, "SELECT count(*) FROM t").await, 1);
}
