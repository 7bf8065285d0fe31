//! Every refusal of the contract, with its whole body; and that nothing of a refused request is queued.

use std::time::Duration;

use axum::http::Method;
use freshet_function_ingest::{MAX_BODY_BYTES, MAX_DECOMPRESSED_BYTES, MAX_RECORD_BYTES, MAX_RECORDS};
use rstest::rstest;
use serde_json::{Value, json};

use crate::call::{Call, gzip, zstd};
use crate::scene::{ORDERS, SLOW, Scene, tenant};

/// Sends a call and checks that nothing was queued.
async fn refusal(change: impl FnOnce(Call) -> Call) -> crate::call::Answer {
    let (scene, shelf) = Scene::new().await;
    let answer = change(Call::new(&scene)).send(&scene).await;
    assert_eq!(shelf.payloads(), Vec::<String>::new());
    assert!(
        !String::from_utf8_lossy(&answer.body).contains(scene.shop.rsplit_once('.').unwrap().1),
        "no token in a body"
    );
    answer
}

#[rstest]
#[case::short("is-2hzqsgX1", "is-2hzqsgX1")]
#[case::other_prefix("xx-2hzqsgX1E", "xx-2hzqsgX1E")]
#[case::punctuation("is-2hzqsg_1E", "is-2hzqsg_1E")]
#[case::a_path("is-..%2F..%2Fetc", "is-../../etc")]
#[tokio::test]
async fn a_malformed_stream_id_is_400_even_without_a_token(#[case] id: &str, #[case] shown: &str) {
    let answer = refusal(|call| call.stream(id).without("authorization")).await;
    let detail = format!("{shown:?} is not a stream id: is- and 9 to 61 letters or digits, as is-2hzqsgX1E");
    answer.assert_problem(400, &detail);
}

#[rstest]
#[case::missing(None, "the header Authorization is missing; send Authorization: Bearer <token>")]
#[case::other_scheme(Some("Basic c2hvcDpzZWNyZXQ="), "the header Authorization is not of the form: Bearer <token>")]
#[case::malformed(Some("Bearer s3cr3t"), "the token is malformed")]
#[tokio::test]
async fn without_a_valid_token_it_is_401(#[case] authorization: Option<&str>, #[case] detail: &str) {
    let answer = refusal(|call| match authorization {
        Some(value) => call.with("authorization", value),
        None => call.without("authorization"),
    });
    answer.await.assert_problem(401, detail);
}

#[tokio::test]
async fn an_expired_token_is_401() {
    let (scene, _) = Scene::new().await;
    scene.advance(Duration::from_hours(1));
    Call::new(&scene).send(&scene).await.assert_problem(401, "the token has expired");
}

#[tokio::test]
async fn a_forged_token_is_401() {
    let (scene, other) = (Scene::new().await.0, Scene::new().await.0);
    let answer = Call::new(&scene).with("authorization", format!("Bearer {}", other.shop)).send(&scene).await;
    answer.assert_problem(401, "the token was not issued here");
}

#[tokio::test]
async fn a_revoked_token_is_401() {
    let (scene, shelf) = Scene::new().await;
    scene.advance(Duration::from_mins(1));
    let none = freshet_catalog::Precondition::None;
    scene.catalog.delete(&tenant(), freshet_model::ResourceKind::ApiKeys, "shop", none).await.unwrap();
    Call::new(&scene).send(&scene).await.assert_problem(401, "the token's key was revoked");
    assert!(shelf.records().is_empty());
}

#[tokio::test]
async fn a_token_without_the_scope_is_403_before_its_tenant_is_looked_at() {
    let (scene, _) = Scene::new().await;
    let call =
        Call::new(&scene).with("authorization", format!("Bearer {}", scene.analyst)).without("x-amperity-tenant");
    call.send(&scene).await.assert_problem(403, "the token lacks the scope streams:write");
}

#[tokio::test]
async fn a_token_of_another_stream_is_403() {
    let (scene, _) = Scene::new().await;
    let call = Call::new(&scene).with("authorization", format!("Bearer {}", scene.narrow));
    let answer = call.stream(SLOW).send(&scene).await;
    answer.assert_problem(403, &format!("the token doesn't allow writing to stream {SLOW} (slow)"));
}

#[rstest]
#[case::absent(&[], 400, "the tenant header is missing; send X-Amperity-Tenant (or Amperity-Tenant, or X-Tenant) with the tenant's id")]
#[case::another(&[("x-tenant", "other")], 403, "the token is not one of tenant other")]
#[case::different(
    &[("x-tenant", "acme"), ("amperity-tenant", "other")],
    400,
    "the tenant headers name different tenants; send one of X-Amperity-Tenant, Amperity-Tenant, X-Tenant"
)]
#[tokio::test]
async fn the_tenant_header_must_be_the_tokens(
    #[case] tenant: &[(&str, &str)],
    #[case] status: u16,
    #[case] detail: &str,
) {
    let change = |call: Call| {
        let bare = call.without("x-amperity-tenant");
        tenant.iter().fold(bare, |call, (name, value)| call.and(name, value))
    };
    refusal(change).await.assert_problem(status, detail);
}

#[tokio::test]
async fn an_unknown_stream_is_404() {
    let answer = refusal(|call| call.stream("is-unknown01")).await;
    answer.assert_problem(404, "tenant acme has no stream is-unknown01");
}

#[rstest]
#[case::get(Method::GET)]
#[case::put(Method::PUT)]
#[case::delete(Method::DELETE)]
#[case::patch(Method::PATCH)]
#[tokio::test]
async fn other_methods_are_405(#[case] method: Method) {
    let answer = refusal(|call| call.method(method)).await;
    answer.assert_problem(405, "the methods allowed here are POST");
    assert_eq!(answer.header("allow"), Some("POST"));
}

#[rstest]
#[case("/stream/v0/data")]
#[case("/stream/v0/data/is-0rders001/more")]
#[case("/stream/v1/data/is-0rders001")]
#[tokio::test]
async fn other_paths_are_404(#[case] path: &str) {
    let answer = refusal(|call| call.path(path)).await;
    answer.assert_problem(404, "there is nothing at this path; /openapi.json lists what there is");
}

const TAKES_JSON: &str =
    "the stream takes JSON: application/json, application/x-ndjson, application/jsonl or application/x-json-stream";

#[rstest]
#[case::absent(None, "the header Content-Type is missing")]
#[case::xml(Some("application/xml"), "the content type is \"application/xml\"")]
#[case::text_xml(Some("text/xml; charset=utf-8"), "the content type is \"text/xml\"")]
#[case::form(Some("application/x-www-form-urlencoded"), "the content type is \"application/x-www-form-urlencoded\"")]
#[case::nothing(Some(""), "the content type is \"\"")]
#[tokio::test]
async fn another_content_type_is_415(#[case] content_type: Option<&str>, #[case] what: &str) {
    let answer = refusal(|call| match content_type {
        Some(value) => call.with("content-type", value),
        None => call.without("content-type"),
    });
    answer.await.assert_problem(415, &format!("{what}; {TAKES_JSON}"));
}

#[rstest]
#[case("br")]
#[case("gzip, zstd")]
#[case("deflate")]
#[tokio::test]
async fn another_encoding_is_415(#[case] encoding: &str) {
    let answer = refusal(|call| call.with("content-encoding", encoding)).await;
    let detail = format!(
        "unknown content encoding {encoding:?}; send gzip or zstd, or no Content-Encoding for a body that is not compressed"
    );
    answer.assert_problem(415, &detail);
}

#[rstest]
#[case::type_twice("content-type", "application/json", "the header Content-Type is there more than once; send it once")]
#[case::encoding_twice("content-encoding", "gzip", "the header Content-Encoding is there more than once; encode once")]
#[tokio::test]
async fn a_header_of_the_body_that_is_there_twice_is_415(
    #[case] name: &str,
    #[case] value: &str,
    #[case] detail: &str,
) {
    refusal(|call| call.with(name, value).and(name, value)).await.assert_problem(415, detail);
}

#[rstest]
#[case::json("application/json", "")]
#[case::blank_json("application/json", " \r\n\t")]
#[case::no_element("application/json", "[]")]
#[case::ndjson("application/x-ndjson", "")]
#[case::blank_lines("application/x-ndjson", "\n\r\n  \n")]
#[tokio::test]
async fn an_empty_body_is_400(#[case] content_type: &str, #[case] body: &'static str) {
    let answer = refusal(|call| call.with("content-type", content_type).body(body)).await;
    answer
        .assert_problem(400, "the body holds no records; send a JSON object, an array of objects, or an object a line");
}

/// The `errors` of records by index.
fn errors(listed: &[(u64, &str)]) -> Value {
    listed.iter().map(|(index, what)| json!({"index": index, "message": format!("record {index} {what}")})).collect()
}

#[rstest]
#[case::a_number("7", &[(0, "is a number, expected a JSON object")])]
#[case::null("null", &[(0, "is null, expected a JSON object")])]
#[case::a_text("\"a\"", &[(0, "is a text, expected a JSON object")])]
#[case::elements(
    "[{\"a\": 1}, 7, {\"a\": 2}, [{}], null]",
    &[
        (1, "is a number, expected a JSON object"),
        (3, "is an array, expected a JSON object"),
        (4, "is null, expected a JSON object"),
    ]
)]
#[case::cut_off("[{\"a\": 1},\n {\"a\": ", &[(1, "is not valid JSON at line 2, column 7: EOF while parsing a value")])]
#[case::trailing("{} {}", &[(1, "is not valid JSON at line 1, column 4: something follows the end; send several objects in an array, or one a line as application/x-ndjson")])]
#[tokio::test]
async fn json_records_that_are_not_right_are_listed_by_index(
    #[case] body: &'static str,
    #[case] listed: &[(u64, &str)],
) {
    let detail = match listed.len() {
        1 => "1 record is not right, so none was queued".to_owned(),
        count => format!("{count} records are not right, so none was queued"),
    };
    refusal(|call| call.body(body)).await.assert_problem_with(400, &detail, errors(listed));
}

#[tokio::test]
async fn lines_that_are_not_right_are_listed_by_index_and_place() {
    let body = b"{\"a\": 1}\n\nnonsense\n{\"a\": 2}\n\"\xff\"\n[]\n";
    let answer = refusal(|call| call.with("content-type", "application/x-ndjson").body(body.to_vec())).await;
    let listed = [
        (1, "is not valid JSON at line 3, column 2: expected ident"),
        (3, "is not valid JSON at line 5, column 2: not UTF-8"),
        (4, "is an array, expected a JSON object"),
    ];
    answer.assert_problem_with(400, "3 records are not right, so none was queued", errors(&listed));
}

#[tokio::test]
async fn of_very_many_bad_records_the_first_are_listed() {
    let body = format!("[{}]", vec!["7"; 1_500].join(","));
    let answer = refusal(|call| call.body(body)).await;
    let listed = answer.json()["errors"].as_array().unwrap().clone();
    let detail = "1,500 records are not right, so none was queued; the first 100 are listed";
    answer.assert_problem_with(400, detail, Value::Array(listed.clone()));
    assert_eq!(listed.len(), 100);
    assert_eq!(listed[99], json!({"index": 99, "message": "record 99 is a number, expected a JSON object"}));
}

#[tokio::test]
async fn a_record_that_is_too_large_is_413_and_listed() {
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_RECORD_BYTES));
    let answer = refusal(|call| call.body(format!("[{{}},{large},{{}}]"))).await;
    let listed = [(1, "has 1000008 bytes, a record may have 1000000")];
    answer.assert_problem_with(413, "1 record is not right, so none was queued", errors(&listed));
}

#[tokio::test]
async fn nesting_too_deep_is_400() {
    let nested = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = refusal(|call| call.body(nested)).await;
    let listed = [(0, "is nested more than 100 levels deep")];
    answer.assert_problem_with(400, "1 record is not right, so none was queued", errors(&listed));
}

#[rstest]
#[case::json("application/json", format!("[{}]", vec!["{}"; MAX_RECORDS + 1].join(",")))]
#[case::ndjson("application/jsonl", "{}\n".repeat(MAX_RECORDS + 1))]
#[tokio::test]
async fn too_many_records_are_413(#[case] content_type: &str, #[case] body: String) {
    let answer = refusal(|call| call.with("content-type", content_type).body(body)).await;
    answer.assert_problem(413, "the body has more than 10,000 records, the most that a request may have");
}

#[tokio::test]
async fn a_body_too_large_on_the_wire_is_413() {
    let answer = refusal(|call| call.body(vec![b' '; MAX_BODY_BYTES + 1])).await;
    answer.assert_problem(413, "the body has more than 4,194,304 bytes, the most that a request may have");
}

#[rstest]
#[case::gzip("gzip", gzip)]
#[case::zstd("zstd", zstd)]
#[tokio::test]
async fn a_bomb_is_413(#[case] encoding: &str, #[case] compress: fn(&[u8]) -> Vec<u8>) {
    // A hundred of these would be 6.4 GB.
    let bomb = compress(&vec![b' '; 4 * MAX_DECOMPRESSED_BYTES]).repeat(10);
    let answer = refusal(|call| call.with("content-encoding", encoding).body(bomb)).await;
    answer.assert_problem(
        413,
        "the body has more than 16,777,216 bytes after decompression, the most that a request may have",
    );
}

#[rstest]
#[case::gzip("gzip", "the body is not valid gzip: ")]
#[case::zstd("zstd", "the body is not valid zstd: ")]
#[tokio::test]
async fn a_body_that_is_not_what_its_encoding_says_is_400(#[case] encoding: &str, #[case] begins: &str) {
    let answer = refusal(|call| call.with("content-encoding", encoding)).await;
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with(begins), "{detail}");
    answer.assert_problem(400, &detail);
}

#[tokio::test]
async fn over_its_rate_a_stream_refuses_with_429_until_it_is_paid_off() {
    let (scene, shelf) = Scene::new().await;
    let records = |count: usize| Call::new(&scene).stream(SLOW).body(format!("[{}]", vec!["{}"; count].join(",")));
    assert_eq!(records(300).send(&scene).await.status, 202);
    let answer = records(1).send(&scene).await;
    let detail = format!("stream {SLOW} takes 100 records a second; nothing of this request was queued");
    answer.assert_problem(429, &detail);
    assert_eq!(answer.header("retry-after"), Some("3"), "200 records are owed, and a nanosecond");
    assert_eq!(Call::new(&scene).stream(ORDERS).send(&scene).await.status, 202, "other streams go on");
    scene.advance(Duration::from_millis(2_001));
    assert_eq!(records(1).send(&scene).await.status, 202);
    assert_eq!(shelf.records().len(), 302);
}

#[tokio::test]
async fn a_caller_over_the_rate_is_refused_before_the_body_is_read() {
    let (scene, _) = Scene::new().await;
    let records = format!("[{}]", vec!["{}"; 300].join(","));
    assert_eq!(Call::new(&scene).stream(SLOW).body(records).send(&scene).await.status, 202);
    let never = futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let call = Call::new(&scene).stream(SLOW).body(axum::body::Body::from_stream(never));
    assert_eq!(call.send(&scene).await.status, 429);
}

#[tokio::test]
async fn of_all_that_is_wrong_the_first_is_told_in_the_order_of_the_contract() {
    let (scene, shelf) = Scene::new().await;
    let wrong = || {
        let bare = Call::new(&scene).without("authorization").without("x-amperity-tenant");
        bare.with("content-type", "text/xml").body("")
    };
    let of = |token: &String| format!("Bearer {token}");
    let named = |call: Call| call.with("x-tenant", "acme");
    let mended = [
        (wrong().stream("is-short"), 400, "\"is-short\" is not a stream id"),
        (wrong().stream("is-unknown01"), 401, "the header Authorization is missing"),
        (wrong().stream("is-unknown01").with("authorization", of(&scene.analyst)), 403, "the token lacks the scope"),
        (wrong().stream("is-unknown01").with("authorization", of(&scene.narrow)), 400, "the tenant header is missing"),
        (
            named(wrong()).stream("is-unknown01").with("authorization", of(&scene.narrow)),
            404,
            "tenant acme has no stream",
        ),
        (named(wrong()).stream(SLOW).with("authorization", of(&scene.narrow)), 403, "the token doesn't allow writing"),
        (named(wrong()).stream(SLOW).with("authorization", of(&scene.shop)), 415, "the content type is \"text/xml\""),
        (Call::new(&scene).stream(SLOW).body(""), 400, "the body holds no records"),
    ];
    for (call, status, begins) in mended {
        let answer = call.send(&scene).await;
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(answer.status == status && detail.starts_with(begins), "{} {detail}", answer.status);
    }
    assert!(shelf.records().is_empty());
}
