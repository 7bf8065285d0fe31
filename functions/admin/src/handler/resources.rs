//! Resources, one by one.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::ETAG;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use freshet_catalog::{Change, Resource};
use freshet_http::Problem;
use freshet_model::{ApiKeyId, Definition, ResourceKind};
use jiff::Timestamp;
use serde::Serialize;

use super::{admin, json_body, preconditions};
use crate::{AdminContext, error};

/// A resource as the catalog keeps it
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ResourceView {
    /// Its kind.
    #[schema(value_type = String, example = "tables")]
    kind: ResourceKind,
    /// Its name.
    name: String,
    /// What it is: the body of its `PUT`, and what stands under `[kind.name]` in a resource file.
    #[schema(value_type = Object)]
    definition: Definition,
    /// Its version, as in the header `ETag`.
    #[schema(example = "\"17\"")]
    etag: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// Of a table: it takes only records received at this time or later; absent: from the first that the queue still
    /// has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    start_at: Option<Timestamp>,
    /// Of an API key: its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "ak-2hzqsgX1E4Ab")]
    client_id: Option<ApiKeyId>,
}

impl From<Resource> for ResourceView {
    fn from(resource: Resource) -> Self {
        Self {
            kind: resource.kind(),
            name: resource.name,
            definition: resource.definition,
            etag: resource.etag.to_string(),
            created_at: resource.created_at,
            updated_at: resource.updated_at,
            start_at: resource.start_at,
            client_id: resource.key_id,
        }
    }
}

/// Resources of a kind, by name
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ResourceList {
    data: Vec<ResourceView>,
}

/// Lists the resources of a kind
///
/// All of them, by name; a tenant has at most 1,000 of a kind.
#[utoipa::path(
    get,
    path = "/admin/v0/{kind}",
    tag = "resources",
    params(("kind" = String, Path, description = "streams, databases, tables, queries, indexes or activations", example = "tables")),
    responses(
        (status = 200, body = ResourceList),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown kind", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    State(context): State<Arc<AdminContext>>,
    Path(kind): Path<String>,
    headers: HeaderMap,
) -> Result<Json<ResourceList>, Problem> {
    let principal = admin(&context, &headers).await?;
    let resources = context.catalog.list(&principal.tenant, parse_kind(&kind)?).await.map_err(error::of_catalog)?;
    Ok(Json(ResourceList { data: resources.into_iter().map(ResourceView::from).collect() }))
}

/// Shows one resource
#[utoipa::path(
    get,
    path = "/admin/v0/{kind}/{name}",
    tag = "resources",
    params(
        ("kind" = String, Path, description = "streams, databases, tables, queries, indexes or activations", example = "tables"),
        ("name" = String, Path, description = "its name", example = "orders"),
    ),
    responses(
        (status = 200, body = ResourceView, headers(("ETag" = String, description = "its version"))),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "there is none", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(
    State(context): State<Arc<AdminContext>>,
    Path((kind, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let principal = admin(&context, &headers).await?;
    let kind = parse_kind(&kind)?;
    let resource = context.catalog.get(&principal.tenant, kind, &name).await.map_err(error::of_catalog)?;
    let not_there = || error::of_catalog(freshet_catalog::CatalogError::NotFound { kind, name: name.clone() });
    Ok(answer(StatusCode::OK, resource.ok_or_else(not_there)?))
}

/// Makes or changes a resource
///
/// Idempotent. The body is what stands under `[kind.name]` in a resource file, as JSON. Of a table, columns may be
/// added, its state, start and databases may change, and nothing else.
#[utoipa::path(
    put,
    path = "/admin/v0/{kind}/{name}",
    tag = "resources",
    params(
        ("kind" = String, Path, description = "streams, databases, tables, queries, indexes or activations", example = "tables"),
        ("name" = String, Path, description = "its name", example = "orders"),
        ("If-Match" = Option<String>, Header, description = "an ETag: only if it is there at this version"),
        ("If-None-Match" = Option<String>, Header, description = "*: only if it is not there"),
    ),
    request_body(content = Object, content_type = "application/json"),
    responses(
        (status = 200, description = "changed, or as it was", body = ResourceView, headers(("ETag" = String, description = "its version"))),
        (status = 201, description = "made", body = ResourceView, headers(("ETag" = String, description = "its version"))),
        (status = 400, description = "refused, with everything that is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown kind", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "the tenant's resources keep changing", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "a precondition does not hold", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "the body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn put(
    State(context): State<Arc<AdminContext>>,
    Path((kind, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    put_one(&context, &kind, &name, &headers, body).await
}

/// The `PUT` of any kind.
pub(super) async fn put_one(
    context: &AdminContext,
    kind: &str,
    name: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let principal = admin(context, headers).await?;
    let kind = parse_kind(kind)?;
    let precondition = preconditions::of(headers)?;
    let document = json_body(headers, body).await?;
    let definition = Definition::read(kind, "", &document).map_err(error::of_problems)?;
    let put = context.catalog.put(&principal.tenant, kind, name, definition, precondition, context.clock.now());
    let outcome = put.await.map_err(error::of_catalog)?;
    tracing::info!(%kind, name, change = ?outcome.change, by = %principal.key_name, "resource put");
    let status = if outcome.change == Change::Created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, outcome.resource))
}

/// Deletes a resource
///
/// What a stream received and a table holds stays. Refused while other resources refer to it.
#[utoipa::path(
    delete,
    path = "/admin/v0/{kind}/{name}",
    tag = "resources",
    params(
        ("kind" = String, Path, description = "streams, databases, tables, queries, indexes or activations", example = "tables"),
        ("name" = String, Path, description = "its name", example = "orders"),
        ("If-Match" = Option<String>, Header, description = "an ETag: only if it is at this version"),
    ),
    responses(
        (status = 204, description = "deleted"),
        (status = 400, description = "a header can't be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "there is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "others refer to it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "it has changed since", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn delete(
    State(context): State<Arc<AdminContext>>,
    Path((kind, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let principal = admin(&context, &headers).await?;
    let kind = parse_kind(&kind)?;
    let precondition = preconditions::of(&headers)?;
    context.catalog.delete(&principal.tenant, kind, &name, precondition).await.map_err(error::of_catalog)?;
    tracing::info!(%kind, name, by = %principal.key_name, "resource deleted");
    Ok(StatusCode::NO_CONTENT)
}

fn parse_kind(text: &str) -> Result<ResourceKind, Problem> {
    text.parse().map_err(|message: String| Problem::not_found(message))
}

/// A resource with its `ETag`.
fn answer(status: StatusCode, resource: Resource) -> Response {
    let etag = HeaderValue::from_str(&resource.etag.to_string());
    let mut response = (status, Json(ResourceView::from(resource))).into_response();
    if let Ok(etag) = etag {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}
