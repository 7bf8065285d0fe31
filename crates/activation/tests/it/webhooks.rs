//! Deliveries to webhooks: batches, answers, and where none is sent.

use std::net::IpAddr;

use freshet_activation::ActivationError;
use rstest::rstest;
use serde_json::json;

use crate::receiver::Receiver;
use crate::scene::{SECRET, Scene, delivery, resolves_to};

const PEOPLE: [(&str, &str); 5] = [("1", "Oslo"), ("2", "Bergen"), ("3", "Bodø"), ("4", "Alta"), ("5", "Narvik")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_comes_in_signed_batches() {
    let (scene, receiver) = (Scene::new().await, Receiver::new().await);
    scene.people(&PEOPLE);
    scene.activation("all", receiver.destination(2)).await;
    let counts = scene.deliver(1).await.unwrap();
    assert_eq!((counts["rows"], counts["batches"]), (5, 3));
    let bodies = receiver.received();
    let ids: Vec<&str> = bodies.iter().map(|body| body.id.as_str()).collect();
    assert_eq!(ids, [0, 1, 2].map(|number| format!("{}-{number}", delivery(1))));
    let last = json!({
        "activation": "out", "delivery": delivery(1), "batch": 2, "send": "all",
        "rows": [{"id": "5", "city": "Narvik"}], "batches": 3,
    });
    assert_eq!(bodies[2].body, last);
    // Under the same id nothing is sent again; under another all of it is, also where that is nothing.
    assert_eq!(scene.deliver(1).await.unwrap(), counts);
    assert_eq!(receiver.received().len(), 3);
    scene.people(&[]);
    assert_eq!(scene.deliver(2).await.unwrap()["batches"], 1);
    assert_eq!(receiver.received()[3].body["rows"], json!([]));
    assert_eq!(scene.staged(), 0);
}

#[rstest]
#[case::server_error(500, None)]
#[case::overloaded(429, Some("0"))]
#[case::slow(408, None)]
#[case::for_long(503, Some("86400"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_pass_is_tried_again(#[case] status: u16, #[case] retry_after: Option<&'static str>) {
    let scene = Scene::new().await;
    let receiver = Receiver::answering(&[(status, retry_after), (status, retry_after)]).await;
    scene.people(&PEOPLE);
    scene.activation("all", receiver.destination(100)).await;
    scene.deliver(1).await.unwrap();
    let received = receiver.received();
    assert_eq!(received.iter().map(|received| received.answered).collect::<Vec<_>>(), [status, status, 200]);
    assert!(received.iter().all(|each| each.id == received[0].id));
}

#[rstest]
#[case::wrong(400, None)]
#[case::gone(410, None)]
#[case::redirect(302, Some("http://127.0.0.1:1/elsewhere"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_not_tried_again(#[case] status: u16, #[case] location: Option<&'static str>) {
    let scene = Scene::new().await;
    let receiver = Receiver::answering(&[(status, location)]).await;
    scene.people(&PEOPLE);
    scene.activation("all", receiver.destination(100)).await;
    let refused = scene.deliver(1).await.unwrap_err();
    let said = format!("127.0.0.1 answered {status} to batch 0, which is not tried again: no thanks");
    assert_eq!((refused.is_temporary(), refused.to_string()), (false, said));
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_ends_the_run_and_changes_go_on_where_they_were() {
    let scene = Scene::new().await;
    let down = [(503, None); 8];
    let receiver = Receiver::answering(&[&[(200, None)], &down[..]].concat()).await;
    scene.people(&PEOPLE);
    scene.activation("changes", receiver.destination(2)).await;
    let failed = scene.deliver(1).await.unwrap_err();
    assert!(failed.is_temporary() && failed.to_string().contains("in 8 attempts"), "{failed}");
    // What was sent before is not there any more, and what was not is different: the receiver is told of both.
    scene.people(&[("3", "Vardø"), ("4", "Alta"), ("5", "Narvik")]);
    scene.deliver(2).await.unwrap();
    let held = receiver.applied();
    let expected = [("3", "Vardø"), ("4", "Alta"), ("5", "Narvik")];
    assert_eq!(held, expected.map(|(id, city)| (id.to_owned(), city.to_owned())).into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_receiver_gets_everything() {
    let (scene, first, second) = (Scene::new().await, Receiver::new().await, Receiver::new().await);
    scene.people(&PEOPLE);
    scene.activation("changes", first.destination(2)).await;
    scene.deliver(1).await.unwrap();
    scene.activation("changes", second.destination(2)).await;
    scene.deliver(2).await.unwrap();
    assert_eq!((first.applied().len(), second.applied()), (5, first.applied()));
}

#[rstest]
#[case::literal("https://10.0.0.1/x", vec![])]
#[case::literal_v6("https://[::ffff:127.0.0.1]/x", vec![])]
#[case::other_spelling("https://0x7f000001/x", vec![])]
#[case::metadata("https://169.254.169.254/latest", vec![])]
#[case::name("https://hooks.example.com/x", vec!["127.0.0.1"])]
#[case::name_v6("https://hooks.example.com/x", vec!["64:ff9b::7f00:1"])]
#[case::several("https://hooks.example.com/x", vec!["10.1.2.3", "fd00::1"])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_not_public_is_refused(#[case] url: &str, #[case] addresses: Vec<&str>) {
    let mut scene = Scene::new().await;
    scene.networks = Vec::new();
    let addresses: Vec<IpAddr> = addresses.into_iter().map(|address| address.parse().unwrap()).collect();
    scene.resolve = resolves_to(vec![addresses]);
    scene.people(&PEOPLE);
    scene.activation("all", json!({"type": "webhook", "url": url, "secret": "HOOK"})).await;
    let refused = scene.deliver(1).await.unwrap_err();
    assert!(matches!(refused, ActivationError::Address { .. }) && !refused.is_temporary(), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_changes_its_mind_leads_nowhere_else() {
    let (mut scene, receiver) = (Scene::new().await, Receiver::new().await);
    // The name is allowed at the first look, and leads to this machine at the second: nothing looks a second time.
    scene.networks = vec!["127.0.0.2"];
    scene.resolve = resolves_to(vec![vec!["127.0.0.2".parse().unwrap()], vec!["127.0.0.1".parse().unwrap()]]);
    scene.limits.attempts = 2;
    scene.people(&PEOPLE);
    let url = format!("http://localhost:{}/hook", receiver.port);
    scene.activation("all", json!({"type": "webhook", "url": url, "secret": "HOOK"})).await;
    let refused = scene.deliver(1).await.unwrap_err();
    assert!(matches!(refused, ActivationError::Address { .. }), "{refused}");
    assert!(receiver.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_named_and_shown_nowhere() {
    let (scene, receiver) = (Scene::new().await, Receiver::answering(&[(400, None)]).await);
    scene.people(&PEOPLE);
    let mut destination = receiver.destination(2);
    scene.activation("all", destination.clone()).await;
    let refused = scene.deliver(1).await.unwrap_err();
    assert!(!format!("{refused:?} {refused}").contains(SECRET));
    destination["secret"] = json!("OTHER");
    scene.activation("all", destination).await;
    let missing = scene.deliver(2).await.unwrap_err();
    assert!(missing.to_string().starts_with("there is no secret OTHER for this tenant"), "{missing}");
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_has_a_most_of_bytes() {
    let (mut scene, receiver) = (Scene::new().await, Receiver::new().await);
    scene.limits.batch_bytes = 260;
    let long = "x".repeat(40);
    scene.people(&[("1", &long), ("2", &long), ("3", &long)]);
    scene.activation("all", receiver.destination(100)).await;
    assert_eq!(scene.deliver(1).await.unwrap()["batches"], 3);
    assert_eq!(receiver.applied().len(), 3);
    scene.people(&[("1", &"x".repeat(400))]);
    let refused = scene.deliver(2).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "a row of the result is larger than 260 bytes, which a batch holds at most: select fewer columns"
    );
}
