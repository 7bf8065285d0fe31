//! `freshet send`.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use freshet_testkit::eventually;
use serde_json::json;

use crate::client::Client;
use crate::deployment::Deployment;
use crate::events::{DATABASE, resources};
use crate::server::Server;

async fn scene() -> (Deployment, Server, Client) {
    let deployment = Deployment::embedded();
    let server = deployment.start().await;
    let client = deployment.client(&server).await;
    client.apply(&resources(1)).await;
    (deployment, server, client)
}

async fn wait_for(client: &Client, sql: &str, row: &[serde_json::Value]) {
    let mut last = Vec::new();
    let found = eventually(Duration::from_secs(30), async || {
        last = client.sql(DATABASE, sql).await;
        last == [row]
    });
    found.await.unwrap_or_else(|_| panic!("{sql} answers {last:?}, not {row:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_refused_does_not_stop_its_neighbours() {
    let (deployment, server, client) = scene().await;
    let file = deployment.path("events.ndjson");
    fs::write(&file, "{\"id\": 1, \"version\": 1}\n[2]\n{\"id\": 3, \"version\": 1}\n\n{\"id\": 4\n").unwrap();
    let file = file.to_str().unwrap();

    let said = deployment.freshet(&["send", "events", file, "--json"]).await.with_status(1);
    let report = said.json();
    assert_eq!((&report["acknowledged"], &report["refused"]), (&json!(2), &json!(2)));
    let refused = report["refused_records"].as_array().unwrap();
    assert_eq!((&refused[0]["record"], &refused[1]["record"]), (&json!(1), &json!(3)));
    assert!(refused[0]["message"].as_str().unwrap().contains("object"), "{report}");
    let said = deployment.freshet(&["send", "events", file]).await.with_status(1);
    assert!(said.stdout.contains("2 records acknowledged"), "{said:?}");
    assert!(said.stderr.contains("record 1 (from 0) was refused: "), "{said:?}");
    wait_for(&client, "SELECT count(*), sum(id) FROM latest_event", &[json!(2), json!(4)]).await;
    deployment.finish([server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_csv_file_is_sent_and_its_bad_row_goes_to_the_failed_rows() {
    let (deployment, server, client) = scene().await;
    let file = deployment.path("events.csv");
    fs::write(&file, "id,version,value\n1,1,\"a, b\"\n2,none,c\n3,1,\n").unwrap();

    let said = deployment.freshet(&["send", "events", file.to_str().unwrap()]).await.with_status(0);
    assert!(said.stdout.contains("3 records acknowledged"), "{said:?}");
    wait_for(&client, "SELECT count(*), min(value), max(id) FROM latest_event", &[json!(2), json!(""), json!(3)]).await;
    let failed = client.sql(DATABASE, "SELECT \"column\", record_index FROM latest_event_failed").await;
    assert_eq!(failed, [[json!("version"), json!(1)]]);
    deployment.finish([server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sending_goes_on_where_it_was_killed() {
    const RECORDS: u64 = 20_000;
    const BATCH: u64 = 50;
    const PARALLEL: u64 = 4;
    let (deployment, server, client) = scene().await;
    let mut lines = String::new();
    for id in 0..RECORDS {
        writeln!(lines, "{{\"id\": {id}, \"version\": 1, \"value\": \"{id}\"}}").unwrap();
    }
    let file = deployment.path("events.ndjson");
    fs::write(&file, lines).unwrap();
    let (batch, parallel) = (BATCH.to_string(), PARALLEL.to_string());
    let arguments = ["send", "events", file.to_str().unwrap(), "--batch", &batch, "--parallel", &parallel];

    let launch = deployment.launch(&arguments);
    let mut process = launch.spawn(&deployment.path("send.stdout"), &deployment.path("send.stderr"));
    let progress = deployment.path("data/sending");
    let sent = || {
        let file = fs::read_dir(&progress).ok()?.next()?.ok()?.path();
        fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()
    };
    let begun = async || sent().is_some_and(|records| records >= 1_000) || !process.is_running();
    eventually(Duration::from_secs(30), begun).await.unwrap();
    assert!(process.is_running(), "it was through before it could be killed");
    process.kill();

    let said = deployment.freshet(&arguments).await.with_status(0);
    assert!(said.stderr.contains("records were sent before; going on from there"), "{said:?}");
    wait_for(
        &client,
        "SELECT count(*), sum(id) FROM latest_event",
        &[json!(RECORDS), json!(RECORDS * (RECORDS - 1) / 2)],
    )
    .await;
    let every = client.sql(DATABASE, "SELECT count(DISTINCT id), count(*) FROM every_event").await;
    assert_eq!(every[0][0], RECORDS);
    let again = every[0][1].as_u64().unwrap() - RECORDS;
    assert!(again <= 2 * BATCH * PARALLEL, "{again} records were sent again: more than were under way");
    assert_eq!(fs::read_dir(&progress).unwrap().count(), 0, "what is done is forgotten");
    deployment.finish([server]).await;
}
