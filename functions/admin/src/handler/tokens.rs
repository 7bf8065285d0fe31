//! Tokens for API keys, issued to the bearer of another token.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use freshet_access::AccessError;
use freshet_http::{Problem, TenantHeader, authenticate, check_tenant};
use freshet_model::{Problems, Scope, read_object};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;

use super::json_body;
use crate::{AdminContext, error};

/// A token, this once
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct TokenView {
    /// The token, a JWT. It is not shown again.
    token: String,
    /// When it expires.
    #[serde(rename = "expires-at")]
    #[schema(value_type = String, format = DateTime, example = "2026-06-14T00:24:16Z")]
    expires_at: Timestamp,
}

/// Issues a token of an API key
///
/// To a bearer with `tokens:issue` for any key of the tenant, with all the key's scopes; for a key that has `admin` or
/// `tokens:issue` itself, or streams or databases beyond those of the bearer's key, to a bearer with `admin` too. To any
/// bearer for its own key, with the scopes of the token that it sent; without `tokens:issue` for at most as long as that
/// token was issued for, and not beyond 366 days after the first of the tokens so refreshed. `expires-at` in the answer
/// says until when.
#[utoipa::path(
    post,
    path = "/api/v0/admin/api-keys/{key-id}/tokens",
    tag = "tokens",
    params(("key-id" = String, Path, description = "the key's id, or its name", example = "ak-2hzqsgX1E4Ab")),
    request_body(content = Object, content_type = "application/json", example = json!({"expires-at": "2026-06-14T00:24:16Z"})),
    responses(
        (status = 201, body = TokenView),
        (status = 400, description = "the time is unreadable, past, or more than 366 days ahead", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "another's key, and the token lacks the scope tokens:issue, or the key may do what the bearer may not give", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "there is no such key", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "the body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn issue(
    State(context): State<Arc<AdminContext>>,
    Path(key_id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<TokenView>), Problem> {
    let now = context.clock.now();
    let principal = authenticate(&headers, &context.access, now).await?;
    // Before the key is looked up: whoever may not issue learns nothing of the tenant's keys.
    let refreshes_itself = key_id == principal.key_id.as_str() || key_id == principal.key_name.as_str();
    if !principal.has(Scope::TokensIssue) && !refreshes_itself {
        return Err(Problem::forbidden("the token lacks the scope tokens:issue, and the API key is not its own"));
    }
    check_tenant(&headers, &principal, TenantHeader::Optional)?;
    let expires_at = read_expiry(&json_body(&headers, body).await?).map_err(error::of_problems)?;
    let key = context.access.key(&principal.tenant, &key_id).await.map_err(error::of_access)?;
    let issued = context.access.issue_to(&principal, &key, expires_at, now).map_err(|refused| match refused {
        AccessError::Expiry { reason } => error::of_problems(Problems::one("expires-at", reason)),
        AccessError::MayNotIssue { reason } => Problem::forbidden(reason),
        other => error::of_access(other),
    })?;
    tracing::info!(id = %key.id, name = %key.name, expires_at = %issued.expires_at, by = %principal.key_name, "token issued");
    let token = issued.token.expose_secret().to_owned();
    Ok((StatusCode::CREATED, Json(TokenView { token, expires_at: issued.expires_at })))
}

fn read_expiry(document: &Value) -> Result<Timestamp, Problems> {
    let mut problems = Problems::default();
    let expires_at = read_object("", document, &mut problems).and_then(|mut fields| {
        let text: Option<String> = fields.required("expires-at", "2026-06-14T00:24:16Z");
        let parsed = text.and_then(|text| {
            let parsed: Result<Timestamp, _> = text.parse();
            if parsed.is_err() {
                fields.problem("expires-at", "is not a time; write it as 2026-06-14T00:24:16Z");
            }
            parsed.ok()
        });
        fields.finish();
        parsed
    });
    expires_at.ok_or_else(|| problems.clone()).and_then(|expires_at| problems.or(expires_at))
}
