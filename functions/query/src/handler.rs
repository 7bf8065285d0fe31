//! The one call of queries.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use freshet_access::Principal;
use freshet_catalog::TenantCatalog;
use freshet_http::{JsonBody, Problem, TenantHeader, authorize};
use freshet_model::{ResourceName, Scope, did_you_mean};
use freshet_query::{Answer, Query, QueryError, Select, parse_select};
use metrics::{counter, histogram};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::Span;

use crate::admission::Admitted;
use crate::answer::SqlAnswer;
use crate::database::{named_tables, open};
use crate::request::SqlRequest;
use crate::{QueryContext, error};

/// Runs a query
///
/// One SELECT over the tables of a database. Names without quotes match whatever their case. Parameters are bound as values, never
/// pasted into the text. What the tables hold when the query starts is what it sees.
#[utoipa::path(
    post,
    path = "/query/v0/sql",
    tag = "query",
    params(
        ("X-Amperity-Tenant" = Option<String>, Header, description = "the token's tenant; Amperity-Tenant and X-Tenant mean the same"),
        ("X-Request-Id" = Option<String>, Header, description = "1 to 128 of A-Z a-z 0-9 . _ -; else one is made"),
    ),
    request_body = SqlRequest,
    responses(
        (status = 200, description = "the rows", body = SqlAnswer),
        (status = 400, description = "malformed body, or not one SELECT over known tables and columns", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token doesn't allow this", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown database", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "the query took too long", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "the query takes too much memory, or its answer is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "unsupported content", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "too many queries, or the tables are not available", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn sql(State(context): State<Arc<QueryContext>>, request: Request) -> Response {
    let started = Instant::now();
    let outcome = answer(&context, request).await;
    let status = outcome.as_ref().map_or_else(Problem::status, |_| StatusCode::OK);
    let label = status.as_u16().to_string();
    histogram!("freshet_query_seconds", "status" => label.clone()).record(started.elapsed());
    match outcome {
        Ok(answer) => {
            let json = HeaderValue::from_static("application/json");
            ([(CONTENT_TYPE, json)], Body::from(answer.body)).into_response()
        }
        Err(problem) => {
            counter!("freshet_query_refusals_total", "status" => label).increment(1);
            problem.into_response()
        }
    }
}

async fn answer(context: &QueryContext, request: Request) -> Result<Answer, Problem> {
    let now = context.clock.now();
    let headers = request.headers();
    let principal = authorize(headers, &context.access, now, Scope::TablesQuery, TenantHeader::Optional).await?;
    let JsonBody(asked) = JsonBody::<SqlRequest>::from_request(request, &()).await?;
    let (limit, longest) = (asked.limit()?, asked.timeout(context.longest)?);
    let parameters = asked.parameters()?;
    let database =
        ResourceName::parse(&asked.database).map_err(|error| Problem::bad_request(format!("database: {error}")))?;
    let catalog = allowed_database(context, &principal, &database).await?;
    let admitted = context.admission.admit(&principal.tenant, longest).await?;
    let started = Instant::now();
    let timed_out = |_elapsed| error::of_query(&QueryError::Timeout { timeout: longest });
    let (select, admitted) = timeout(longest, parse(asked.sql, admitted)).await.map_err(timed_out)??;
    let named = named_tables(&catalog, &database, &select)?;
    // Before the tables are opened: each is at this time or a little later, never before it.
    let as_of = context.clock.now();
    let opened =
        timeout(longest.saturating_sub(started.elapsed()), open(&context.tables, named)).await.map_err(timed_out)?;
    let tables = opened.map_err(|error| error::of_table(&error))?;
    let rest = longest.saturating_sub(started.elapsed());
    let query = Query { select, parameters, tables, limit, timeout: rest, as_of };
    let answer = context.engine.run(query, admitted).await.map_err(|refusal| match refusal {
        // Of all the time that was asked for, not of what opening the tables left.
        QueryError::Timeout { .. } => error::of_query(&QueryError::Timeout { timeout: longest }),
        other => error::of_query(&other),
    })?;
    Span::current().record("records", answer.rows);
    let labels = [("tenant", principal.tenant.to_string()), ("database", database.to_string())];
    counter!("freshet_query_rows_total", &labels).increment(answer.rows as u64);
    Ok(answer)
}

/// The tenant's definitions, if it has the database and the caller may query it. A database outside of the caller's grant is
/// refused alike whether it is there or not.
async fn allowed_database(
    context: &QueryContext,
    principal: &Principal,
    database: &ResourceName,
) -> Result<Arc<TenantCatalog>, Problem> {
    if !principal.may_query(database.as_str()) {
        return Err(Problem::forbidden(format!("the token doesn't allow querying database {database}")));
    }
    let catalog = context.catalog.snapshot(&principal.tenant).await.map_err(|error| error::of_catalog(&error))?;
    if let Some(found) = catalog.database(database.as_str()) {
        Span::current().record("resource", tracing::field::display(&found.name));
        return Ok(catalog);
    }
    let granted = catalog.databases().map(|known| known.name.as_str()).filter(|name| principal.may_query(name));
    let hint = did_you_mean(database.as_str(), granted);
    Err(Problem::not_found(format!("tenant {} has no database {database}{hint}", principal.tenant)))
}

/// A long text takes milliseconds to parse. Nothing interrupts that: it keeps its place until it has ended.
async fn parse(sql: String, admitted: Admitted) -> Result<(Select, Admitted), Problem> {
    let parsed = spawn_blocking(move || (parse_select(&sql), admitted)).await;
    let (select, admitted) = parsed.map_err(|error| {
        tracing::error!(panicked = error.is_panic(), "parsing a query failed");
        Problem::internal()
    })?;
    Ok((select.map_err(|refusal| error::of_query(&refusal.into()))?, admitted))
}
