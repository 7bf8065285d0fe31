//! Older versions of tables, by number and by time.

use std::fs::File;
use std::time::SystemTime;

use freshet_model::ResourceKind;
use jiff::Timestamp;
use rstest::rstest;
use serde_json::json;

use crate::scene::{Call, Scene};

/// After `orders` was made (version 0) and three rows came (1): one of them changed and one more (2).
async fn changed() -> Scene {
    let scene = Scene::new().await;
    scene
        .write(
            "orders",
            4,
            &[
                json!({"order_id": "a-1", "email": "ann@example.org", "revenue": "80.00"}),
                json!({"order_id": "a-5", "email": "eve@example.com", "revenue": "1.00"}),
            ],
        )
        .await;
    for (version, time) in [(0, "2026-06-01T00:00:00Z"), (1, "2026-06-02T00:00:00Z"), (2, "2026-06-03T00:00:00Z")] {
        let entry = scene.path(&format!("files/tables/acme/orders/_delta_log/{version:020}.json"));
        let time = SystemTime::from(time.parse::<Timestamp>().unwrap());
        File::options().write(true).open(entry).unwrap().set_modified(time).unwrap();
    }
    let external = json!({"external": [{"name": "people", "location": "people.csv", "format": "csv"}]});
    scene.put(ResourceKind::Databases, "retail", &external).await;
    scene.external("people.csv", "id\n1\n");
    scene
}

#[rstest]
#[case::newest("orders", json!([[4, 2_500_396.64]]))]
#[case::number("orders VERSION AS OF 1", json!([[3, 2_500_395.63]]))]
#[case::empty("orders VERSION AS OF 0", json!([[0, null]]))]
#[case::the_newest_s_number("orders VERSION AS OF 2", json!([[4, 2_500_396.64]]))]
#[case::time("orders TIMESTAMP AS OF '2026-06-02T23:59:59Z'", json!([[3, 2_500_395.63]]))]
#[case::of_the_standard("orders FOR SYSTEM_TIME AS OF '2026-06-03'", json!([[4, 2_500_396.64]]))]
#[tokio::test]
async fn a_table_is_read_as_it_was(#[case] table: &str, #[case] rows: serde_json::Value) {
    let scene = changed().await;
    assert_eq!(scene.rows(&format!("SELECT count(*), sum(revenue) FROM {table}")).await, rows);
}

#[tokio::test]
async fn what_changed_since_is_one_query() {
    let sql = "SELECT o.order_id, w.email, o.email FROM orders o LEFT JOIN orders VERSION AS OF 1 w USING (order_id) \
               WHERE o.email IS DISTINCT FROM w.email ORDER BY 1";
    let rows = json!([["a-1", "ann@example.com", "ann@example.org"], ["a-5", null, "eve@example.com"]]);
    assert_eq!(changed().await.rows(sql).await, rows);
}

#[rstest]
#[case::not_yet(
    "orders VERSION AS OF 3",
    "table orders can't be read at VERSION AS OF 3: it can be read from version 0 to 2"
)]
#[case::before_the_first(
    "orders TIMESTAMP AS OF '2026-05-31'",
    "table orders can't be read at TIMESTAMP AS OF '2026-05-31T00:00:00Z': it can be read from version 0 to 2"
)]
#[case::no_time(
    "orders TIMESTAMP AS OF 'noon'",
    "TIMESTAMP AS OF takes a time as '2026-06-14T00:24:16Z', written as it is, not 'noon' at line 1, column 22"
)]
#[case::external(
    "people VERSION AS OF 0",
    "table people can't be read at VERSION AS OF 0: an external table is read at its newest version alone"
)]
#[case::nothing_written(
    "visits VERSION AS OF 0",
    "table Visits can't be read at VERSION AS OF 0: nothing was written to it yet"
)]
#[tokio::test]
async fn a_version_that_is_not_there_is_400(#[case] table: &str, #[case] detail: &str) {
    let scene = changed().await;
    let sql = format!("SELECT * FROM {table}");
    Call::new(&scene).sql(&sql).send(&scene).await.assert_problem(400, detail);
}

#[tokio::test]
async fn an_older_version_whose_files_were_cleaned_up_is_400() {
    let scene = changed().await;
    for found in std::fs::read_dir(scene.path("files/tables/acme/orders")).unwrap() {
        let path = found.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let sql = |table: &str| format!("SELECT sum(revenue) FROM {table}");
    let detail = "an older version of a table that the query asks for is no longer kept: its files were cleaned up";
    Call::new(&scene).sql(&sql("orders VERSION AS OF 1")).send(&scene).await.assert_problem(400, detail);
    // Of the newest version, nothing is ever cleaned up.
    let detail = "the tables can't be read at the moment; try again";
    Call::new(&scene).sql(&sql("orders")).send(&scene).await.assert_problem(503, detail);
}
