//! Other engines read our tables.

use freshet_table::{Maintenance, TableKind};

use crate::model::{Given, Model, Row};
use crate::schedule::{Delivery, Schedule};
use crate::support::{Local, PATH, TOPIC, number, rows, slice, spec, upsert};

const SUMS: &str = r#"
import sys, deltalake, duckdb_delta
(path,) = sys.argv[1:]
sums = "SELECT count(*) || ' ' || sum(_offset) || ' ' || count(seq) || ' ' || sum(length(value)) FROM "
print(duckdb_delta.connect().execute(sums + "delta_scan(?)", [path]).fetchone()[0])
table = deltalake.DeltaTable(path)
rows = deltalake.QueryBuilder().register("t", table).execute(
    "SELECT count(*) AS a, sum(_offset) AS b, count(seq) AS c, sum(length(value)) AS d FROM t").read_all()
print(*[rows.column(name)[0].as_py() for name in ["a", "b", "c", "d"]])
print(sorted(str(key) + "=" + str(table.transaction_version(key)) for key in ["freshet:records:0", "freshet:records:9"]))
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duckdb_and_delta_rs_read_the_same_sums() {
    let local = Local::new();
    let table = local.tables().open_or_create(PATH, &spec(upsert())).await.unwrap();
    let mut schedule = Schedule::new(freshet_testkit::seed(), &upsert());
    let mut model = Model::default();
    for _ in 0..6 {
        let Delivery { slices, rows } = schedule.next();
        table.write(TOPIC, slices).await.unwrap();
        model.take(rows);
    }
    let held = model.upserted(false);
    assert_eq!(rows(&table).await, held);
    let sums = format!(
        "{} {} {} {}",
        held.len(),
        held.iter().map(|row| row.offset).sum::<u64>(),
        held.iter().filter(|row| row.order.is_some()).count(),
        held.iter().map(|row| row.value.len()).sum::<usize>(),
    );
    let next = table.next_offsets(TOPIC).await.unwrap().get(&0).map_or("None".to_owned(), u64::to_string);
    let printed = freshet_testkit::python_script(SUMS, &[&local.path(PATH)]).await.unwrap();
    let offsets = format!("['freshet:records:0={next}', 'freshet:records:9=None']");
    assert_eq!(printed.lines().collect::<Vec<_>>(), [sums.as_str(), sums.as_str(), offsets.as_str()]);
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
