//! Sets of resources.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use freshet_access::Principal;
use freshet_catalog::{Action, CatalogError, MAX_FILE_BYTES, Plan, ResourceFile};
use freshet_http::{Problem, media_type, parse_json, read_body};
use freshet_model::ResourceKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{admin, unsupported};
use crate::{AdminContext, error};

/// How often a set is planned anew because something else changed meanwhile.
const ATTEMPTS: usize = 4;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyOptions {
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    prune: bool,
}

/// What applying did, or would do
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ApplyView {
    /// Whether it was done; else only planned.
    applied: bool,
    #[serde(flatten)]
    #[schema(value_type = Object)]
    plan: Plan,
}

/// Applies a set of resources, all or nothing
///
/// The body is a whole resource file, as TOML or as JSON. Answers the plan: for each resource `create`, `change`,
/// `unchanged`, `delete` or `refuse`, with what changes and what is wrong. Without `dry_run`, a plan that refuses
/// something is a 400 that lists all of it.
#[utoipa::path(
    post,
    path = "/admin/v0/apply",
    tag = "resources",
    params(
        ("dry_run" = Option<bool>, Query, description = "true: only plan"),
        ("prune" = Option<bool>, Query, description = "true: delete what is there and not in the file; API keys only where the file names API keys"),
    ),
    request_body(content((Object = "application/json"), (String = "application/toml"))),
    responses(
        (status = 200, description = "the plan, and whether it was applied", body = ApplyView),
        (status = 400, description = "refused, with everything that is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "the tenant's resources keep changing, or the caller's own key would be deleted", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "the body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "the body is neither JSON nor TOML", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn apply(
    State(context): State<Arc<AdminContext>>,
    options: Result<Query<ApplyOptions>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ApplyView>, Problem> {
    let principal = admin(&context, &headers).await?;
    let Query(options) = options.map_err(|_unreadable| {
        Problem::bad_request("the query is not right; it may hold dry_run and prune, each true or false")
    })?;
    let file = read_file(&headers, body).await?;
    for _ in 0..ATTEMPTS {
        let planned = context.catalog.plan(&principal.tenant, &file, options.prune, context.clock.now());
        let plan = planned.await.map_err(error::of_catalog)?;
        keeps_own_key(&plan, &principal)?;
        if options.dry_run {
            return Ok(Json(ApplyView { applied: false, plan }));
        }
        match context.catalog.apply(&plan).await {
            Ok(()) => {
                log(&plan, &principal);
                return Ok(Json(ApplyView { applied: true, plan }));
            }
            Err(CatalogError::Conflict) => {}
            Err(failure) => return Err(error::of_catalog(failure)),
        }
    }
    Err(error::of_catalog(CatalogError::Conflict))
}

async fn read_file(headers: &HeaderMap, body: Body) -> Result<ResourceFile, Problem> {
    match media_type(headers)?.as_deref() {
        Some("application/json") => {
            let document: Value = parse_json(&read_body(body, MAX_FILE_BYTES).await?)?;
            ResourceFile::from_json(&document).map_err(error::of_problems)
        }
        Some("application/toml") => {
            let bytes = read_body(body, MAX_FILE_BYTES).await?;
            let text = std::str::from_utf8(&bytes).map_err(|_| Problem::bad_request("the body is not UTF-8"))?;
            ResourceFile::from_toml(text).map_err(error::of_file)
        }
        found => Err(unsupported(found, "application/json or application/toml")),
    }
}

/// Refuses a plan that would lock its own caller out.
fn keeps_own_key(plan: &Plan, principal: &Principal) -> Result<(), Problem> {
    let deletes_it = plan.resources.iter().any(|entry| {
        entry.action == Action::Delete
            && entry.kind == ResourceKind::ApiKeys
            && entry.name == principal.key_name.as_str()
    });
    if deletes_it {
        return Err(Problem::conflict(format!(
            "this would delete the API key {:?}, with which the call was made; add it to the file, or revoke it by itself",
            principal.key_name.as_str()
        )));
    }
    Ok(())
}

fn log(plan: &Plan, principal: &Principal) {
    for entry in plan.resources.iter().filter(|entry| entry.action != Action::Unchanged) {
        let by = &principal.key_name;
        tracing::info!(kind = %entry.kind, name = entry.name, action = ?entry.action, %by, "resource applied");
    }
}
