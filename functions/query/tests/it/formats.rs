//! Answers in each format, whole, streamed, and put to the files behind a gateway.

use std::sync::Arc;
use std::time::Duration;

use freshet_function_query::{QueryLimits, StoredAnswers};
use freshet_testkit::{SeaweedFs, eventually, python_script, random_name};
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, ObjectStoreExt};
use reqwest::Url;
use rstest::rstest;
use serde_json::{Value, json};

use crate::scene::{Call, Reply, Scene};

const AT_NOON: &str = "2026-06-14T12:00:00.000000Z";
const CSV: &str = "text/csv; charset=utf-8; header=present";
/// More than is sent with the status of a streamed answer.
const LARGE: &str = "SELECT value, repeat('x', 100) AS filler FROM generate_series(1, 20000)";

fn of_server(limits: QueryLimits) -> QueryLimits {
    QueryLimits { gateway_bytes: None, ..limits }
}

async fn ask(scene: &Scene, accept: &str, sql: &str) -> Reply {
    Call::new(scene).with("accept", accept).sql(sql).field("limit", json!(100_000)).send(scene).await
}

const ROWS: &str = "SELECT order_id, email, revenue, ordered_at, items FROM orders ORDER BY order_id";
const AS_CSV: &str = "order_id,email,revenue,ordered_at,items\r\n\
    a-1,ann@example.com,79.99,2026-06-14T00:24:16.000000Z,\"[{\"\"sku\"\":\"\"x\"\"}]\"\r\n\
    a-2,bob@example.com,2500315.63,2026-06-14T01:00:00.000000Z,\r\n\
    a-3,,0.01,2026-06-14T02:00:00.000000Z,\r\n";
const AS_NDJSON: &str = concat!(
    r#"{"order_id":"a-1","email":"ann@example.com","revenue":79.99,"ordered_at":"2026-06-14T00:24:16.000000Z","items":"[{\"sku\":\"x\"}]"}"#,
    "\n",
    r#"{"order_id":"a-2","email":"bob@example.com","revenue":2500315.63,"ordered_at":"2026-06-14T01:00:00.000000Z","items":null}"#,
    "\n",
    r#"{"order_id":"a-3","email":null,"revenue":0.01,"ordered_at":"2026-06-14T02:00:00.000000Z","items":null}"#,
    "\n",
);

#[rstest]
#[case::csv("text/csv", CSV, AS_CSV)]
#[case::ndjson("application/x-ndjson", "application/x-ndjson", AS_NDJSON)]
#[tokio::test]
async fn a_whole_answer_as_text(
    #[case] accept: &str,
    #[case] content_type: &str,
    #[case] expected: &str,
    #[values(true, false)] gateway: bool,
) {
    let scene = Scene::with_limits(|limits| if gateway { limits } else { of_server(limits) }).await;
    let reply = ask(&scene, accept, ROWS).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, expected));
    assert_eq!(reply.header("content-type"), Some(content_type));
    assert_eq!(reply.header("content-length"), Some(expected.len().to_string().as_str()));
    assert_eq!(reply.header("x-as-of"), Some(AT_NOON));
    assert_eq!((reply.header("x-row-count"), reply.header("x-truncated")), (Some("3"), Some("false")));
}

#[rstest]
#[case::arrow("application/vnd.apache.arrow.stream", "read_ipc_stream")]
#[case::parquet("application/vnd.apache.parquet", "read_parquet")]
#[tokio::test]
async fn a_whole_answer_that_polars_reads(#[case] accept: &str, #[case] function: &str) {
    let scene = Scene::with_limits(of_server).await;
    let reply = ask(&scene, accept, ROWS).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some(accept)));
    assert_eq!((reply.header("x-row-count"), reply.header("x-truncated")), (Some("3"), Some("false")));
    assert_eq!(reply.header("x-as-of"), Some(AT_NOON));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &reply.body).unwrap();
    let script = format!(
        "import polars, sys\nframe = polars.{function}(sys.argv[1])\nprint(*frame.schema.items())\nfor row in frame.rows(): print(row)"
    );
    let read = python_script(&script, &[file.path().to_str().unwrap()]).await.unwrap();
    let expected = "('order_id', String) ('email', String) ('revenue', Decimal(precision=18, scale=2)) ('ordered_at', Datetime(time_unit='us', time_zone='UTC')) ('items', String)\n\
        ('a-1', 'ann@example.com', Decimal('79.99'), datetime.datetime(2026, 6, 14, 0, 24, 16, tzinfo=zoneinfo.ZoneInfo(key='UTC')), '[{\"sku\":\"x\"}]')\n\
        ('a-2', 'bob@example.com', Decimal('2500315.63'), datetime.datetime(2026, 6, 14, 1, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC')), None)\n\
        ('a-3', None, Decimal('0.01'), datetime.datetime(2026, 6, 14, 2, 0, tzinfo=zoneinfo.ZoneInfo(key='UTC')), None)\n";
    assert_eq!(read, expected);
}

#[tokio::test]
async fn json_says_in_headers_what_its_body_says() {
    let scene = Scene::new().await;
    let reply = Call::new(&scene).sql("SELECT order_id FROM orders").field("limit", json!(2)).send(&scene).await;
    let headers = ["content-type", "x-as-of", "x-row-count", "x-truncated"].map(|name| reply.header(name).unwrap());
    assert_eq!(headers, ["application/json", AT_NOON, "2", "true"]);
    let answer = reply.rows();
    assert_eq!((answer.row_count, answer.truncated, answer.as_of.as_str()), (2, true, AT_NOON));
}

#[rstest]
#[case::text("text/html")]
#[case::none("application/json;q=0")]
#[tokio::test]
async fn a_format_that_there_is_not_is_406(#[case] accept: &str) {
    let scene = Scene::new().await;
    ask(&scene, accept, "SELECT 1").await.assert_problem(
        406,
        "the header Accept names no format of results; there are application/json, application/x-ndjson, text/csv, application/vnd.apache.arrow.stream, application/vnd.apache.parquet",
    );
}

#[tokio::test]
async fn who_has_no_token_is_not_told_of_formats() {
    let scene = Scene::new().await;
    let reply = Call::new(&scene).without("authorization").with("accept", "text/html").send(&scene).await;
    reply.assert_problem(401, "the header Authorization is missing; send Authorization: Bearer <token>");
}

#[rstest]
#[case::csv("text/csv", 20_001)]
#[case::ndjson("application/x-ndjson", 20_000)]
#[tokio::test]
async fn a_large_answer_is_streamed(#[case] accept: &str, #[case] lines: usize) {
    let scene = Scene::with_limits(of_server).await;
    let reply = ask(&scene, accept, LARGE).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.text().lines().count(), lines);
    assert_eq!(reply.header("x-as-of"), Some(AT_NOON));
    // They aren't known when the headers go out.
    assert_eq!(
        (reply.header("content-length"), reply.header("x-row-count"), reply.header("x-truncated")),
        (None, None, None)
    );
}

#[rstest]
#[tokio::test]
async fn an_error_in_the_first_bytes_is_a_problem(
    #[values(
        "text/csv",
        "application/x-ndjson",
        "application/vnd.apache.arrow.stream",
        "application/vnd.apache.parquet"
    )]
    accept: &str,
) {
    let scene = Scene::with_limits(of_server).await;
    let reply = ask(&scene, accept, "SELECT 1 / (100 - value) FROM generate_series(1, 200)").await;
    reply.assert_problem(400, "division by zero");
}

const FAILS_LATE: &str = "SELECT 1 / (90000 - value) AS v, repeat('x', 100) AS filler FROM generate_series(1, 100000)";

#[rstest]
#[case::csv("text/csv")]
#[case::ndjson("application/x-ndjson")]
#[case::arrow("application/vnd.apache.arrow.stream")]
#[tokio::test]
async fn an_error_after_the_status_breaks_the_body_off(#[case] accept: &str) {
    let scene = Scene::with_limits(of_server).await;
    let call = Call::new(&scene).with("accept", accept).sql(FAILS_LATE).field("limit", json!(100_000));
    let (status, error) = call.send_broken(&scene).await;
    assert_eq!((status, error.as_str()), (200, "the query failed after a part of its answer was sent"));
}

#[rstest]
#[case::json("application/json")]
#[case::parquet("application/vnd.apache.parquet")]
#[tokio::test]
async fn an_error_anywhere_in_a_whole_answer_is_a_problem(#[case] accept: &str) {
    let scene = Scene::with_limits(of_server).await;
    ask(&scene, accept, FAILS_LATE).await.assert_problem(400, "division by zero");
}

#[tokio::test]
async fn behind_a_gateway_an_error_is_always_a_problem() {
    let scene = Scene::new().await;
    ask(&scene, "text/csv", FAILS_LATE).await.assert_problem(400, "division by zero");
}

/// Whole answers beyond 8 MiB lie in a file until they are sent, which nobody finds afterwards.
#[tokio::test]
async fn a_large_answer_is_kept_in_a_file_and_leaves_nothing() {
    let scene = Scene::with_limits(of_server).await;
    let sql = "SELECT value, repeat('x', 200) AS filler FROM generate_series(1, 60000)";
    let reply = ask(&scene, "application/json", sql).await;
    assert_eq!((reply.status, reply.rows().row_count), (200, 60_000));
    assert!(reply.body.len() > 8 << 20);
    assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
    let left = || std::fs::read_dir(scene.path("query")).unwrap().count();
    eventually(Duration::from_secs(10), async || left() == 0).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_whole_answer_of_too_many_bytes_is_413(
    #[values("application/json", "application/vnd.apache.parquet")] accept: &str,
) {
    let scene = Scene::with_limits(|limits| QueryLimits { answer_bytes: 1_000_000, ..of_server(limits) }).await;
    let reply = ask(&scene, accept, "SELECT sha256(CAST(value AS VARCHAR)) AS v FROM generate_series(1, 100000)").await;
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail
            .starts_with("the result is larger than 1000000 bytes: select fewer columns, or set a smaller limit than "),
        "{detail}"
    );
    reply.assert_problem(413, &detail);
}

/// A scene whose answers behind a gateway go to S3, with the files there.
async fn behind_gateway() -> (Scene, Arc<dyn ObjectStore>) {
    let seaweedfs = SeaweedFs::shared().await.unwrap();
    let bucket = random_name("bucket");
    seaweedfs.create_bucket(&bucket).await.unwrap();
    let s3 = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region("us-east-1")
        .with_endpoint(seaweedfs.endpoint())
        .with_allow_http(true)
        .with_access_key_id(seaweedfs.access_key())
        .with_secret_access_key(seaweedfs.secret_key());
    let s3 = Arc::new(s3.build().unwrap());
    let stored = StoredAnswers::new(Arc::clone(&s3) as _, Arc::clone(&s3) as _);
    (Scene::with(|limits| limits, Some(stored)).await, s3)
}

async fn stored_answers(files: &dyn ObjectStore) -> Vec<String> {
    let listed = files.list_with_delimiter(Some(&"results/acme".into())).await.unwrap();
    listed.objects.into_iter().map(|object| object.location.to_string()).collect()
}

#[rstest]
#[case::json("application/json", "application/json", 60_000)]
#[case::csv("text/csv", CSV, 60_000)]
#[case::ndjson("application/x-ndjson", "application/x-ndjson", 40_000)]
#[case::arrow("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream", 40_000)]
#[tokio::test]
async fn an_answer_too_large_for_the_gateway_is_linked_to(
    #[case] accept: &str,
    #[case] content_type: &str,
    #[case] rows: usize,
) {
    let (scene, files) = behind_gateway().await;
    let sql = format!("SELECT value, repeat('x', 120) AS filler FROM generate_series(1, {rows})");
    let reply = ask(&scene, accept, &sql).await;
    assert_eq!((reply.status, reply.body.len()), (303, 0), "{}", reply.text());
    assert_eq!(reply.header("x-as-of"), Some(AT_NOON));
    assert_eq!(
        (reply.header("x-row-count"), reply.header("x-truncated")),
        (Some(rows.to_string().as_str()), Some("false"))
    );
    assert_eq!(reply.header("cache-control"), Some("no-store"));

    let url = Url::parse(reply.header("location").unwrap()).unwrap();
    let lifetime = url.query_pairs().find(|(name, _)| name == "X-Amz-Expires").unwrap().1.into_owned();
    assert_eq!(lifetime, "900");
    let stored = stored_answers(files.as_ref()).await;
    assert_eq!(stored.len(), 1, "{stored:?}");
    let name = stored[0].strip_prefix("results/acme/").unwrap();
    assert!(uuid::Uuid::parse_str(name).is_ok() && url.path().ends_with(&stored[0]), "{stored:?} {url}");

    // The holder of the link needs nothing else; without its signature it is worth nothing.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(url.clone()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()), (200, content_type));
    let linked = answer.bytes().await.unwrap();
    let of_server = Scene::with_limits(of_server).await;
    let inline = ask(&of_server, accept, &sql).await;
    if accept == "application/json" {
        let rows = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["rows"].take();
        assert_eq!(rows(&linked), rows(&inline.body));
    } else {
        assert!(linked == inline.body, "the same bytes");
    }
    let mut unsigned = url;
    unsigned.set_query(None);
    assert_eq!(client.get(unsigned).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn an_answer_that_fits_the_gateway_is_sent_through_it() {
    let (scene, files) = behind_gateway().await;
    // Close below what Lambda passes on: 4.4 MB in base64, 5.9 MB as they are.
    for (accept, rows) in [("application/x-ndjson", 30_000), ("text/csv", 45_000)] {
        let sql = format!("SELECT value, repeat('x', 120) AS filler FROM generate_series(1, {rows})");
        let reply = ask(&scene, accept, &sql).await;
        assert_eq!(reply.status, 200);
        assert!(reply.body.len() > 4_000_000, "{}", reply.body.len());
        assert_eq!(reply.header("x-row-count"), Some(rows.to_string().as_str()));
    }
    assert!(stored_answers(files.as_ref()).await.is_empty());
}

#[tokio::test]
async fn an_answer_of_several_parts_is_linked_to() {
    let (scene, files) = behind_gateway().await;
    let sql = "SELECT value, repeat('x', 400) AS filler FROM generate_series(1, 60000)";
    let reply = ask(&scene, "text/csv", sql).await;
    assert_eq!(reply.status, 303);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let linked = client.get(reply.header("location").unwrap()).send().await.unwrap().text().await.unwrap();
    assert!(linked.len() > 20 << 20);
    assert_eq!(linked.lines().count(), 60_001);
    assert!(linked.ends_with(&format!("60000,{}\r\n", "x".repeat(400))));
    let stored = &stored_answers(files.as_ref()).await[0];
    assert_eq!(files.head(&stored.as_str().into()).await.unwrap().size, linked.len() as u64);
}
