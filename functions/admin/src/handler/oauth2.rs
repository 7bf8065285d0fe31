//! `POST /api/v0/oauth2/token`: tokens for client id and secret (RFC 6749, client credentials). Its refusals have the
//! form that the RFC asks for, not a problem's.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, PRAGMA, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use freshet_access::AccessError;
use freshet_http::{Problem, media_type, read_body};
use freshet_model::Scope;
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use url::form_urlencoded;

use crate::{AdminContext, error};

/// How long a token is valid that was issued for client id and secret.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);
/// Most bytes of a form: an id, a secret and a few words.
const MAX_FORM_BYTES: usize = 16_384;

/// A token, this once
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Grant {
    /// The token, a JWT.
    access_token: String,
    /// For how many seconds it is valid.
    #[schema(example = 3600)]
    expires_in: i64,
    /// How it is sent: `Authorization: Bearer <token>`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
}

/// A refusal as RFC 6749 has it
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct OAuthError {
    /// `invalid_request`, `invalid_client`, `unsupported_grant_type` or `invalid_scope`.
    error: &'static str,
    /// What was wrong and what would be right.
    error_description: String,
}

/// Why no token is given.
enum Refusal {
    Request(String),
    /// And whether the client used Basic authentication, which the answer then asks for.
    Client {
        used_basic: bool,
    },
    GrantType,
    Scope(String),
    Failure(Problem),
}

/// Issues a token for client id and secret
///
/// The client credentials grant of RFC 6749. The id and the secret stand in the form or in `Authorization: Basic`, not
/// in both.
#[utoipa::path(
    post,
    path = "/api/v0/oauth2/token",
    tag = "tokens",
    request_body(
        content = String,
        content_type = "application/x-www-form-urlencoded",
        description = "grant_type=client_credentials, client_id, client_secret, and optionally scope",
        example = "grant_type=client_credentials&client_id=ak-2hzqsgX1E4Ab&client_secret=fsk_…"
    ),
    responses(
        (status = 200, body = Grant),
        (status = 400, description = "the form is not right", body = OAuthError),
        (status = 401, description = "the client id or the client secret is not right", body = OAuthError),
        (status = 413, description = "the form is too large", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn token(State(context): State<Arc<AdminContext>>, headers: HeaderMap, body: Body) -> Response {
    match give(&context, &headers, body).await {
        Ok(token) => {
            let mut response = Json(token).into_response();
            response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
            response
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn give(context: &AdminContext, headers: &HeaderMap, body: Body) -> Result<Grant, Refusal> {
    let mut form = read_form(headers, body).await?;
    match form.remove("grant_type") {
        Some(grant_type) if grant_type.expose_secret() == "client_credentials" => {}
        Some(_) => return Err(Refusal::GrantType),
        None => return Err(Refusal::Request("grant_type is missing; send grant_type=client_credentials".to_owned())),
    }
    let (client_id, secret, used_basic) = credentials(headers, &mut form)?;
    let now = context.clock.now();
    let known = context.access.authenticate(&client_id, &secret, now).await.map_err(|refused| match refused {
        AccessError::WrongCredentials => Refusal::Client { used_basic },
        other => Refusal::Failure(error::of_access(other)),
    })?;
    let scopes = match form.remove("scope") {
        Some(asked) => asked_scopes(asked.expose_secret(), &known.key.definition.scopes)?,
        None => known.key.definition.scopes.clone(),
    };
    let expires_at =
        now.checked_add(LIFETIME).map_err(|overflow| Refusal::Failure(error::of_failure(&overflow, false)))?;
    let issued = context.access.issue(&known.tenant, &known.key, &scopes, expires_at, now);
    let token = issued.map_err(|failed| Refusal::Failure(error::of_access(failed)))?;
    tracing::info!(tenant = %known.tenant, id = %known.key.id, name = %known.key.name, "token issued to its client");
    Ok(Grant { access_token: token.expose_secret().to_owned(), expires_in: LIFETIME.as_secs(), token_type: "Bearer" })
}

/// The parameters of the form; each may hold a secret.
async fn read_form(headers: &HeaderMap, body: Body) -> Result<HashMap<String, SecretString>, Refusal> {
    let found = media_type(headers).map_err(Refusal::Failure)?;
    if found.as_deref() != Some("application/x-www-form-urlencoded") {
        return Err(Refusal::Request("the Content-Type must be application/x-www-form-urlencoded".to_owned()));
    }
    let bytes = read_body(body, MAX_FORM_BYTES).await.map_err(Refusal::Failure)?;
    let mut form = HashMap::new();
    for (name, value) in form_urlencoded::parse(&bytes) {
        // Without a value counts as absent (RFC 6749, 3.1).
        if value.is_empty() {
            continue;
        }
        if form.insert(name.to_string(), SecretString::from(value.into_owned())).is_some() {
            return Err(Refusal::Request("a parameter is there more than once; send each once".to_owned()));
        }
    }
    Ok(form)
}

/// The client's id and secret, and whether they came by Basic authentication.
fn credentials(
    headers: &HeaderMap,
    form: &mut HashMap<String, SecretString>,
) -> Result<(String, SecretString, bool), Refusal> {
    let missing = |what: &str| {
        Refusal::Request(format!(
            "{what} is missing; send client_id and client_secret in the form, or Authorization: Basic"
        ))
    };
    let in_form = (form.remove("client_id"), form.remove("client_secret"));
    match (basic(headers)?, in_form) {
        (Some((client_id, secret)), (in_form, None)) => {
            if in_form.is_some_and(|in_form| in_form.expose_secret() != client_id) {
                return Err(Refusal::Request("client_id is another than that of Authorization: Basic".to_owned()));
            }
            Ok((client_id, secret, true))
        }
        (Some(_), (_, Some(_))) => Err(Refusal::Request(
            "the client's secret stands in Authorization: Basic and in the form; send one of them".to_owned(),
        )),
        (None, (Some(client_id), Some(secret))) => Ok((client_id.expose_secret().to_owned(), secret, false)),
        (None, (None, _)) => Err(missing("client_id")),
        (None, (Some(_), None)) => Err(missing("client_secret")),
    }
}

fn basic(headers: &HeaderMap) -> Result<Option<(String, SecretString)>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let credentials = value.to_str().ok().filter(|_| values.next().is_none()).and_then(|text| {
        let (scheme, encoded) = text.split_once(' ')?;
        let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let (client_id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        Some((client_id.to_owned(), SecretString::from(secret)))
    });
    let malformed = || {
        Refusal::Request(
            "the header Authorization is not of the form: Basic base64(client_id:client_secret)".to_owned(),
        )
    };
    credentials.map(Some).ok_or_else(malformed)
}

/// The scopes asked for, all of which the key has.
fn asked_scopes(asked: &str, of_key: &[Scope]) -> Result<Vec<Scope>, Refusal> {
    let scopes = asked.split_ascii_whitespace().map(|text| {
        let scope: Scope = text.parse().map_err(Refusal::Scope)?;
        if of_key.contains(&scope) {
            Ok(scope)
        } else {
            Err(Refusal::Scope(format!("the API key lacks the scope {scope}")))
        }
    });
    scopes.collect()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error, error_description) = match self {
            Self::Failure(problem) => return problem.into_response(),
            Self::Request(description) => (StatusCode::BAD_REQUEST, "invalid_request", description),
            Self::Scope(description) => (StatusCode::BAD_REQUEST, "invalid_scope", description),
            Self::GrantType => {
                let description = "the grant type must be client_credentials".to_owned();
                (StatusCode::BAD_REQUEST, "unsupported_grant_type", description)
            }
            Self::Client { used_basic } => {
                let description = "the client id or the client secret is not right".to_owned();
                let body = Json(OAuthError { error: "invalid_client", error_description: description });
                let mut response = (StatusCode::UNAUTHORIZED, body).into_response();
                if used_basic {
                    let challenge = HeaderValue::from_static("Basic realm=\"freshet\"");
                    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                }
                return response;
            }
        };
        (status, Json(OAuthError { error, error_description })).into_response()
    }
}
