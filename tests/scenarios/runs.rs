//! Databases and profile indexes are run, and the server is killed meanwhile: readers see what was there or what is there, whole.

use std::time::Duration;

use freshet_testkit::{eventually, seed};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

use crate::client::{Client, body_of};
use crate::deployment::{Deployment, Platform};

const STREAM: &str = "is-events00001";
const INDEX: &str = "ix-events0001";
const EVENTS: usize = 200;
/// How often the server is killed.
const KILLS: usize = 6;
const SOON: Duration = Duration::from_mins(1);

/// Each row of the table that is made, and each profile, says twice which round it is of.
const RESOURCES: &str = r#"
[streams.events]
id = "is-events00001"

[databases.shop]
tables = [
  { name = "rounds", sql = "SELECT e.id, n.newest, n.newest * 2 AS doubled FROM events e, (SELECT max(round) AS newest FROM events) n" },
]

[tables.events]
stream = "events"
databases = ["shop"]
key = ["id"]
columns = [{ name = "id", type = "integer" }, { name = "round", type = "integer", required = true }]

[indexes.events]
id = "ix-events0001"
database = "shop"
key = "id"
filters = ["newest"]
refresh = "commit"
query = "SELECT e.id, n.newest, n.newest * 2 AS doubled, repeat('x', 500) AS filling FROM events e, (SELECT max(round) AS newest FROM events) n"
"#;

async fn post_round(client: &Client, round: usize) {
    let events: Vec<Value> = (0..EVENTS).map(|id| json!({"id": id, "round": round})).collect();
    let answer = client.post(STREAM, &format!("round-{round}"), &json!(events)).await.unwrap();
    body_of(answer, StatusCode::ACCEPTED).await;
    let written = async || {
        client.sql("shop", "SELECT count(*) AS n FROM events WHERE round = (SELECT max(round) FROM events)").await
            == [[json!(EVENTS)]]
            && client.sql("shop", "SELECT max(round) AS round FROM events").await == [[json!(round)]]
    };
    eventually(SOON, written).await.expect("the round is written");
}

/// The rounds of the table's rows, which are one; none: it has not been made.
async fn round_of_table(client: &Client) -> Option<i64> {
    let rows = client
        .try_sql("shop", "SELECT count(*) AS n, min(newest) AS a, max(newest) AS b, max(doubled) AS c FROM rounds")
        .await
        .ok()?;
    let [rows, least, most, doubled] = [0, 1, 2, 3].map(|column| rows[0][column].as_i64().unwrap());
    assert_eq!((rows, least, doubled), (i64::try_from(EVENTS).unwrap(), most, most * 2), "half a table is seen");
    Some(most)
}

/// The least and greatest round of the profiles; none: they are not all there yet.
async fn rounds_of_profiles(client: &Client) -> Option<(i64, i64)> {
    let answer = client.get(&format!("/api/indexes/{INDEX}/profiles?limit=1000")).await;
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let page = body_of(answer, StatusCode::OK).await;
    let profiles = page["data"].as_array().unwrap();
    if profiles.len() < EVENTS {
        return None;
    }
    let rounds = profiles.iter().map(|profile| {
        let attributes = &profile["attributes"];
        let newest = attributes["newest"].as_i64().unwrap();
        assert_eq!(attributes["doubled"], newest * 2, "a mixture of two profiles is seen");
        newest
    });
    let rounds: Vec<i64> = rounds.collect();
    Some((*rounds.iter().min().unwrap(), *rounds.iter().max().unwrap()))
}

#[rstest]
#[case::embedded(Platform::Embedded)]
#[case::servers(Platform::Servers)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_indexes_follow_what_comes(#[case] platform: Platform) {
    let deployment = Deployment::new(platform).await;
    let server = deployment.start().await;
    let client = deployment.client(&server).await;
    client.apply(RESOURCES).await;
    post_round(&client, 1).await;
    eventually(SOON, async || rounds_of_profiles(&client).await == Some((1, 1))).await.expect("the index is built");
    assert_eq!(round_of_table(&client).await, None, "nobody has run the database");

    let run = deployment.freshet(&["databases", "run", "shop"]).await.with_status(0);
    assert!(run.stdout.contains("rounds") && run.stdout.contains("succeeded"), "{run:?}");
    assert_eq!(round_of_table(&client).await, Some(1));
    post_round(&client, 2).await;
    eventually(SOON, async || rounds_of_profiles(&client).await == Some((2, 2))).await.expect("the index follows");
    assert_eq!(round_of_table(&client).await, Some(1), "the table waits for the next run");
    let run = deployment.freshet(&["databases", "run", "shop", "--json"]).await.with_status(0).json();
    assert_eq!((&run["state"], &run["steps"][0]["counts"]["rows"]), (&json!("succeeded"), &json!(EVENTS)));
    assert_eq!(round_of_table(&client).await, Some(2));

    let shown = deployment.freshet(&["runs", "show", run["id"].as_str().unwrap()]).await.with_status(0);
    assert!(shown.stdout.contains("rounds"), "{shown:?}");
    let listed =
        deployment.freshet(&["runs", "list", "--kind", "databases", "--name", "shop", "--json"]).await.with_status(0);
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 2);
    let refreshed = deployment.freshet(&["indexes", "refresh", "events", "--json"]).await.with_status(0).json();
    assert_eq!(refreshed["steps"][0]["counts"]["unchanged"], EVENTS);
    let found = deployment.freshet(&["profile", "events", "7", "--json"]).await.with_status(0).json();
    assert_eq!(found["attributes"]["newest"], 2);
    deployment.finish([server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_says_why_and_what_to_type() {
    let deployment = Deployment::embedded();
    let server = deployment.start().await;
    let client = deployment.client(&server).await;
    client
        .apply(
            &RESOURCES
                .replace("n.newest * 2 AS doubled FROM events e", "1 / (n.newest - n.newest) AS doubled FROM events e"),
        )
        .await;
    post_round(&client, 1).await;
    let failed = deployment.freshet(&["databases", "run", "shop"]).await.with_status(1);
    for words in [
        "the run of databases shop has failed:",
        "rounds: ",
        "division by zero",
        "once that is mended: freshet databases run shop",
    ] {
        assert!(failed.stderr.contains(words), "{words}: {failed:?}");
    }
    for (arguments, says) in [
        (&["databases", "run", "shp"][..], "did you mean \"shop\"?"),
        (&["indexes", "refresh", "event"], "did you mean \"events\"?"),
        (&["profile", "evnts", "7"], "did you mean \"events\"?"),
        (&["profile", "events", "--filter", "newest"], "expected a field and a value, as city=Oslo"),
        (&["queries", "run", "none"], "has no query \"none\""),
        (&["queries", "run", "none", "--param", "x"], "expected a name and a value, as email=ada@example.com"),
        (&["runs", "show", "none"], "see freshet runs list"),
    ] {
        let said = deployment.freshet(arguments).await;
        assert!(said.status != 0 && said.stderr.contains(says), "{arguments:?}: {said:?}");
    }
    deployment.finish([server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_in_its_runs_shows_nothing_half_and_ends_them_later() {
    let mut random = StdRng::seed_from_u64(seed());
    let deployment = Deployment::embedded();
    let mut server = deployment.start().await;
    let client = deployment.client(&server).await;
    client.apply(RESOURCES).await;
    for round in 1..=KILLS {
        post_round(&client, round).await;
        if round == 1 {
            eventually(SOON, async || rounds_of_profiles(&client).await.is_some()).await.expect("the index is built");
        }
        for path in ["databases/shop", "indexes/events"] {
            let answer = client.call(reqwest::Method::POST, &format!("/admin/v0/{path}/runs"), &json!({})).await;
            body_of(answer, StatusCode::ACCEPTED).await;
        }
        // A time, and not a condition: the moment has nothing to do with what the server is doing.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..700))).await;
        server.kill();
        server.start().await;
        round_of_table(&client).await;
        assert!(rounds_of_profiles(&client).await.is_some(), "profiles are missing");
    }
    // A run that was cut off is taken over once its lease has expired.
    let newest = i64::try_from(KILLS).unwrap();
    eventually(SOON, async || round_of_table(&client).await == Some(newest)).await.expect("the table is made");
    let whole = Some((newest, newest));
    eventually(SOON, async || rounds_of_profiles(&client).await == whole).await.expect("the index is refreshed");
    deployment.finish([server]).await;
}
