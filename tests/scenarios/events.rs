//! A stream of events, two tables that read it, and what these must hold.
//!
//! What holds, whatever is killed and however often a request is sent again:
//! * `latest_event`, an upsert table: each id once, with its greatest version.
//! * `every_event`, an append table: every record of an acknowledged request, once for each time it was queued. A request that was
//!   acknowledged at the first try was queued once; one that had to be sent again was queued once to as many times as it
//!   may have reached the server.

use std::collections::BTreeMap;
use std::time::Duration;

use freshet_testkit::eventually;
use futures::{StreamExt as _, stream};
use rand::RngExt as _;
use rand::rngs::StdRng;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::client::{Client, body_of, unavailable};

pub(crate) const STREAM_ID: &str = "is-events000001";
pub(crate) const DATABASE: &str = "events";
/// Requests at the same time.
const PARALLEL: usize = 4;
/// How long a request is tried again, and how long the tables may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// Ids of markers begin here, those of events end before.
const FIRST_MARKER: u64 = 1_000_000;

/// The resources, with so many shards.
pub(crate) fn resources(shards: u32) -> String {
    format!(
        r#"
[streams.events]
id = "{STREAM_ID}"
shards = {shards}

[databases.{DATABASE}]

[tables.latest_event]
stream = "events"
databases = ["{DATABASE}"]
key = ["id"]
order_by = "version"
columns = [
  {{ name = "id", type = "integer" }},
  {{ name = "version", type = "integer", required = true }},
  {{ name = "value", type = "string" }},
]

[tables.every_event]
stream = "events"
databases = ["{DATABASE}"]
mode = "append"
columns = [
  {{ name = "id", type = "integer", required = true }},
  {{ name = "value", type = "string" }},
]
"#
    )
}

/// One record.
#[derive(Clone, Debug)]
struct Event {
    id: u64,
    version: u64,
    /// Of this record alone: it is known by it.
    value: String,
}

/// A request and what became of it.
#[derive(Clone, Debug)]
struct Request {
    id: String,
    events: Vec<Event>,
    /// How often it may have reached the server.
    tries: u64,
}

impl Request {
    fn body(&self) -> Value {
        let object = |event: &Event| json!({"id": event.id, "version": event.version, "value": event.value});
        Value::Array(self.events.iter().map(object).collect())
    }
}

/// Everything that is sent in a test, and where to.
pub(crate) struct Events {
    clients: Vec<Client>,
    to_send: Vec<Request>,
    acknowledged: Vec<Request>,
    markers: u64,
    sending: Sending,
}

/// A sending under way, to watch and to hold.
#[derive(Clone)]
pub(crate) struct Sending {
    begun: watch::Sender<usize>,
    refused: watch::Sender<usize>,
    allowed: watch::Sender<usize>,
}

impl Sending {
    /// Waits until so many requests have begun.
    pub(crate) async fn begun(&self, requests: usize) {
        self.begun.subscribe().wait_for(|begun| *begun >= requests).await.unwrap();
    }

    /// Waits until a request was refused with a 503.
    pub(crate) async fn refused(&self) {
        self.refused.subscribe().wait_for(|refused| *refused > 0).await.unwrap();
    }

    /// How many requests were refused with a 503.
    pub(crate) fn refusals(&self) -> usize {
        *self.refused.borrow()
    }

    /// Lets no more than so many requests begin until more are allowed.
    pub(crate) fn allow(&self, requests: usize) {
        self.allowed.send_replace(requests);
    }

    /// Lets so many more requests begin.
    pub(crate) fn allow_more(&self, requests: usize) {
        self.allowed.send_modify(|allowed| *allowed += requests);
    }
}

impl Events {
    /// So many requests of so many records each, in which ids come again and again, in no order of their versions. They are
    /// sent to these servers in turn.
    pub(crate) fn new(clients: Vec<Client>, random: &mut StdRng, requests: usize, records: usize) -> Self {
        let ids = u64::try_from(requests * records / 3 + 1).unwrap();
        let mut event = || Event {
            id: random.random_range(0..ids),
            version: random.random_range(0..1 << 40),
            value: format!("{:016x}", random.random::<u64>()),
        };
        let mut to_send = Vec::new();
        for number in 0..requests {
            let events = (0..records).map(|_| event()).collect();
            to_send.push(Request { id: format!("request-{number}"), events, tries: 0 });
        }
        let sending = Sending {
            begun: watch::Sender::new(0),
            refused: watch::Sender::new(0),
            allowed: watch::Sender::new(usize::MAX),
        };
        Self { clients, to_send, acknowledged: Vec::new(), markers: 0, sending }
    }

    /// To watch and to hold the sending.
    pub(crate) fn sending(&self) -> Sending {
        self.sending.clone()
    }

    /// Sends everything, several requests at the same time, each again and again until it is acknowledged.
    pub(crate) async fn send(&mut self) {
        let requests = std::mem::take(&mut self.to_send);
        let requests = stream::iter(requests.into_iter().enumerate());
        let sent = requests.map(async |(number, request)| {
            self.sending.allowed.subscribe().wait_for(|allowed| number < *allowed).await.unwrap();
            self.sending.begun.send_modify(|begun| *begun += 1);
            self.deliver(request).await
        });
        let sent: Vec<Request> = sent.buffer_unordered(PARALLEL).collect().await;
        self.acknowledged.extend(sent);
    }

    async fn deliver(&self, mut request: Request) -> Request {
        let body = request.body();
        let mut turn = self.clients.len();
        let result = eventually(PATIENCE, async || {
            let client = &self.clients[turn % self.clients.len()];
            turn += 1;
            let answer = client.post(STREAM_ID, &request.id, &body).await;
            // A connection that was never made carried nothing.
            if !answer.as_ref().is_err_and(reqwest::Error::is_connect) {
                request.tries += 1;
            }
            match answer {
                Ok(answer) => self.is_acknowledged(answer, &request).await,
                Err(_) => false,
            }
        });
        result.await.unwrap_or_else(|_| panic!("{} is not acknowledged", request.id));
        request
    }

    /// How many requests had to be sent again, and may have been queued before.
    pub(crate) fn sent_again(&self) -> usize {
        self.acknowledged.iter().filter(|request| request.tries > 1).count()
    }

    /// Waits until the tables have everything that is in the queue, and compares them with what was sent.
    pub(crate) async fn check(&mut self) {
        self.settle().await;
        let client = &self.clients[0];
        let failed = client.sql(
            DATABASE,
            "SELECT (SELECT count(*) FROM latest_event_failed) + (SELECT count(*) FROM every_event_failed)",
        );
        assert_eq!(failed.await, [[json!(0)]]);
        self.check_every_event(client).await;
        self.check_latest_event(client).await;
    }

    /// Sends a marker to each shard, one after the other (there are never more than four), and waits until both tables have them:
    /// everything that was queued before is then in the tables, too.
    async fn settle(&mut self) {
        for _ in 0..4 {
            let id = FIRST_MARKER + self.markers;
            self.markers += 1;
            let events = vec![Event { id, version: 0, value: "marker".to_owned() }];
            let marker = self.deliver(Request { id: format!("marker-{id}"), events, tries: 0 }).await;
            self.acknowledged.push(marker);
        }
        let sql = "SELECT (SELECT count(DISTINCT id) FROM latest_event WHERE value = 'marker') AS latest, \
                   (SELECT count(DISTINCT id) FROM every_event WHERE value = 'marker') AS every";
        let mut last = None;
        let settled = eventually(PATIENCE, async || {
            last = Some(self.clients[0].try_sql(DATABASE, sql).await);
            matches!(&last, Some(Ok(rows)) if *rows == [[json!(self.markers), json!(self.markers)]])
        });
        settled.await.unwrap_or_else(|_| panic!("the tables don't get all {} markers: {last:?}", self.markers));
    }

    async fn check_every_event(&self, client: &Client) {
        let sql = "SELECT request_id, id, value, count(*) FROM every_event GROUP BY request_id, id, value";
        let mut found: BTreeMap<(String, u64, String), u64> = BTreeMap::new();
        for row in client.sql(DATABASE, sql).await {
            let (request_id, value) = (row[0].as_str().unwrap().to_owned(), row[2].as_str().unwrap().to_owned());
            found.insert((request_id, row[1].as_u64().unwrap(), value), row[3].as_u64().unwrap());
        }
        let mut wrong = Vec::new();
        for request in &self.acknowledged {
            for event in &request.events {
                let times = found.remove(&(request.id.clone(), event.id, event.value.clone())).unwrap_or(0);
                if !(1..=request.tries).contains(&times) {
                    let tries = request.tries;
                    wrong.push(format!("{} of {} tries has record {event:?} {times} times", request.id, tries));
                }
            }
        }
        wrong.extend(found.keys().map(|record| format!("{record:?} was never acknowledged")));
        assert!(
            wrong.is_empty(),
            "{} differences in every_event:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(20)].join("\n")
        );
    }

    async fn check_latest_event(&self, client: &Client) {
        let mut expected: BTreeMap<u64, &Event> = BTreeMap::new();
        for event in self.acknowledged.iter().flat_map(|request| &request.events) {
            let winner = expected.entry(event.id).or_insert(event);
            if event.version > winner.version {
                *winner = event;
            }
        }
        let expected: Vec<Vec<Value>> =
            expected.values().map(|event| vec![json!(event.id), json!(event.version), json!(event.value)]).collect();
        let found = client.sql(DATABASE, "SELECT id, version, value FROM latest_event ORDER BY id").await;
        let pairs = expected.iter().zip(&found);
        let difference = pairs.clone().find(|(expected, found)| expected != found);
        assert!(difference.is_none(), "latest_event, expected and found: {difference:?}");
        assert_eq!(found.len(), expected.len(), "rows of latest_event");
    }

    /// Whether the whole request is acknowledged. Nothing else may come but a 503 that asks to come again.
    async fn is_acknowledged(&self, answer: Response, request: &Request) -> bool {
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            unavailable(answer).await;
            self.sending.refused.send_modify(|refused| *refused += 1);
            return false;
        }
        let accepted = body_of(answer, StatusCode::ACCEPTED).await;
        assert_eq!(accepted["request_id"], request.id.as_str());
        assert_eq!(accepted["records"], request.events.len());
        true
    }
}
