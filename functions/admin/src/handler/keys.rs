//! API keys and their secrets.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use freshet_access::{AccessError, KeySecrets, NewSecret};
use freshet_catalog::CatalogError;
use freshet_http::Problem;
use freshet_model::{ApiKeyDefinition, ApiKeyId, Problems, ResourceKind, ResourceName};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;

use super::{admin, json_body, preconditions, resources};
use crate::{AdminContext, error};

/// An API key, without its secret
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct KeyView {
    #[schema(value_type = String, example = "api-keys")]
    kind: ResourceKind,
    /// Its name.
    #[schema(value_type = String, example = "web-shop")]
    name: ResourceName,
    /// Its id, also in the path of the calls about it.
    #[schema(value_type = String, example = "ak-2hzqsgX1E4Ab")]
    client_id: ApiKeyId,
    /// Its scopes, and the streams, databases and indexes that it may touch.
    #[schema(value_type = Object)]
    definition: ApiKeyDefinition,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When its secret was made; absent: it has none, `rotate` makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    secret_created_at: Option<Timestamp>,
    /// Until when the secret before that is valid too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    previous_valid_until: Option<Timestamp>,
}

impl From<KeySecrets> for KeyView {
    fn from(KeySecrets { key, secret_created_at, previous_valid_until }: KeySecrets) -> Self {
        Self {
            kind: ResourceKind::ApiKeys,
            name: key.name,
            client_id: key.id,
            definition: key.definition,
            created_at: key.created_at,
            secret_created_at,
            previous_valid_until,
        }
    }
}

/// API keys, by name
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct KeyList {
    data: Vec<KeyView>,
}

/// A secret, this once
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SecretView {
    /// The key's id.
    #[schema(value_type = String, example = "ak-2hzqsgX1E4Ab")]
    client_id: ApiKeyId,
    /// The secret. It is not shown again.
    client_secret: String,
    /// The key's name.
    #[schema(value_type = String, example = "web-shop")]
    name: ResourceName,
    /// Until when the secret before this one is valid too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    previous_valid_until: Option<Timestamp>,
}

impl From<NewSecret> for SecretView {
    fn from(NewSecret { key, secret, previous_valid_until }: NewSecret) -> Self {
        Self {
            client_id: key.id,
            client_secret: secret.expose_secret().to_owned(),
            name: key.name,
            previous_valid_until,
        }
    }
}

/// Lists the API keys
#[utoipa::path(
    get,
    path = "/admin/v0/api-keys",
    tag = "api keys",
    responses(
        (status = 200, body = KeyList),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    State(context): State<Arc<AdminContext>>,
    headers: HeaderMap,
) -> Result<Json<KeyList>, Problem> {
    let principal = admin(&context, &headers).await?;
    let keys = context.access.list(&principal.tenant).await.map_err(error::of_access)?;
    Ok(Json(KeyList { data: keys.into_iter().map(KeyView::from).collect() }))
}

/// Makes an API key with its secret
///
/// The body is its name and what stands under `[api-keys.name]` in a resource file. The secret is shown this once.
#[utoipa::path(
    post,
    path = "/admin/v0/api-keys",
    tag = "api keys",
    request_body(content = Object, content_type = "application/json", example = json!({"name": "web-shop", "scopes": ["streams:write"], "streams": ["orders"]})),
    responses(
        (status = 201, body = SecretView),
        (status = 400, description = "refused, with everything that is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "a key of that name is there", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "the body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create(
    State(context): State<Arc<AdminContext>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<SecretView>), Problem> {
    let principal = admin(&context, &headers).await?;
    let (name, definition) = named_key(json_body(&headers, body).await?).map_err(error::of_problems)?;
    let made = context.access.create_key(&principal.tenant, name.as_str(), definition, context.clock.now()).await;
    let made = made.map_err(|refused| match refused {
        // The caller named no precondition; to it the key is in the way.
        AccessError::Catalog(CatalogError::PreconditionFailed { .. }) => {
            Problem::conflict(format!("there is an API key {:?} already; rotate makes it a new secret", name.as_str()))
        }
        other => error::of_access(other),
    })?;
    tracing::info!(%name, id = %made.key.id, by = %principal.key_name, "API key made");
    Ok((StatusCode::CREATED, Json(SecretView::from(made))))
}

/// A key's definition with its name beside the fields.
fn named_key(document: Value) -> Result<(ResourceName, ApiKeyDefinition), Problems> {
    let Value::Object(mut fields) = document else {
        return Err(Problems::one("", "expected an object with name and scopes"));
    };
    let name = match fields.remove("name") {
        Some(Value::String(text)) => {
            ResourceName::parse(&text).map_err(|refused| Problems::one("name", refused.to_string()))
        }
        Some(_) => Err(Problems::one("name", "expected a text")),
        None => Err(Problems::one("name", "is missing; for example name = \"web-shop\"")),
    };
    match (name, ApiKeyDefinition::read("", &Value::Object(fields))) {
        (Ok(name), Ok(definition)) => Ok((name, definition)),
        (name, definition) => {
            let mut problems = name.err().unwrap_or_default();
            problems.0.extend(definition.err().unwrap_or_default().0);
            Err(problems)
        }
    }
}

/// Shows one API key
#[utoipa::path(
    get,
    path = "/admin/v0/api-keys/{name}",
    tag = "api keys",
    params(("name" = String, Path, description = "its name or its id", example = "web-shop")),
    responses(
        (status = 200, body = KeyView),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "there is none", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(
    State(context): State<Arc<AdminContext>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<KeyView>, Problem> {
    let principal = admin(&context, &headers).await?;
    let shown = context.access.show(&principal.tenant, &name).await.map_err(error::of_access)?;
    Ok(Json(KeyView::from(shown)))
}

/// Makes or changes an API key, without a secret
///
/// As every resource; `rotate` makes its secret. Narrowing a key narrows its tokens.
#[utoipa::path(
    put,
    path = "/admin/v0/api-keys/{name}",
    tag = "api keys",
    params(
        ("name" = String, Path, description = "its name", example = "web-shop"),
        ("If-Match" = Option<String>, Header, description = "an ETag: only if it is there at this version"),
        ("If-None-Match" = Option<String>, Header, description = "*: only if it is not there"),
    ),
    request_body(content = Object, content_type = "application/json"),
    responses(
        (status = 200, description = "changed, or as it was", body = resources::ResourceView),
        (status = 201, description = "made", body = resources::ResourceView),
        (status = 400, description = "refused, with everything that is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "a precondition does not hold", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "the body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn put(
    State(context): State<Arc<AdminContext>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    resources::put_one(&context, ResourceKind::ApiKeys.as_str(), &name, &headers, body).await
}

/// Revokes an API key
///
/// Its tokens are refused everywhere within 60 s, its secrets at once, for good: a key made later under its name is
/// another.
#[utoipa::path(
    delete,
    path = "/admin/v0/api-keys/{name}",
    tag = "api keys",
    params(
        ("name" = String, Path, description = "its name or its id", example = "web-shop"),
        ("If-Match" = Option<String>, Header, description = "an ETag: only if it is at this version"),
    ),
    responses(
        (status = 204, description = "revoked"),
        (status = 400, description = "a header can't be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "there is none", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "it has changed since", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn revoke(
    State(context): State<Arc<AdminContext>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let principal = admin(&context, &headers).await?;
    let precondition = preconditions::of(&headers)?;
    let revoked = context.access.revoke(&principal.tenant, &name, precondition, context.clock.now());
    revoked.await.map_err(error::of_access)?;
    tracing::info!(name, by = %principal.key_name, "API key revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a new secret of an API key
///
/// The one before it stays valid for 30 days, or until it is dropped; one older than that ends now. The secret is shown
/// this once.
#[utoipa::path(
    post,
    path = "/admin/v0/api-keys/{name}/rotate",
    tag = "api keys",
    params(("name" = String, Path, description = "its name or its id", example = "web-shop")),
    responses(
        (status = 200, body = SecretView),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "there is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "someone else does the same", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn rotate(
    State(context): State<Arc<AdminContext>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<SecretView>, Problem> {
    let principal = admin(&context, &headers).await?;
    let made = context.access.rotate(&principal.tenant, &name, context.clock.now()).await.map_err(error::of_access)?;
    tracing::info!(name = %made.key.name, id = %made.key.id, by = %principal.key_name, "API key rotated");
    Ok(Json(SecretView::from(made)))
}

/// Ends the secret before the present one
#[utoipa::path(
    delete,
    path = "/admin/v0/api-keys/{name}/previous-secret",
    tag = "api keys",
    params(("name" = String, Path, description = "its name or its id", example = "web-shop")),
    responses(
        (status = 204, description = "there is none any more"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "there is no such key", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "someone else changes its secret", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn drop_previous(
    State(context): State<Arc<AdminContext>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let principal = admin(&context, &headers).await?;
    context.access.drop_previous(&principal.tenant, &name).await.map_err(error::of_access)?;
    tracing::info!(name, by = %principal.key_name, "previous secret of API key dropped");
    Ok(StatusCode::NO_CONTENT)
}
