//! The command line against a running server.

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};

use crate::deployment::{Deployment, TENANT};
use crate::events::{STREAM_ID, resources};
use crate::process::Launch;
use crate::server::Server;

/// What is made of the tables of [`resources`].
const OVER_EVENTS: &str = r#"
[databases.events]
tables = [{ name = "ids", sql = "SELECT id FROM latest_event" }]

[queries.values_of]
database = "events"
sql = "SELECT value FROM every_event WHERE id = $id"
parameters = { id = "integer" }

[indexes.by_id]
database = "events"
query = "SELECT id, value FROM latest_event"
key = "id"
filters = ["value"]
refresh = "manual"
"#;

async fn scene() -> (Deployment, Server, String) {
    let deployment = Deployment::embedded();
    let server = deployment.start().await;
    let file = deployment.path("freshet.toml");
    fs::write(&file, resources(1)).unwrap();
    let file = file.display().to_string();
    (deployment, server, file)
}

/// `create tables events` and so on, in the order of the alphabet.
fn actions(plan: &Value) -> Vec<String> {
    let words = |entry: &Value| ["action", "kind", "name"].map(|member| entry[member].as_str().unwrap().to_owned());
    let mut actions: Vec<String> =
        plan["resources"].as_array().unwrap().iter().map(|entry| words(entry).join(" ")).collect();
    actions.sort_unstable();
    actions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applying_shows_the_plan_and_does_it_once() {
    let (deployment, server, file) = scene().await;
    let all = |action: &str| {
        ["databases events", "streams events", "tables every_event", "tables latest_event"]
            .map(|resource| format!("{action} {resource}"))
    };

    let planned = deployment.freshet(&["apply", &file, "--dry-run", "--json"]).await.with_status(2).json();
    assert_eq!(actions(&planned), all("create"));
    let unasked = deployment.freshet(&["apply", &file]).await.with_status(2);
    assert!(unasked.stderr.contains("--yes"), "{unasked:?}");
    let planned = deployment.freshet(&["apply", &file, "--dry-run"]).await.with_status(2);
    assert!(planned.stdout.contains("create") && planned.stdout.contains("latest_event"), "{planned:?}");

    let applied = deployment.freshet(&["apply", &file, "--yes"]).await.with_status(0);
    assert!(applied.stderr.contains("4 resources applied"), "{applied:?}");
    let again = deployment.freshet(&["apply", &file, "--yes", "--json"]).await.with_status(0).json();
    assert_eq!(actions(&again), all("unchanged"));
    deployment.freshet(&["apply", &file, "--dry-run"]).await.with_status(0);

    let exported = deployment.freshet(&["export"]).await.with_status(0).stdout;
    let copy = deployment.path("exported.toml");
    fs::write(&copy, &exported).unwrap();
    let unchanged =
        deployment.freshet(&["apply", copy.to_str().unwrap(), "--dry-run", "--json", "--prune"]).await.with_status(0);
    assert!(actions(&unchanged.json()).iter().all(|action| action.starts_with("unchanged")), "{unchanged:?}");
    let as_json = deployment.freshet(&["export", "--json"]).await.with_status(0).json();
    assert_eq!(as_json["tenant"], TENANT);
    assert_eq!(as_json["streams"]["events"]["id"], STREAM_ID);
    deployment.finish([server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_exported_makes_the_same_elsewhere() {
    let (deployment, server, file) = scene().await;
    let example = include_str!("../../freshet.example.toml");
    fs::write(&file, example.replace("tenant = \"acme\"", &format!("tenant = \"{TENANT}\""))).unwrap();
    deployment.freshet(&["apply", &file, "--yes"]).await.with_status(0);
    let rotated = deployment.freshet(&["keys", "rotate", "web-shop", "--json"]).await.with_status(0).json();
    let admin: Value =
        serde_json::from_slice(&fs::read(server.data().join(format!("admin-{TENANT}.json"))).unwrap()).unwrap();
    let exported = deployment.freshet(&["export"]).await.with_status(0).stdout;
    assert!(exported.contains("[indexes.recent_buyers]") && exported.contains("[queries.orders_of]"), "{exported}");
    for secret in [&rotated["client_secret"], &admin["client_secret"]] {
        assert!(!exported.contains(secret.as_str().unwrap()), "a secret is exported");
    }
    deployment.finish([server]).await;

    let (elsewhere, server, file) = scene().await;
    fs::write(&file, &exported).unwrap();
    elsewhere.freshet(&["apply", &file, "--yes"]).await.with_status(0);
    let again = elsewhere.freshet(&["apply", &file, "--dry-run", "--prune", "--json"]).await.with_status(0).json();
    assert!(actions(&again).iter().all(|action| action.starts_with("unchanged")), "{again}");
    assert_eq!(elsewhere.freshet(&["export"]).await.with_status(0).stdout, exported);
    elsewhere.finish([server]).await;
}

#[rstest]
#[case::unknown_field("[streams.a]\nshard = 2\n", 2, ":2:1: streams.a.shard: unknown field; did you mean \"shards\"?")]
#[case::not_toml("[streams.a\n", 2, ":1:11: is not TOML: ")]
#[case::no_such_stream(
    "[tables.t]\nstream = \"none\"\nmode = \"append\"\ncolumns = [{ name = \"id\", type = \"integer\" }]\n",
    1,
    "tables.t.stream: "
)]
#[case::sql(
    "[databases.d]\n\n[queries.q]\ndatabase = \"d\"\nsql = \"SELECT 1\\nFRUM t x\"\n",
    1,
    "queries.q.sql: expected the end of the query, found "
)]
#[case::no_such_table(
    "[databases.d]\ntables = [{ name = \"totals\", sql = \"SELECT 1 AS id\" }]\n\n[indexes.i]\ndatabase = \"d\"\nkey = \"id\"\nquery = \"SELECT id FROM total\"\n",
    1,
    "indexes.i.query: database d has no table \"total\"; did you mean \"totals\"?"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_file_is_refused_with_its_place(#[case] text: &str, #[case] status: i32, #[case] says: &str) {
    let (deployment, server, file) = scene().await;
    fs::write(&file, text).unwrap();
    for arguments in [&["apply", &file, "--yes"][..], &["apply", &file, "--dry-run"]] {
        let said = deployment.freshet(arguments).await.with_status(status);
        let place = if says.starts_with(':') { format!("{file}{says}") } else { says.to_owned() };
        assert!(said.stderr.contains(&place), "{said:?}");
    }
    let streams = deployment.freshet(&["streams", "list", "--json"]).await.with_status(0).json();
    assert_eq!(streams, json!({}), "nothing was applied");
    deployment.finish([server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_shown_to_people_and_to_scripts() {
    let (deployment, server, file) = scene().await;
    deployment.freshet(&["apply", &file, "--yes"]).await.with_status(0);
    fs::write(&file, OVER_EVENTS).unwrap();
    deployment.freshet(&["apply", &file, "--yes"]).await.with_status(0);
    let events = deployment.path("events.ndjson");
    fs::write(&events, "{\"id\": 1, \"version\": 1, \"value\": \"one\"}\n").unwrap();
    let sent = deployment.freshet(&["send", "events", events.to_str().unwrap(), "--json"]).await.with_status(0).json();
    assert_eq!((&sent["acknowledged"], &sent["refused"]), (&json!(1), &json!(0)));
    let select = "SELECT id, value FROM latest_event";
    let arrived = freshet_testkit::eventually(std::time::Duration::from_secs(30), async || {
        deployment.freshet(&["sql", select, "--json"]).await.with_status(0).json()["rows"] == json!([[1, "one"]])
    });
    arrived.await.unwrap();

    let cases: &[(&[&str], &[&str])] = &[
        (&["sql", select], &["id", "value", "one"]),
        (&["sql", select, "--database", "events"], &["one"]),
        (&["status"], &["latest_event", "every_event", STREAM_ID]),
        (&["streams", "list"], &["events", STREAM_ID]),
        (&["streams", "show", "events"], &[STREAM_ID, "json"]),
        (&["streams", "sample", "events"], &["\"value\": \"one\"", "application/json"]),
        (&["tables", "list"], &["latest_event", "every_event", "append"]),
        (&["tables", "show", "latest_event"], &["version", "order_by"]),
        (&["databases", "list"], &["events"]),
        (&["databases", "show", "events"], &["events", "SELECT id"]),
        (&["queries", "list"], &["values_of", "id integer"]),
        (&["queries", "show", "values_of"], &["events", "WHERE id = $id"]),
        (&["indexes", "list"], &["by_id", "ix-", "value", "manual"]),
        (&["indexes", "show", "by_id"], &["ix-", "FROM latest_event"]),
        (&["keys", "list"], &["admin", "streams:write"]),
        (&["maintain", "latest_event"], &["latest_event", "compacted"]),
    ];
    for (arguments, words) in cases {
        let said = deployment.freshet(arguments).await.with_status(0);
        for word in *words {
            assert!(said.stdout.contains(word), "{arguments:?} shows no {word}: {said:?}");
        }
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let said = deployment.freshet(&arguments).await.with_status(0);
        assert!(said.json().is_object() && said.stderr.is_empty(), "{arguments:?}: {said:?}");
    }
    let status = deployment.freshet(&["status", "--json"]).await.json();
    let rows = status["tables"].as_array().unwrap().iter().map(|table| &table["rows"]);
    assert_eq!(rows.collect::<Vec<_>>(), [&json!(1), &json!(1)]);
    deployment.finish([server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_maintained_is_told() {
    let (deployment, server, _) = scene().await;
    let unknown = deployment.freshet(&["maintain", "nothing"]).await.with_status(2);
    assert!(unknown.stderr.contains("freshet tables list"), "{unknown:?}");
    let never = deployment.freshet(&["maintain", "nothing", "--retention", "never"]).await.with_status(2);
    assert!(never.stderr.contains("as 12h or 7d"), "{never:?}");
    deployment.finish([server]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_does_what_its_scopes_say_until_it_is_revoked() {
    let (deployment, server, file) = scene().await;
    deployment.freshet(&["apply", &file, "--yes"]).await.with_status(0);
    let events = deployment.path("events.ndjson");
    fs::write(&events, "{\"id\": 1, \"version\": 1}\n").unwrap();
    let events = events.display().to_string();

    let create = ["keys", "create", "shop", "--scope", "streams:write", "--stream", "events", "--json"];
    let made = deployment.freshet(&create).await.with_status(0).json();
    let twice = deployment.freshet(&create).await.with_status(1);
    assert!(twice.stderr.contains("\"shop\""), "{twice:?}");
    let rotated = deployment.freshet(&["keys", "rotate", "shop", "--json"]).await.with_status(0).json();
    for answer in [&made, &rotated] {
        deployment.keep_secret(answer["client_secret"].as_str().unwrap());
    }
    assert_eq!(made["client_id"], rotated["client_id"]);
    assert_ne!(made["client_secret"], rotated["client_secret"]);
    let issued = deployment.freshet(&["tokens", "issue", "shop", "--expires-in", "15m"]).await.with_status(0);
    let token = issued.stdout.trim();
    deployment.keep_secret(token);
    let with_token = async |arguments: &[&str]| {
        let mut launch = deployment.launch(arguments);
        for (name, value) in [("FRESHET_TOKEN", token), ("FRESHET_URL", server.url()), ("FRESHET_TENANT", TENANT)] {
            launch.environment.push((name.to_owned(), value.to_owned()));
        }
        launch.run().await
    };

    with_token(&["send", STREAM_ID, &events]).await.with_status(0);
    let refused = with_token(&["sql", "SELECT 1", "--database", "events"]).await.with_status(1);
    assert!(refused.stderr.contains("(403)") && refused.stderr.contains("tables:query"), "{refused:?}");

    let revoked = deployment.freshet(&["keys", "revoke", "shop"]).await.with_status(0);
    assert!(revoked.stderr.contains("within 60 s"), "{revoked:?}");
    let refused = async || {
        let said = with_token(&["send", STREAM_ID, &events]).await;
        said.status == 1 && said.stderr.contains("(401)")
    };
    freshet_testkit::eventually(std::time::Duration::from_secs(70), refused).await.expect("its token is refused");
    deployment.finish([server]).await;
}

#[tokio::test]
async fn wrong_use_is_told_what_to_do() {
    let deployment = Deployment::embedded();
    let unknown = deployment.freshet(&["sql", "SELECT 1"]).await.with_status(2);
    assert!(unknown.stderr.contains("freshet up --data"), "{unknown:?}");

    let mut launch = deployment.launch(&["sql", "SELECT 1"]);
    let nowhere = format!("http://127.0.0.1:{}", freshet_testkit::free_port().unwrap());
    launch.environment =
        vec![("FRESHET_URL".to_owned(), nowhere.clone()), ("FRESHET_TOKEN".to_owned(), "x".to_owned())];
    let said = launch.run().await.with_status(1);
    assert!(said.stderr.contains(&format!("no server answers at {nowhere}")), "{said:?}");

    let mut launch = deployment.launch(&["up", "--listen", "127.0.0.1:0"]);
    launch.environment = vec![("FRESHET_QEUE".to_owned(), "kafka".to_owned())];
    let said = launch.run().await.with_status(2);
    assert!(said.stderr.contains("FRESHET_QEUE: no such setting; did you mean \"FRESHET_QUEUE\"?"), "{said:?}");

    let launch = Launch { arguments: vec!["completions".to_owned(), "bash".to_owned()], ..Launch::default() };
    assert!(launch.run().await.with_status(0).stdout.contains("_freshet"));
}
