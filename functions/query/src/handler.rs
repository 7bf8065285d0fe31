//! `POST /query/v0/sql`, and how any query is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use freshet_access::Principal;
use freshet_catalog::{Database, TenantCatalog};
use freshet_database::DatabaseTables;
use freshet_http::{JsonBody, Problem, TenantHeader, authorize};
use freshet_model::{ResourceName, Scope, did_you_mean};
use freshet_query::{Format, Parameters, Query, QueryError, Select, parse_select};
use metrics::{counter, histogram};
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;
use tracing::Span;

use crate::accept::accepted;
use crate::admission::{Admitted, Running};
use crate::answer::SqlAnswer;
use crate::request::{self, SqlRequest};
use crate::sending::{Asker, send};
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
        ("Accept" = Option<String>, Header, description = "application/json (also where it is absent), application/x-ndjson, text/csv, application/vnd.apache.arrow.stream, application/vnd.apache.parquet; with qualities"),
    ),
    request_body = SqlRequest,
    responses(
        (status = 200, description = "the rows, in the format that Accept prefers; sent as they are made in NDJSON, CSV and Arrow, unless a gateway is before it", content(
            (SqlAnswer = "application/json"),
            (String = "application/x-ndjson"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        ), headers(
            ("X-As-Of" = String, description = "the time of the tables' versions: RFC 3339, UTC"),
            ("X-Row-Count" = u64, description = "rows of the answer, where it is whole before it is sent"),
            ("X-Truncated" = bool, description = "whether the query has more rows than its limit, where the answer is whole before it is sent"),
        )),
        (status = 303, description = "behind a gateway, an answer that is too large for it: the same bytes are at Location for 15 minutes", headers(
            ("Location" = String, description = "a link that needs no token; send none"),
        )),
        (status = 400, description = "malformed body, or not one SELECT over known tables and columns", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token doesn't allow this", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown database", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "Accept names no format of results", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "the query took too long", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "the query takes too much memory, or its answer is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "unsupported content", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "too many queries, or the tables are not available", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn sql(State(context): State<Arc<QueryContext>>, request: Request) -> Response {
    observed(answer_sql(&context, request)).await
}

async fn answer_sql(context: &QueryContext, sent: Request) -> Result<Response, Problem> {
    let now = context.clock.now();
    let headers = sent.headers();
    let principal = authorize(headers, &context.access, now, Scope::TablesQuery, TenantHeader::Optional).await?;
    let format = accepted(headers)?;
    let JsonBody(asked) = JsonBody::<SqlRequest>::from_request(sent, &()).await?;
    let (limit, timeout) = (request::limit(asked.limit)?, request::timeout(asked.timeout_ms, context.longest)?);
    let parameters = asked.parameters()?;
    let database =
        ResourceName::parse(&asked.database).map_err(|error| Problem::bad_request(format!("database: {error}")))?;
    let catalog = allowed_database(context, &principal, &database).await?;
    let question = Question { database, sql: asked.sql, parameters, limit, timeout, format };
    answer(context, &catalog, question).await
}

/// Records how a request went, and answers it.
pub(crate) async fn observed(outcome: impl Future<Output = Result<Response, Problem>>) -> Response {
    let started = Instant::now();
    let outcome = outcome.await;
    let status = outcome.as_ref().map_or_else(Problem::status, Response::status);
    let label = status.as_u16().to_string();
    histogram!("freshet_query_seconds", "status" => label.clone()).record(started.elapsed());
    outcome.unwrap_or_else(|problem| {
        counter!("freshet_query_refusals_total", "status" => label).increment(1);
        problem.into_response()
    })
}

/// What is asked, by one who may.
pub(crate) struct Question {
    pub(crate) database: ResourceName,
    pub(crate) sql: String,
    pub(crate) parameters: Parameters,
    pub(crate) limit: usize,
    pub(crate) timeout: Duration,
    pub(crate) format: Format,
}

/// When an answer must be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    timeout: Duration,
}

impl Deadline {
    fn after(timeout: Duration) -> Self {
        Self { at: Instant::now() + timeout, timeout }
    }

    fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    pub(crate) fn passed(self) -> Problem {
        error::of_query(&QueryError::Timeout { timeout: self.timeout })
    }

    /// What a query that was given the rest of the time was refused with.
    pub(crate) fn explain(self, refusal: &QueryError) -> Problem {
        match refusal {
            QueryError::Timeout { .. } => self.passed(),
            other => error::of_query(other),
        }
    }
}

pub(crate) async fn answer(
    context: &QueryContext,
    catalog: &TenantCatalog,
    question: Question,
) -> Result<Response, Problem> {
    let Question { database, sql, parameters, limit, timeout: longest, format } = question;
    let tenant = catalog.tenant().clone();
    let Admitted { running, present } = context.admission.admit(&tenant, longest).await?;
    let deadline = Deadline::after(longest);
    let (select, running) =
        timeout_at(deadline.at.into(), parse(sql, running)).await.map_err(|_elapsed| deadline.passed())??;
    let tables = DatabaseTables::of(catalog, database.as_str()).ok_or_else(|| no_database(catalog, &database, ""))?;
    let named = tables.named(&select).map_err(|refusal| error::of_query(&refusal))?;
    // Before the tables are opened: each is at this time or a little later, never before it.
    let as_of = context.clock.now();
    let opened = timeout_at(deadline.at.into(), context.reader.open(&tables, &named)).await;
    let opened = opened.map_err(|_elapsed| deadline.passed())?.map_err(|error| error::of_database(&error))?;
    let tables = opened.into_iter().map(|open| open.table).collect();
    let query =
        Query { select, parameters, tables, limit: Some(limit), sorted_by_text: None, timeout: deadline.left(), as_of };
    let rows = context.engine.start(query, running).await.map_err(|refusal| deadline.explain(&refusal))?;
    send(context, rows, Asker { tenant, database, format, place: present }, deadline).await
}

/// The tenant's definitions, if it has the database and the caller may query it. A database outside of the caller's grant is
/// refused alike whether it is there or not.
pub(crate) async fn allowed_database(
    context: &QueryContext,
    principal: &Principal,
    database: &ResourceName,
) -> Result<Arc<TenantCatalog>, Problem> {
    if !principal.may_query(database.as_str()) {
        return Err(Problem::forbidden(format!("the token doesn't allow querying database {database}")));
    }
    let catalog = definitions(context, principal).await?;
    if let Some(found) = catalog.database(database.as_str()) {
        Span::current().record("resource", tracing::field::display(&found.name));
        return Ok(catalog);
    }
    let hint = did_you_mean(database.as_str(), granted(&catalog, principal).map(|known| known.name.as_str()));
    Err(no_database(&catalog, database, &hint))
}

/// The tenant's definitions.
pub(crate) async fn definitions(context: &QueryContext, principal: &Principal) -> Result<Arc<TenantCatalog>, Problem> {
    context.catalog.snapshot(&principal.tenant).await.map_err(|error| error::of_catalog(&error))
}

/// The databases that a caller may query.
pub(crate) fn granted<'a>(
    catalog: &'a TenantCatalog,
    principal: &'a Principal,
) -> impl Iterator<Item = &'a Arc<Database>> {
    catalog.databases().filter(|database| principal.may_query(database.name.as_str()))
}

fn no_database(catalog: &TenantCatalog, database: &ResourceName, hint: &str) -> Problem {
    Problem::not_found(format!("tenant {} has no database {database}{hint}", catalog.tenant()))
}

/// A long text takes milliseconds to parse. Nothing interrupts that: it keeps its place until it has ended.
async fn parse(sql: String, place: Running) -> Result<(Select, Running), Problem> {
    let parsed = spawn_blocking(move || (parse_select(&sql), place)).await;
    let (select, place) = parsed.map_err(|error| {
        tracing::error!(panicked = error.is_panic(), "parsing a query failed");
        Problem::internal()
    })?;
    Ok((select.map_err(|refusal| error::of_query(&refusal.into()))?, place))
}
