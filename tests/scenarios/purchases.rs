//! The main job: real purchases in over HTTP, upserted, and read back to the cent by SQL and by other engines.

use std::time::Duration;

use freshet_testkit::{Purchase, cdnow, eventually, python_script};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use reqwest::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

use crate::client::{Client, body_of};
use crate::deployment::{Deployment, Platform};

const RESOURCES: &str = include_str!("../../demo/freshet.toml");
/// Facts of the data: of all purchases, and of each customer's last one.
const PURCHASES: (i64, i64, &str) = (69_659, 167_881, "2500315.63");
const LATEST_PURCHASES: (i64, &str) = (23_570, "767350.98");
const BATCH: usize = 1_000;
const PARALLEL: usize = 4;

#[rstest]
#[case::embedded(Platform::Embedded)]
#[case::servers(Platform::Servers)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purchases_come_out_right_to_the_cent_however_often_they_are_sent(#[case] platform: Platform) {
    let deployment = Deployment::new(platform).await;
    let server = deployment.start().await;
    let client = deployment.client(&server).await;
    client.apply(RESOURCES).await;

    let mut purchases = cdnow();
    for (run, seed) in [("first", 1), ("again", 2)] {
        // In no order of customers or dates, so that late records matter.
        purchases.shuffle(&mut StdRng::seed_from_u64(seed));
        send(&client, run, &purchases).await;
        wait_until_written(&client, run).await;
        let (rows, cds, dollars) = PURCHASES;
        let sql = "SELECT count(*), sum(quantity), CAST(sum(amount) AS varchar), (SELECT count(*) FROM purchases_failed) AS failed FROM purchases";
        assert_eq!(client.sql("shop", sql).await, [[json!(rows), json!(cds), json!(dollars), json!(0)]], "{run}");
        let (rows, dollars) = LATEST_PURCHASES;
        let sql = "SELECT count(*), CAST(sum(amount) AS varchar), (SELECT count(*) FROM latest_purchase_failed) AS failed FROM latest_purchase";
        assert_eq!(client.sql("shop", sql).await, [[json!(rows), json!(dollars), json!(0)]], "{run}");
    }
    check_with_other_engines(&deployment, platform).await;
    deployment.finish([server]).await;
}

async fn send(client: &Client, run: &str, purchases: &[Purchase]) {
    let stream_id = client.stream_id("purchases").await;
    let batches: Vec<(usize, Value)> =
        purchases.chunks(BATCH).map(|batch| serde_json::to_value(batch).unwrap()).enumerate().collect();
    let requests = stream::iter(batches).map(|(number, batch)| {
        let stream_id = &stream_id;
        async move {
            let answer = client.post(stream_id, &format!("{run}-{number}"), &batch).await?;
            let accepted = body_of(answer, StatusCode::ACCEPTED).await;
            assert_eq!(accepted["records"], batch.as_array().unwrap().len());
            reqwest::Result::Ok(())
        }
    });
    requests.buffer_unordered(PARALLEL).try_collect::<Vec<()>>().await.unwrap();
}

/// Every row that must come of a sending carries one of its request ids, also where it was there before.
async fn wait_until_written(client: &Client, run: &str) {
    let sql = format!(
        "SELECT (SELECT count(*) FROM purchases WHERE starts_with(request_id, '{run}-')) AS purchases, \
         (SELECT count(*) FROM latest_purchase WHERE starts_with(request_id, '{run}-')) AS latest"
    );
    let wanted = [[json!(PURCHASES.0), json!(LATEST_PURCHASES.0)]];
    let mut last = Vec::new();
    let written = eventually(Duration::from_mins(2), async || {
        last = client.sql("shop", &sql).await;
        last == wanted
    });
    written.await.unwrap_or_else(|_| panic!("the tables hold {last:?} rows of the sending {run:?}, not {wanted:?}"));
}

async fn check_with_other_engines(deployment: &Deployment, platform: Platform) {
    let (purchases, options) = deployment.table_place("purchases");
    let (latest, _) = deployment.table_place("latest_purchase");
    let expected =
        format!("{}, {}, {}\n{}, {}\n", PURCHASES.0, PURCHASES.1, PURCHASES.2, LATEST_PURCHASES.0, LATEST_PURCHASES.1);
    assert_eq!(python_script(DELTA_RS, &[&purchases, &latest, &options]).await.unwrap(), expected, "delta-rs");
    if platform == Platform::Embedded {
        assert_eq!(python_script(DUCKDB, &[&purchases, &latest]).await.unwrap(), expected, "duckdb");
    }
}

const DUCKDB: &str = r#"
import sys, duckdb_delta
purchases, latest = sys.argv[1:]
duckdb = duckdb_delta.connect()
print(*duckdb.execute("SELECT count(*), sum(quantity), sum(amount) FROM delta_scan(?)", [purchases]).fetchone(), sep=", ")
print(*duckdb.execute("SELECT count(*), sum(amount) FROM delta_scan(?)", [latest]).fetchone(), sep=", ")
"#;

const DELTA_RS: &str = r#"
import json, sys, deltalake
purchases, latest, options = sys.argv[1:]
def row(path, sql):
    table = deltalake.DeltaTable(path, storage_options=json.loads(options))
    rows = deltalake.QueryBuilder().register("t", table).execute(sql).read_all()
    print(*[rows.column(name)[0].as_py() for name in rows.schema.names], sep=", ")
row(purchases, "SELECT count(*) AS a, sum(quantity) AS b, sum(amount) AS c FROM t")
row(latest, "SELECT count(*) AS a, sum(amount) AS b FROM t")
"#;
