//! Runs of databases and profile indexes.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use freshet_runs::{Counts, Outcome, Runs};
use jiff::SignedDuration;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Answer, Setup, now};

const RUNS: &str = "/admin/v0/databases/retail/runs";
const NOW: &str = "2026-06-14T00:00:00Z";

async fn setup() -> Setup {
    let setup = Setup::new().await.with_orders().await;
    let index =
        json!({"database": "retail", "query": "SELECT order_id FROM orders", "key": "order_id", "refresh": "manual"});
    let answer = setup.put("/admin/v0/indexes/buyers", &index).await;
    assert!(answer.status.is_success(), "{}", answer.body);
    setup
}

/// Its id, which is another in each test.
fn id_of(answer: &Answer) -> String {
    answer.body["id"].as_str().unwrap().to_owned()
}

async fn start(setup: &Setup, path: &str) -> Answer {
    setup.request(Method::POST, path).send().await
}

#[rstest]
#[case::database("databases", "retail")]
#[case::index("indexes", "buyers")]
#[tokio::test]
async fn a_run_is_queued_and_is_the_same_until_it_begins(#[case] kind: &str, #[case] name: &str) {
    let setup = setup().await;
    let path = format!("/admin/v0/{kind}/{name}/runs");
    let answer = start(&setup, &path).await;
    let id = id_of(&answer);
    let queued = json!({
        "id": id, "kind": kind, "name": name, "trigger": {"type": "manual", "by": "ops"}, "state": "queued",
        "created_at": NOW, "attempts": 0, "steps": [],
    });
    assert_eq!((answer.status, answer.header("location")), (StatusCode::ACCEPTED, format!("{path}/{id}").as_str()));
    assert_eq!(answer.body, queued);
    assert_eq!(start(&setup, &path).await.body, queued);
    assert_eq!(setup.get(&format!("{path}/{id}")).await.body, queued);
    assert_eq!(setup.get(&path).await.body, json!({"data": [queued]}));
    assert_eq!(setup.get("/admin/v0/runs").await.body, json!({"data": [queued]}));
}

#[tokio::test]
async fn how_a_run_went_is_shown_step_by_step() {
    let setup = setup().await;
    let id = id_of(&start(&setup, RUNS).await);
    let runs = Runs::new(Arc::clone(&setup.context.store));
    let claim = runs.claim("runner", SignedDuration::from_mins(1), now()).await.unwrap().unwrap();
    claim.begin_step("totals", now()).await.unwrap();
    claim.end_step("totals", Outcome::Succeeded(Counts::from([("rows".to_owned(), 7)])), now()).await.unwrap();
    claim.begin_step("best", now()).await.unwrap();
    claim.end_step("best", Outcome::Failed("unknown column \"spnt\"".to_owned()), now()).await.unwrap();
    claim.finish(Err(None), now()).await.unwrap();
    let expected = json!({
        "id": id, "kind": "databases", "name": "retail", "trigger": {"type": "manual", "by": "ops"}, "state": "failed",
        "created_at": NOW, "started_at": NOW, "ended_at": NOW, "attempts": 1,
        "steps": [
            {"name": "totals", "state": "succeeded", "counts": {"rows": 7}, "started_at": NOW, "ended_at": NOW},
            {"name": "best", "state": "failed", "counts": {}, "message": "unknown column \"spnt\"", "started_at": NOW, "ended_at": NOW},
        ],
    });
    assert_eq!(setup.get(&format!("{RUNS}/{id}")).await.body, expected);
    assert_ne!(id_of(&start(&setup, RUNS).await), id, "one that has ended is not run again");
}

#[tokio::test]
async fn runs_come_page_by_page_the_newest_first() {
    let setup = setup().await;
    let runs = Runs::new(Arc::clone(&setup.context.store));
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.insert(0, id_of(&start(&setup, RUNS).await));
        let claim = runs.claim("runner", SignedDuration::from_mins(1), now()).await.unwrap().unwrap();
        claim.finish(Ok(std::collections::BTreeMap::new()), now()).await.unwrap();
    }
    let shown = |answer: &Answer| -> Vec<Value> {
        answer.body["data"].as_array().unwrap().iter().map(|run| run["id"].clone()).collect()
    };
    let first = setup.get(&format!("{RUNS}?limit=2")).await;
    assert_eq!(shown(&first), ids[..2]);
    let next = first.body["next"].as_str().unwrap().to_owned();
    let second = setup.get(&format!("{RUNS}?limit=2&after={next}")).await;
    assert_eq!((shown(&second), second.body.get("next")), (vec![json!(ids[2])], None));
    assert_eq!(shown(&setup.get("/admin/v0/runs?limit=1").await), ids[..1]);
}

#[rstest]
#[case::database("databases/retial", "there is no database \"retial\"; did you mean \"retail\"?")]
#[case::index("indexes/buyer", "there is no profile index \"buyer\"; did you mean \"buyers\"?")]
#[case::kind("tables/orders", "there are no runs of \"tables\"; databases, indexes, activations are run")]
#[tokio::test]
async fn what_is_not_there_is_not_run(#[case] what: &str, #[case] detail: &str) {
    let setup = setup().await;
    for method in [Method::POST, Method::GET] {
        let answer = setup.request(method, &format!("/admin/v0/{what}/runs")).send().await;
        answer.assert_problem(404, "not-found", "there is no such thing", detail, Value::Null);
    }
}

#[rstest]
#[case("limit=0")]
#[case("limit=101")]
#[case("limit=many")]
#[case("after=me")]
#[case("page=2")]
#[tokio::test]
async fn a_page_that_is_none_is_refused(#[case] query: &str) {
    let setup = setup().await;
    let detail = "the query is not right; it may hold limit, a whole number from 1 to 100, and after, the next of the page before";
    let answer = setup.get(&format!("{RUNS}?{query}")).await;
    answer.assert_problem(400, "bad-request", "the request is not right", detail, Value::Null);
}

#[rstest]
#[case("no-run")]
#[case("01900000-0000-7000-8000-000000000000")]
#[tokio::test]
async fn an_unknown_run_is_not_found(#[case] id: &str) {
    let setup = setup().await;
    let answer = setup.get(&format!("{RUNS}/{id}")).await;
    let detail = "databases retail has no such run; the newest are kept";
    answer.assert_problem(404, "not-found", "there is no such thing", detail, Value::Null);
}

#[tokio::test]
async fn only_admins_run_and_see_runs() {
    let setup = setup().await;
    let token = setup.key("analyst", json!({"scopes": ["tables:query"]})).await;
    for (method, path) in [(Method::POST, RUNS), (Method::GET, RUNS), (Method::GET, "/admin/v0/runs")] {
        let anonymous = setup.anonymous(method.clone(), path).send().await;
        assert_eq!((anonymous.status, anonymous.header("www-authenticate")), (StatusCode::UNAUTHORIZED, "Bearer"));
        let call = setup.anonymous(method, path).header("authorization", &format!("Bearer {token}"));
        let answer = call.send().await;
        answer.assert_problem(
            403,
            "forbidden",
            "the token doesn't allow this",
            "the token lacks the scope admin",
            Value::Null,
        );
    }
}
