//! Deliveries to files.

use std::io::Read as _;

use rstest::rstest;
use serde_json::{Value, json};

use crate::scene::{Scene, delivery};

fn manifest(scene: &Scene, path: &str) -> Value {
    serde_json::from_slice(&scene.delivered(path).unwrap()).unwrap()
}

#[rstest]
#[case::csv("csv", None, "id,city\r\n1,Oslo\r\n2,Bergen\r\n")]
#[case::ndjson("ndjson", None, "{\"id\":\"1\",\"city\":\"Oslo\"}\n{\"id\":\"2\",\"city\":\"Bergen\"}\n")]
#[case::gzip("csv", Some("gzip"), "id,city\r\n1,Oslo\r\n2,Bergen\r\n")]
#[case::parquet("parquet", None, "")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_is_written_with_its_manifest(
    #[case] format: &str,
    #[case] compression: Option<&str>,
    #[case] text: &str,
) {
    let scene = Scene::new().await;
    scene.people(&[("1", "Oslo"), ("2", "Bergen")]);
    let destination = json!({"type": "files", "location": "out", "format": format, "compression": compression});
    scene.activation("all", destination).await;
    let counts = scene.deliver(1).await.unwrap();
    assert_eq!((counts["rows"], counts["files"]), (2, 1));
    let said = manifest(&scene, "latest.json");
    assert_eq!(said, manifest(&scene, &format!("{}/manifest.json", delivery(1))));
    assert_eq!((&said["activation"], &said["rows"], &said["format"]), (&json!("out"), &json!(2), &json!(format)));
    let name = said["files"][0]["name"].as_str().unwrap();
    let bytes = scene.delivered(&format!("{}/{name}", delivery(1))).unwrap();
    assert_eq!(said["files"][0]["bytes"], json!(bytes.len()));
    if format == "parquet" {
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    } else if compression.is_some() {
        // The test made it: it is no bomb.
        #[expect(clippy::disallowed_types, reason = "a test reads what it wrote")]
        let mut gzip = flate2::read::GzDecoder::new(bytes.as_slice());
        let mut unpacked = String::new();
        gzip.read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, text);
    } else {
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
    }
    assert_eq!(scene.staged(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_those_since_the_last_delivery() {
    let scene = Scene::new().await;
    scene.people(&[("1", "Oslo"), ("2", "Bergen"), ("3", "Bodø")]);
    scene.activation("changes", json!({"type": "files", "location": "out", "format": "csv"})).await;
    scene.deliver(1).await.unwrap();
    scene.people(&[("3", "Bodø"), ("2", "Tromsø"), ("4", "Narvik"), ("4", "Alta"), ("", "nowhere")]);
    scene.query("SELECT nullif(id, '') AS id, city FROM people").await;
    let counts = scene.deliver(2).await.unwrap();
    let expected = [
        ("bytes", counts["bytes"]),
        ("deletes", 1),
        ("duplicate_keys", 1),
        ("files", 1),
        ("null_keys", 1),
        ("rows", 5),
        ("unchanged", 1),
        ("upserts", 2),
    ];
    assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)).into());
    let said = manifest(&scene, "latest.json");
    let path = format!("{}/{}", delivery(2), said["files"][0]["name"].as_str().unwrap());
    let text = String::from_utf8(scene.delivered(&path).unwrap()).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1..].sort_unstable();
    assert_eq!(lines[..3], ["_change,_key,id,city", "delete,1,,", "upsert,2,2,Tromsø"]);
    assert!(lines[3].starts_with("upsert,4,4,") && lines.len() == 4, "{lines:?}");
    let counts = scene.deliver(3).await.unwrap();
    assert_eq!((counts["upserts"], counts["deletes"], counts["files"]), (0, 0, 0));
    assert_eq!(manifest(&scene, "latest.json")["rows"], json!(0));
    assert_eq!(scene.staged(), 1, "the hashes alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_location_that_is_not_allowed_is_refused() {
    let scene = Scene::new().await;
    scene.activation("all", json!({"type": "files", "location": "file:///tmp/out", "format": "csv"})).await;
    let refused = scene.deliver(1).await.unwrap_err();
    assert!(!refused.is_temporary() && refused.to_string().contains("FRESHET_ACTIVATION_LOCATIONS"), "{refused}");
}
