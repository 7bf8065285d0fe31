//! A webhook that listens on this machine, checks signatures, and answers what the test says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac::{HMAC_SHA256, Key, verify};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::scene::SECRET;

/// What came with one request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) body: Value,
    pub(crate) answered: u16,
}

#[derive(Debug, Default)]
struct Kept {
    received: Vec<Received>,
    bodies: BTreeMap<String, Bytes>,
    answers: VecDeque<(u16, Option<&'static str>)>,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    kept: Arc<Mutex<Kept>>,
    pub(crate) port: u16,
}

impl Receiver {
    /// One that gives these answers, with a header `Retry-After` or `Location`, and then takes all.
    pub(crate) async fn answering(answers: &[(u16, Option<&'static str>)]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept = Kept { answers: answers.iter().copied().collect(), ..Kept::default() };
        let receiver = Self { kept: Arc::new(Mutex::new(kept)), port };
        let app = Router::new().route("/hook", post(receive)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        receiver
    }

    pub(crate) async fn new() -> Self {
        Self::answering(&[]).await
    }

    pub(crate) fn destination(&self, batch: u32) -> Value {
        let url = format!("http://127.0.0.1:{}/hook", self.port);
        json!({"type": "webhook", "url": url, "secret": "HOOK", "batch": batch})
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.kept.lock().unwrap().received.clone()
    }

    /// What a receiver holds that applies each id once: rows by key, by the last of all deliveries.
    pub(crate) fn applied(&self) -> BTreeMap<String, String> {
        let mut held = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for received in self.received().into_iter().filter(|received| received.answered == 200) {
            if !seen.insert(received.id.clone()) {
                continue;
            }
            for row in received.body["rows"].as_array().unwrap() {
                let id = row.get("_key").unwrap_or(&row["id"]).as_str().unwrap().to_owned();
                match row.get("_change").and_then(Value::as_str) {
                    Some("delete") => assert!(held.remove(&id).is_some(), "{id} was not there"),
                    _ => drop(held.insert(id, row["city"].as_str().unwrap().to_owned())),
                }
            }
        }
        held
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let signature = STANDARD.decode(header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    let signed = [format!("{id}.{timestamp}.").as_bytes(), &body].concat();
    verify(&Key::new(HMAC_SHA256, SECRET.as_bytes()), &signed, &signature).unwrap();
    assert_eq!(header("idempotency-key"), id);
    let mut kept = receiver.kept.lock().unwrap();
    let first = kept.bodies.entry(id.clone()).or_insert_with(|| body.clone());
    assert_eq!(*first, body, "one id has one body");
    let (status, said) = kept.answers.pop_front().unwrap_or((200, None));
    kept.received.push(Received { id, body: serde_json::from_slice(&body).unwrap(), answered: status });
    let name = if (300..400).contains(&status) { "location" } else { "retry-after" };
    let answer = (StatusCode::from_u16(status).unwrap(), "no\nthanks").into_response();
    match said {
        Some(value) => ([(name, value)], answer).into_response(),
        None => answer,
    }
}
