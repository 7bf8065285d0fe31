//! A client of the HTTP API, and no more than that.

use std::path::Path;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::deployment::TENANT;

/// Longer than the server takes to say that it can't.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// A client of one server with a token.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    pub(crate) token: String,
}

/// A query that was not answered with rows.
#[derive(Debug)]
#[expect(dead_code, reason = "shown when a test fails")]
pub(crate) struct NoRows(String);

impl Client {
    /// With a token of the admin key that `freshet up` has left in its data directory.
    pub(crate) async fn of_admin(url: &str, data: &Path) -> Self {
        let file = data.join(format!("admin-{TENANT}.json"));
        let credentials: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).build().unwrap();
        let member = |name: &str| credentials[name].as_str().unwrap().to_owned();
        let (id, secret) = (member("client_id"), member("client_secret"));
        let client = Self { http, url: url.to_owned(), token: String::new() };
        // Neither holds a character that a form would escape.
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        let answer = body_of(client.ask_for_token(form).await, StatusCode::OK).await;
        client.with_token(answer["access_token"].as_str().unwrap())
    }

    /// Asks for a token with a form of OAuth.
    pub(crate) async fn ask_for_token(&self, form: String) -> Response {
        let request = self.http.post(format!("{}/api/v0/oauth2/token", self.url));
        request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form).send().await.unwrap()
    }

    /// The same client of another server.
    pub(crate) fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// The same client with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// A request with token and tenant.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        request.bearer_auth(&self.token).header("X-Amperity-Tenant", TENANT)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// A call with a JSON body.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &Value) -> Response {
        self.request(method, path).json(body).send().await.unwrap()
    }

    /// Applies resources.
    pub(crate) async fn apply(&self, toml: &str) -> Value {
        let request = self.request(Method::POST, "/admin/v0/apply").header(CONTENT_TYPE, "application/toml");
        body_of(request.body(toml.to_owned()).send().await.unwrap(), StatusCode::OK).await
    }

    /// The id of a stream's endpoint.
    pub(crate) async fn stream_id(&self, name: &str) -> String {
        let stream = body_of(self.get(&format!("/admin/v0/streams/{name}")).await, StatusCode::OK).await;
        stream["definition"]["id"].as_str().unwrap().to_owned()
    }

    /// Posts records, one try. An error: no answer came.
    pub(crate) async fn post(&self, stream_id: &str, request_id: &str, records: &Value) -> reqwest::Result<Response> {
        let request = self.request(Method::POST, &format!("/stream/v0/data/{stream_id}"));
        request.header("X-Request-Id", request_id).json(records).send().await
    }

    /// The rows of a query.
    pub(crate) async fn sql(&self, database: &str, sql: &str) -> Vec<Vec<Value>> {
        self.try_sql(database, sql).await.unwrap()
    }

    /// The rows of a query, where the server has them.
    pub(crate) async fn try_sql(&self, database: &str, sql: &str) -> Result<Vec<Vec<Value>>, NoRows> {
        let body = json!({"database": database, "sql": sql, "limit": 100_000});
        let sent = self.request(Method::POST, "/query/v0/sql").json(&body).send().await;
        let answer = sent.map_err(|error| NoRows(format!("{error:?}")))?;
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        if status != StatusCode::OK {
            return Err(NoRows(format!("{status} to {sql:?}: {text}")));
        }
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["truncated"], false, "more rows than a test reads");
        Ok(serde_json::from_value(answer["rows"].clone()).unwrap())
    }

    /// The sum of a metric over all its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text().await.unwrap();
        let of_name = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' ')));
        of_name.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

/// The JSON of an answer that must have this status.
pub(crate) async fn body_of(answer: Response, status: StatusCode) -> Value {
    let (found, url) = (answer.status(), answer.url().clone());
    let text = answer.text().await.unwrap();
    assert_eq!(found, status, "{url}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{url} answers no JSON: {text}"))
}

/// A refusal's problem document, whole and of this status.
pub(crate) async fn problem_of(answer: Response, status: StatusCode) -> Value {
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
    let request_id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let problem = body_of(answer, status).await;
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(problem["request_id"], request_id.as_str());
    for member in ["type", "title", "detail"] {
        assert!(problem[member].is_string(), "{problem}");
    }
    problem
}

/// A 503 that says when to come again.
pub(crate) async fn unavailable(answer: Response) -> Value {
    let retry_after: Option<u64> = answer.headers().get("retry-after").and_then(|it| it.to_str().ok()?.parse().ok());
    let problem = problem_of(answer, StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(retry_after.is_some_and(|seconds| (1..=60).contains(&seconds)), "{retry_after:?}");
    problem
}
