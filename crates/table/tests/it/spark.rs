//! Apache Spark reads our tables and changes them. For `make test-spark`, which runs what is in this module.

use freshet_table::TableKind;
use freshet_testkit::spark_script;
use rstest::rstest;

use crate::others::{Held, upserts_go_on};
use crate::readers::written;
use crate::support::{Local, PATH, patch, upsert};

/// Runs statements over `{table}`, and prints the rows of each that has any.
const STATEMENTS: &str = r#"
import sys, spark_delta
path, *statements = sys.argv[1:]
with spark_delta.connect() as spark:
    for statement in statements:
        for row in spark.sql(statement.replace("{table}", f"delta.`{path}`")).collect():
            print(*row)
"#;

async fn spark(path: &str, statements: &[&str]) -> String {
    let arguments: Vec<&str> = [path].into_iter().chain(statements.iter().copied()).collect();
    spark_script(STATEMENTS, &arguments).await.unwrap()
}

#[rstest]
#[case::replace(upsert(), false)]
#[case::patch(patch(), true)]
#[ignore = "for `make test-spark`: Spark takes 500 MB and ten seconds to start"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spark_reads_the_same_at_every_version(#[case] kind: TableKind, #[case] patches: bool) {
    let local = Local::new();
    let (_, versions) = written(&local, &kind, patches).await;
    let (_, of_newest) = versions.last().expect("something was written");
    let sums = "SELECT count(*), sum(_offset), count(seq), sum(length(value)), count(note) FROM {table}";
    let mut statements = vec![sums.to_owned()];
    statements.extend(versions.iter().map(|(version, _)| format!("{sums} VERSION AS OF {version}")));
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    let printed = spark(&local.path(PATH), &statements).await;
    let expected: Vec<&str> =
        [of_newest].into_iter().chain(versions.iter().map(|(_, sums)| sums)).map(String::as_str).collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

const ALL_AND_DISTINCT: &str = "SELECT count(*), count(DISTINCT order_id), count_if(value = 'theirs') FROM {table}";

/// Spark makes keys, of which some are upserted after it, changes and takes away others, of several files.
const MERGE: [&str; 2] = [
    "DELETE FROM {table} WHERE order_id < 'o-03'",
    "MERGE INTO {table} AS t
     USING (SELECT concat('o-', lpad(id, 2, '0')) AS order_id FROM (SELECT explode(array(0, 1, 2, 18, 20, 21, 24, 25, 26)) AS id)) AS s
     ON t.order_id = s.order_id
     WHEN MATCHED AND t.order_id = 'o-24' THEN DELETE
     WHEN MATCHED THEN UPDATE SET value = 'theirs'
     WHEN NOT MATCHED THEN INSERT (order_id, line, seq, value, received_at, written_at, request_id, _partition, _offset)
     VALUES (s.order_id, 0, 40, 'theirs', timestamp_micros(40), timestamp_micros(41), 'theirs', 0, 40)",
];

#[rstest]
#[case::update(&["UPDATE {table} SET value = 'theirs' WHERE order_id BETWEEN 'o-03' AND 'o-22'"], Held { keys: 25, theirs: 3 })]
#[case::delete(&["DELETE FROM {table} WHERE order_id < 'o-05' OR order_id > 'o-22'"], Held { keys: 23, theirs: 0 })]
#[case::merge(&MERGE, Held { keys: 26, theirs: 4 })]
#[case::optimize(&["OPTIMIZE {table}"], Held { keys: 25, theirs: 0 })]
#[case::purge(&["REORG TABLE {table} APPLY (PURGE)"], Held { keys: 25, theirs: 0 })]
#[case::restore(&["RESTORE TABLE {table} TO VERSION AS OF 2"], Held { keys: 20, theirs: 0 })]
#[case::add_column(
    &["ALTER TABLE {table} ADD COLUMN theirs STRING", "UPDATE {table} SET theirs = 'x', value = 'theirs' WHERE order_id > 'o-18'"],
    Held { keys: 25, theirs: 5 },
)]
#[ignore = "for `make test-spark`: Spark takes 500 MB and ten seconds to start"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_spark_has_changed_is_upserted_on(#[case] statements: &[&str], #[case] held: Held) {
    let local = Local::new();
    let change = async |path: &str| {
        spark(path, statements).await;
    };
    upserts_go_on(&local, change, held).await;
    let Held { keys, theirs } = held;
    assert_eq!(spark(&local.path(PATH), &[ALL_AND_DISTINCT]).await, format!("{keys} {keys} {theirs}\n"));
}
