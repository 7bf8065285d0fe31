//! Tokens for client id and secret, as RFC 6749 has them.

use axum::http::{Method, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use freshet_model::Scope;
use rstest::rstest;
use serde_json::json;

use crate::support::{Answer, Setup, now};

const PATH: &str = "/api/v0/oauth2/token";
const FORM: &str = "application/x-www-form-urlencoded";

struct Client {
    setup: Setup,
    id: String,
    secret: String,
}

/// A key `shop` of two scopes.
async fn client() -> Client {
    let setup = Setup::new().await;
    let made =
        setup.post("/admin/v0/api-keys", &json!({"name": "shop", "scopes": ["streams:write", "tables:query"]})).await;
    let text = |field: &str| made.body[field].as_str().unwrap().to_owned();
    Client { id: text("client_id"), secret: text("client_secret"), setup }
}

impl Client {
    fn fill(&self, text: &str) -> String {
        text.replace("{id}", &self.id).replace("{secret}", &self.secret)
    }

    /// Sends a form in which `{id}` and `{secret}` stand for the client's own.
    async fn send(&self, form: &str) -> Answer {
        self.setup.anonymous(Method::POST, PATH).body(FORM, self.fill(form)).send().await
    }

    async fn send_basic(&self, credentials: &str, form: &str) -> Answer {
        let value = format!("Basic {}", STANDARD.encode(self.fill(credentials)));
        self.setup
            .anonymous(Method::POST, PATH)
            .header("authorization", &value)
            .body(FORM, self.fill(form))
            .send()
            .await
    }

    async fn scopes(&self, answer: &Answer) -> Vec<Scope> {
        let token = answer.body["access_token"].as_str().unwrap();
        assert_eq!(answer.body, json!({"access_token": token, "expires_in": 3600, "token_type": "Bearer"}));
        assert_eq!(
            (answer.status, answer.header("cache-control"), answer.header("pragma")),
            (StatusCode::OK, "no-store", "no-cache")
        );
        let access = &self.setup.context.access;
        let end = now() + jiff::SignedDuration::from_hours(1);
        assert!(access.verify(token, end - jiff::SignedDuration::from_secs(1)).await.is_ok());
        assert!(access.verify(token, end).await.is_err());
        access.verify(token, now()).await.unwrap().scopes
    }
}

#[tokio::test]
async fn a_client_gets_a_token_for_an_hour() {
    let client = client().await;
    let both = [Scope::StreamsWrite, Scope::TablesQuery];
    let answer = client.send("grant_type=client_credentials&client_id={id}&client_secret={secret}").await;
    assert_eq!(client.scopes(&answer).await, both);
    let answer = client.send_basic("{id}:{secret}", "grant_type=client_credentials").await;
    assert_eq!(client.scopes(&answer).await, both);
    let answer = client.send_basic("{id}:{secret}", "grant_type=client_credentials&client_id={id}").await;
    assert_eq!(client.scopes(&answer).await, both);
    let narrow = "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=tables%3Aquery";
    assert_eq!(client.scopes(&client.send(narrow).await).await, [Scope::TablesQuery]);
    let empty = "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=&resource=x";
    assert_eq!(client.scopes(&client.send(empty).await).await, both);
}

#[rstest]
#[case("", 400, "invalid_request", "grant_type is missing; send grant_type=client_credentials")]
#[case("grant_type=", 400, "invalid_request", "grant_type is missing; send grant_type=client_credentials")]
#[case(
    "grant_type=password&client_id={id}&client_secret={secret}",
    400,
    "unsupported_grant_type",
    "the grant type must be client_credentials"
)]
#[case(
    "grant_type=client_credentials",
    400,
    "invalid_request",
    "client_id is missing; send client_id and client_secret in the form, or Authorization: Basic"
)]
#[case(
    "grant_type=client_credentials&client_id={id}",
    400,
    "invalid_request",
    "client_secret is missing; send client_id and client_secret in the form, or Authorization: Basic"
)]
#[case(
    "grant_type=client_credentials&client_id={id}&client_secret={secret}&client_secret=x",
    400,
    "invalid_request",
    "a parameter is there more than once; send each once"
)]
#[case(
    "grant_type=client_credentials&client_id={id}&client_secret=x",
    401,
    "invalid_client",
    "the client id or the client secret is not right"
)]
#[case(
    "grant_type=client_credentials&client_id=ak-000000000000&client_secret={secret}",
    401,
    "invalid_client",
    "the client id or the client secret is not right"
)]
#[case(
    "grant_type=client_credentials&client_id=shop&client_secret={secret}",
    401,
    "invalid_client",
    "the client id or the client secret is not right"
)]
#[case(
    "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=admin",
    400,
    "invalid_scope",
    "the API key lacks the scope admin"
)]
#[case(
    "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=tables:quary",
    400,
    "invalid_scope",
    "unknown scope \"tables:quary\"; the scopes are streams:write, tables:query, profiles:read, tokens:issue, admin; did you mean \"tables:query\"?"
)]
#[tokio::test]
async fn refusals_have_the_form_of_the_rfc(
    #[case] form: &str,
    #[case] status: u16,
    #[case] error: &str,
    #[case] description: &str,
) {
    let answer = client().await.send(form).await;
    assert_eq!(answer.body, json!({"error": error, "error_description": description}));
    assert_eq!(
        (answer.status.as_u16(), answer.header("cache-control"), answer.header("content-type")),
        (status, "no-store", "application/json")
    );
    assert_eq!(answer.header("www-authenticate"), "");
}

#[rstest]
#[case(
    "{id}:x",
    "grant_type=client_credentials",
    401,
    "invalid_client",
    "the client id or the client secret is not right"
)]
#[case(
    "{id}{secret}",
    "grant_type=client_credentials",
    400,
    "invalid_request",
    "the header Authorization is not of the form: Basic base64(client_id:client_secret)"
)]
#[case(
    "{id}:{secret}",
    "grant_type=client_credentials&client_secret={secret}",
    400,
    "invalid_request",
    "the client's secret stands in Authorization: Basic and in the form; send one of them"
)]
#[case(
    "{id}:{secret}",
    "grant_type=client_credentials&client_id=ak-000000000000",
    400,
    "invalid_request",
    "client_id is another than that of Authorization: Basic"
)]
#[tokio::test]
async fn refusals_of_basic_authentication(
    #[case] credentials: &str,
    #[case] form: &str,
    #[case] status: u16,
    #[case] error: &str,
    #[case] description: &str,
) {
    let answer = client().await.send_basic(credentials, form).await;
    assert_eq!(answer.body, json!({"error": error, "error_description": description}));
    let challenge = if status == 401 { "Basic realm=\"freshet\"" } else { "" };
    assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (status, challenge));
}

#[tokio::test]
async fn other_bodies_are_refused() {
    let client = client().await;
    let answer =
        client.setup.anonymous(Method::POST, PATH).json(&json!({"grant_type": "client_credentials"})).send().await;
    let description = "the Content-Type must be application/x-www-form-urlencoded";
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.body, json!({"error": "invalid_request", "error_description": description}));
    let answer = client.send(&"x".repeat(16_385)).await;
    let detail = "the body has more than 16,384 bytes, the most that a request may have";
    answer.assert_problem(413, "too-large", "a limit is exceeded", detail, serde_json::Value::Null);
}
