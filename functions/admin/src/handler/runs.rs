//! Runs of databases, profile indexes and activations.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use freshet_access::Principal;
use freshet_http::Problem;
use freshet_model::{ResourceKind, ResourceName, did_you_mean};
use freshet_runs::{Counts, Run, RunError, RunId, RunKind, RunState, Runs, Step, StepState, Subject, Trigger};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::admin;
use crate::{AdminContext, error};

/// How many runs are shown where the caller doesn't say.
const DEFAULT_LIMIT: usize = 20;
/// Most runs that are shown.
const MAX_LIMIT: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunsOptions {
    limit: Option<usize>,
    after: Option<String>,
}

/// A run
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RunView {
    #[schema(value_type = String)]
    id: RunId,
    /// `databases`, `indexes` or `activations`.
    #[schema(value_type = String, example = "databases")]
    kind: RunKind,
    #[schema(value_type = String, example = "retail")]
    name: ResourceName,
    /// Why it was started: `manual`, `schedule`, `commit` of a table that it reads, or `definition`, which is new.
    #[schema(value_type = Object, example = json!({"type": "manual", "by": "admin"}))]
    trigger: Trigger,
    /// `queued`, `running`, `succeeded` or `failed`.
    #[schema(value_type = String, example = "succeeded")]
    state: RunState,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    /// How often a runner began with it: more than once where one died.
    attempts: u32,
    steps: Vec<StepView>,
    /// Why it failed, where that is none of its steps'.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A part of a run
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct StepView {
    /// The table that it makes, the index that it refreshes, or the activation that it sends.
    #[schema(example = "big_spenders")]
    name: String,
    /// `running`, `succeeded`, `failed` or `skipped`.
    #[schema(value_type = String, example = "succeeded")]
    state: StepState,
    /// What it did.
    #[schema(value_type = Object, example = json!({"rows": 42}))]
    counts: Counts,
    /// Why it failed or was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
}

/// Some runs
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RunList {
    /// The newest first.
    data: Vec<RunView>,
    /// What to send as `after` for the next page; absent on the last.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<RunId>,
}

impl From<Run> for RunView {
    fn from(run: Run) -> Self {
        let Run { id, kind, name, trigger, state, created_at, started_at, ended_at, attempts, steps, error } = run;
        let steps = steps.into_iter().map(StepView::from).collect();
        Self { id, kind, name, trigger, state, created_at, started_at, ended_at, attempts, steps, error }
    }
}

impl From<Step> for StepView {
    fn from(Step { name, state, counts, message, started_at, ended_at }: Step) -> Self {
        Self { name, state, counts, message, started_at, ended_at }
    }
}

/// Starts a run
///
/// Of a database: its tables made by SQL are made anew. Of an index: its profiles are. Of an activation: its query's result is sent. Where a run is queued that has not begun, it is
/// that one. The answer comes at once; the run's own resource says how it goes.
#[utoipa::path(
    post,
    path = "/admin/v0/{kind}/{name}/runs",
    tag = "runs",
    params(
        ("kind" = String, Path, description = "databases, indexes or activations", example = "databases"),
        ("name" = String, Path, example = "retail"),
    ),
    responses(
        (status = 202, body = RunView, headers(("Location" = String, description = "where the run is"))),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "there is no such resource, or its kind is not run", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn start(
    State(context): State<Arc<AdminContext>>,
    Path((kind, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let principal = admin(&context, &headers).await?;
    let of = subject(&context, &principal, &kind, &name).await?;
    let trigger = Trigger::Manual { by: principal.key_name.to_string() };
    let run = runs(&context).start(&of, trigger, context.clock.now()).await.map_err(|failure| of_runs(&failure))?;
    tracing::info!(kind = %of.kind, name = %of.name, run = %run.id, by = %principal.key_name, "run started");
    let place = format!("/admin/v0/{}/{}/runs/{}", of.kind, of.name, run.id);
    Ok((StatusCode::ACCEPTED, [(LOCATION, place)], Json(RunView::from(run))).into_response())
}

/// Lists the runs of a resource
///
/// The newest 50 are kept.
#[utoipa::path(
    get,
    path = "/admin/v0/{kind}/{name}/runs",
    tag = "runs",
    params(
        ("kind" = String, Path, description = "databases, indexes or activations", example = "databases"),
        ("name" = String, Path, example = "retail"),
        ("limit" = Option<usize>, Query, description = "most runs, 1 to 100; 20 if left out"),
        ("after" = Option<String>, Query, description = "next of the page before"),
    ),
    responses(
        (status = 200, body = RunList),
        (status = 400, description = "limit or after is not right", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "there is no such resource, or its kind is not run", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list(
    State(context): State<Arc<AdminContext>>,
    Path((kind, name)): Path<(String, String)>,
    options: Result<Query<RunsOptions>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<RunList>, Problem> {
    let principal = admin(&context, &headers).await?;
    let (limit, after) = page(options)?;
    let of = subject(&context, &principal, &kind, &name).await?;
    let page = runs(&context).list(&of, limit, after).await.map_err(|failure| of_runs(&failure))?;
    Ok(Json(RunList { data: page.runs.into_iter().map(RunView::from).collect(), next: page.next }))
}

/// Lists the newest runs of all resources
#[utoipa::path(
    get,
    path = "/admin/v0/runs",
    tag = "runs",
    params(("limit" = Option<usize>, Query, description = "most runs, 1 to 100; 20 if left out")),
    responses(
        (status = 200, body = RunList),
        (status = 400, description = "limit is not right", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn newest(
    State(context): State<Arc<AdminContext>>,
    options: Result<Query<RunsOptions>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<RunList>, Problem> {
    let principal = admin(&context, &headers).await?;
    let (limit, after) = page(options)?;
    if after.is_some() {
        return Err(Problem::bad_request("the newest runs of all resources have no next page; list those of one"));
    }
    let found = runs(&context).newest(&principal.tenant, None, limit).await.map_err(|failure| of_runs(&failure))?;
    Ok(Json(RunList { data: found.into_iter().map(RunView::from).collect(), next: None }))
}

/// Shows a run
#[utoipa::path(
    get,
    path = "/admin/v0/{kind}/{name}/runs/{id}",
    tag = "runs",
    params(
        ("kind" = String, Path, description = "databases, indexes or activations", example = "databases"),
        ("name" = String, Path, example = "retail"),
        ("id" = String, Path, description = "the run's id"),
    ),
    responses(
        (status = 200, body = RunView),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope admin", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "there is no such run", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(
    State(context): State<Arc<AdminContext>>,
    Path((kind, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Json<RunView>, Problem> {
    let principal = admin(&context, &headers).await?;
    let of = subject(&context, &principal, &kind, &name).await?;
    let no_run = || Problem::not_found(format!("{} {} has no such run; the newest are kept", of.kind, of.name));
    let id: RunId = id.parse().map_err(|_| no_run())?;
    let run = runs(&context).get(&of, id).await.map_err(|failure| of_runs(&failure))?;
    run.map(|run| Json(RunView::from(run))).ok_or_else(no_run)
}

fn runs(context: &AdminContext) -> Runs {
    Runs::new(Arc::clone(&context.store))
}

fn of_runs(failure: &RunError) -> Problem {
    error::of_failure(failure, failure.is_temporary())
}

fn page(options: Result<Query<RunsOptions>, QueryRejection>) -> Result<(usize, Option<RunId>), Problem> {
    let not_right = || {
        Problem::bad_request(format!(
            "the query is not right; it may hold limit, a whole number from 1 to {MAX_LIMIT}, and after, the next of the page before"
        ))
    };
    let Query(options) = options.map_err(|_| not_right())?;
    let limit = options.limit.unwrap_or(DEFAULT_LIMIT);
    let after = options.after.map(|after| after.parse().map_err(|_| not_right())).transpose()?;
    if (1..=MAX_LIMIT).contains(&limit) { Ok((limit, after)) } else { Err(not_right()) }
}

/// What is run, if it is there.
async fn subject(context: &AdminContext, principal: &Principal, kind: &str, name: &str) -> Result<Subject, Problem> {
    let kind = RunKind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or_else(|| {
        let kinds = RunKind::ALL.map(RunKind::as_str).join(", ");
        Problem::not_found(format!("there are no runs of {:?}; {kinds} are run", shown(kind)))
    })?;
    let catalog = context.catalog.snapshot(&principal.tenant).await.map_err(error::of_catalog)?;
    let (known, kind_of): (Vec<&ResourceName>, _) = match kind {
        RunKind::Databases => (catalog.databases().map(|database| &database.name).collect(), ResourceKind::Databases),
        RunKind::Indexes => (catalog.indexes().map(|index| &index.name).collect(), ResourceKind::Indexes),
        RunKind::Activations => {
            (catalog.activations().map(|activation| &activation.name).collect(), ResourceKind::Activations)
        }
    };
    if let Some(found) = known.iter().find(|known| known.as_str() == name) {
        return Ok(Subject { tenant: principal.tenant.clone(), kind, name: (*found).clone() });
    }
    let name = shown(name);
    let hint = did_you_mean(&name, known.iter().map(|known| known.as_str()));
    let not_found = freshet_catalog::CatalogError::NotFound { kind: kind_of, name };
    Err(Problem::not_found(format!("{not_found}{hint}")))
}

/// As much of what a caller sent as an answer repeats.
fn shown(text: &str) -> String {
    text.chars().take(128).collect()
}
