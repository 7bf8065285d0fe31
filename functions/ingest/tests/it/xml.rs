//! XML documents: what is taken, and every refusal with its whole body.

use std::time::{Duration, Instant};

use freshet_function_ingest::MAX_RECORD_BYTES;
use freshet_model::PayloadFormat;
use rstest::rstest;
use serde_json::{Value, json};

use crate::call::{Answer, Call, gzip, zstd};
use crate::scene::{LETTERS, Scene};

/// A call that is right, unless it is changed: `<a/>` to stream `letters`.
fn call(scene: &Scene) -> Call {
    Call::new(scene).stream(LETTERS).with("content-type", "application/xml").body("<a/>")
}

/// Sends a call and checks that nothing was queued.
async fn refusal(change: impl FnOnce(Call) -> Call) -> Answer {
    let (scene, shelf) = Scene::new().await;
    let begun = Instant::now();
    let answer = change(call(&scene)).send(&scene).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    assert_eq!(shelf.payloads(), Vec::<String>::new());
    answer
}

#[rstest]
#[case("application/xml")]
#[case("text/xml")]
#[case("Text/XML; charset=\"UTF-8\"")]
#[case("application/xml;charset=us-ascii")]
#[tokio::test]
async fn a_document_is_one_record_as_it_came(#[case] content_type: &str) {
    let (scene, shelf) = Scene::new().await;
    let document = "<?xml version=\"1.0\"?>\n<letters><letter id='1'/><letter id='2'/></letters>\n";
    let answer = call(&scene).with("content-type", content_type).body(document).send(&scene).await;
    assert_eq!((answer.status, &answer.json()["records"]), (202, &json!(1)));
    assert_eq!(shelf.payloads(), [document]);
    assert_eq!(shelf.records()[0].1.headers.format, PayloadFormat::Xml);
}

#[rstest]
#[case::identity("identity", <[u8]>::to_vec)]
#[case::gzip("gzip", gzip)]
#[case::zstd("zstd", zstd)]
#[tokio::test]
async fn the_largest_document_is_taken(#[case] encoding: &str, #[case] compress: fn(&[u8]) -> Vec<u8>) {
    let (scene, shelf) = Scene::new().await;
    let document = format!("<a>{}</a>", "x".repeat(MAX_RECORD_BYTES - 7));
    let answer = call(&scene).with("content-encoding", encoding).body(compress(document.as_bytes())).send(&scene).await;
    assert_eq!((answer.status, shelf.payloads()), (202, vec![document]));
}

#[rstest]
#[case::absent(None, "the header Content-Type is missing")]
#[case::json(Some("application/json"), "the content type is \"application/json\"")]
#[case::ndjson(Some("application/x-ndjson"), "the content type is \"application/x-ndjson\"")]
#[case::a_dialect(Some("application/soap+xml"), "the content type is \"application/soap+xml\"")]
#[tokio::test]
async fn another_content_type_is_415(#[case] content_type: Option<&str>, #[case] what: &str) {
    let answer = refusal(|call| match content_type {
        Some(value) => call.with("content-type", value),
        None => call.without("content-type"),
    });
    let detail = format!("{what}; the stream takes XML: application/xml or text/xml");
    answer.await.assert_problem(415, &detail);
}

#[tokio::test]
async fn another_charset_is_415() {
    let answer = refusal(|call| call.with("content-type", "text/xml; Charset=iso-8859-1")).await;
    answer.assert_problem(415, "the charset is \"iso-8859-1\"; send XML in UTF-8");
}

#[rstest]
#[case("")]
#[case("\r\n ")]
#[tokio::test]
async fn an_empty_body_is_400(#[case] body: &'static str) {
    refusal(|call| call.body(body)).await.assert_problem(400, "the body holds no records; send an XML document");
}

#[tokio::test]
async fn a_document_that_is_too_large_is_413() {
    let document = format!("<a>{}</a>", "x".repeat(MAX_RECORD_BYTES));
    let errors = json!([{"index": 0, "message": "record 0 has 1000007 bytes, a record may have 1000000"}]);
    let answer = refusal(|call| call.body(document)).await;
    answer.assert_problem_with(413, "1 record is not right, so none was queued", errors);
}

fn laughs() -> String {
    let level = |at: usize| format!("<!ENTITY b{} \"{}\">", at + 1, format!("&b{at};").repeat(10));
    let levels: Vec<String> = (0..9).map(level).collect();
    format!("<?xml version=\"1.0\"?>\n<!DOCTYPE l [<!ENTITY b0 \"lol\">{}]>\n<l>&b9;</l>", levels.concat())
}

#[rstest]
#[case::cut("<a>\n<b>", "line 2, column 4: the document ends, and <b> is not closed")]
#[case::json("{}", "line 1, column 1: text stands before the root element")]
#[case::billion_laughs(&laughs(), "line 2, column 1: a document type definition is not allowed; leave <!DOCTYPE …> out")]
#[case::external_entity(
    "<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><a>&e;</a>",
    "line 1, column 1: a document type definition is not allowed; leave <!DOCTYPE …> out"
)]
#[case::entity_of_nowhere(
    "<a>&e;</a>",
    "line 1, column 4: the entity &e; is not known; known are &amp; &lt; &gt; &quot; &apos; and numbers as &#233;"
)]
#[case::many_levels(&"<a>".repeat(100_000), "line 1, column 301: elements are nested more than 100 levels deep")]
#[case::a_long_attribute_that_is_not_closed(
    &format!("<a b='{}", "x".repeat(900_000)),
    "line 1, column 1: attribute value not closed: `'` not found before end of input"
)]
#[case::many_attributes_of_one_name(
    &format!("<a {}/>", "b='' ".repeat(100_000)),
    "line 1, column 3: attribute b is there twice"
)]
#[case::a_name_without_end(&format!("<{}\u{1f}/>", "x".repeat(900_000)), "line 1, column 900002: U+001F is not a character that XML allows")]
#[case::nul("<a>\0</a>", "line 1, column 4: U+0000 is not a character that XML allows")]
#[case::another_encoding(
    "<?xml version='1.0' encoding='windows-1252'?><a/>",
    "line 1, column 1: the document is declared to be in windows-1252; send it in UTF-8"
)]
#[tokio::test]
async fn a_document_that_is_not_acceptable_is_400_with_line_and_column(#[case] document: &str, #[case] what: &str) {
    let answer = refusal(|call| call.body(document.to_owned())).await;
    answer.assert_problem_with(400, "1 record is not right, so none was queued", errors(what));
}

#[tokio::test]
async fn bytes_that_are_not_utf8_are_400() {
    let answer = refusal(|call| call.body(&b"<a>\n<b>\xff</b></a>"[..])).await;
    answer.assert_problem_with(400, "1 record is not right, so none was queued", errors("line 2, column 4: not UTF-8"));
}

fn errors(what: &str) -> Value {
    json!([{"index": 0, "message": format!("record 0 is not acceptable XML at {what}")}])
}
