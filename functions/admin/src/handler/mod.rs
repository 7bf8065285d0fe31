//! The calls of admin, by subject.

pub(crate) mod apply;
pub(crate) mod keys;
pub(crate) mod oauth2;
mod preconditions;
pub(crate) mod resources;
pub(crate) mod runs;
pub(crate) mod sample;
pub(crate) mod status;
pub(crate) mod tokens;

use axum::body::Body;
use axum::http::HeaderMap;
use freshet_access::Principal;
use freshet_http::{MAX_JSON_BYTES, Problem, TenantHeader, authorize, media_type, parse_json, read_body};
use freshet_model::Scope;
use serde_json::Value;

use crate::AdminContext;

/// That the caller is an admin.
async fn admin(context: &AdminContext, headers: &HeaderMap) -> Result<Principal, Problem> {
    authorize(headers, &context.access, context.clock.now(), Scope::Admin, TenantHeader::Optional).await
}

/// A body of `application/json`.
async fn json_body(headers: &HeaderMap, body: Body) -> Result<Value, Problem> {
    match media_type(headers)?.as_deref() {
        Some("application/json") => parse_json(&read_body(body, MAX_JSON_BYTES).await?),
        found => Err(unsupported(found, "application/json")),
    }
}

fn unsupported(found: Option<&str>, supported: &str) -> Problem {
    Problem::unsupported_media_type(match found {
        Some(found) => format!("the content type is {found:?}; supported is {supported}"),
        None => format!("the header Content-Type is missing; supported is {supported}"),
    })
}
