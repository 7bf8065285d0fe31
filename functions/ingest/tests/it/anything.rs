//! Whatever is sent, the answer is 202 or says what is wrong with it; never a fault of ours.

use freshet_model::PayloadFormat;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::call::{Call, gzip, zstd};
use crate::scene::{LETTERS, ORDERS, Scene};

/// Bodies: any bytes, text that is nearly JSON or XML, and JSON and XML.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let nearly_json = "[\\[\\]{}\",:0-9a-z\\\\ \n\u{e9}.eE+-]{0,200}".prop_map(String::into_bytes);
    let json = prop::collection::vec(
        "\\{(\"[a-z]{1,3}\":(-?[0-9]{1,9}|null|\"[^\"\\\\\\p{Cc}]{0,9}\"|\\[\\{\\}\\]))?\\}",
        0..9,
    );
    let nearly_xml =
        "(<[/?!]?[ab:]?[ =/'\\\"-]{0,3}>?|&[a#1]{0,3};|[\\]\\[ \n\u{e9}\u{0}]){0,20}".prop_map(String::into_bytes);
    let xml = "<a( b='[^<&'\\p{Cc}]{0,9}')?>(<b/>|<c>[^<&>\\p{Cc}]{0,9}</c>|<!---->|&#[1-9][0-9];|<!\\[CDATA\\[<&\\]\\]>){0,9}</a>";
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2_000),
        nearly_json,
        nearly_xml,
        xml.prop_map(String::into_bytes),
        json.clone().prop_map(|records| format!("[{}]", records.join(",")).into_bytes()),
        json.prop_map(|records| records.join("\n").into_bytes()),
    ]
}

#[test]
fn no_body_is_answered_with_a_fault() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (scene, shelf) = runtime.block_on(Scene::new());
    let content_types = prop::sample::select(vec!["application/json", "application/x-ndjson", "application/xml"]);
    let encodings = prop::sample::select(vec!["identity", "gzip", "zstd"]);
    let calls = (bodies(), content_types, encodings, any::<bool>());
    let seed = RngSeed::Fixed(freshet_testkit::seed());
    let config = Config { cases: 2_000, rng_seed: seed, failure_persistence: None, ..Config::default() };
    let property = |(body, content_type, encoding, compressed): (Vec<u8>, &str, &str, bool)| {
        let sent = match encoding {
            "gzip" if compressed => gzip(&body),
            "zstd" if compressed => zstd(&body),
            _ => body,
        };
        let before = shelf.records().len();
        let stream = if content_type == "application/xml" { LETTERS } else { ORDERS };
        let call = Call::new(&scene).stream(stream).with("content-type", content_type);
        let call = call.with("content-encoding", encoding).body(sent);
        let answer = runtime.block_on(call.send(&scene));
        let queued = shelf.records().split_off(before);
        if answer.status == 202 {
            prop_assert_eq!(&answer.json()["records"], queued.len());
            for (_, record) in queued {
                if record.headers.format == PayloadFormat::Xml {
                    prop_assert!(record.payload.starts_with(b"<") && record.payload.ends_with(b">"), "{:?}", record);
                    continue;
                }
                let value: serde_json::Value = serde_json::from_slice(&record.payload).unwrap();
                prop_assert!(value.is_object());
            }
        } else {
            prop_assert!(matches!(answer.status, 400 | 413), "{:?}", answer);
            prop_assert!(queued.is_empty());
            prop_assert!(answer.json()["detail"].is_string());
        }
        Ok(())
    };
    TestRunner::new(config).run(&calls, property).unwrap();
}
