//! Saved queries: `GET` and `POST /query/v0/queries/{name}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequest, Path, RawQuery, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use freshet_access::Principal;
use freshet_catalog::{Query as SavedQuery, TenantCatalog};
use freshet_http::{JsonBody, Problem, TenantHeader, authorize};
use freshet_model::{Scope, did_you_mean};
use freshet_query::{ParameterValue, Parameters};
use tracing::Span;
use url::form_urlencoded;

use crate::accept::accepted;
use crate::answer::SqlAnswer;
use crate::handler::{Question, answer, definitions, granted, observed};
use crate::request::{self, SavedRequest};
use crate::{QueryContext, error};

/// Longest name for which a near one is looked for: no query has a longer one.
const LONGEST_SLIP: usize = 128;

/// Runs a saved query, its parameters in the URL
///
/// Each parameter of the query is one of the URL, by its name; its text is read as the declared type. `limit` and `timeout_ms` mean
/// what they mean for SQL; a parameter that has one of these names is given by POST. Personal data belongs in the body of a POST.
#[utoipa::path(
    get,
    path = "/query/v0/queries/{name}",
    tag = "query",
    params(
        ("name" = String, Path, description = "the query's name", example = "orders_of"),
        ("limit" = Option<u64>, Query, description = "most rows of the answer, 1 to 100,000; 1,000 if left out"),
        ("timeout_ms" = Option<u64>, Query, description = "most time of the query in milliseconds"),
        ("X-Amperity-Tenant" = Option<String>, Header, description = "the token's tenant; Amperity-Tenant and X-Tenant mean the same"),
        ("Accept" = Option<String>, Header, description = "the format of the rows, as for SQL"),
    ),
    responses(
        (status = 200, description = "the rows, in the format that Accept prefers", content(
            (SqlAnswer = "application/json"),
            (String = "application/x-ndjson"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        )),
        (status = 303, description = "behind a gateway, an answer that is too large for it: the same bytes are at Location for 15 minutes"),
        (status = 400, description = "a parameter is missing, unknown or not of its type", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token doesn't allow this", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown query", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "Accept names no format of results", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "the query took too long", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "the query takes too much memory, or its answer is too large", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "too many queries, or the tables are not available", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get(
    State(context): State<Arc<QueryContext>>,
    Path(name): Path<String>,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Response {
    let asked = async {
        let asker = Asker::of(&context, &headers).await?;
        let given = Given::of_url(text.as_deref().unwrap_or_default())?;
        asker.run(&context, &headers, &name, given).await
    };
    observed(asked).await
}

/// Runs a saved query, its parameters in the body
///
/// A request without a body runs a query without parameters.
#[utoipa::path(
    post,
    path = "/query/v0/queries/{name}",
    tag = "query",
    params(
        ("name" = String, Path, description = "the query's name", example = "orders_of"),
        ("X-Amperity-Tenant" = Option<String>, Header, description = "the token's tenant; Amperity-Tenant and X-Tenant mean the same"),
        ("Accept" = Option<String>, Header, description = "the format of the rows, as for SQL"),
    ),
    request_body = SavedRequest,
    responses(
        (status = 200, description = "the rows, in the format that Accept prefers", content(
            (SqlAnswer = "application/json"),
            (String = "application/x-ndjson"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
            (Vec<u8> = "application/vnd.apache.parquet"),
        )),
        (status = 303, description = "behind a gateway, an answer that is too large for it: the same bytes are at Location for 15 minutes"),
        (status = 400, description = "malformed body, or a parameter is missing, unknown or not of its type", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token doesn't allow this", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown query", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "Accept names no format of results", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "the query took too long", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "the query takes too much memory, or its answer is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "unsupported content", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "too many queries, or the tables are not available", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn post(
    State(context): State<Arc<QueryContext>>,
    Path(name): Path<String>,
    sent: Request,
) -> Response {
    let asked = async {
        let headers = sent.headers().clone();
        let asker = Asker::of(&context, &headers).await?;
        let JsonBody(body) = JsonBody::<SavedRequest>::from_request(sent, &()).await?;
        asker.run(&context, &headers, &name, Given::of_body(&body)?).await
    };
    observed(asked).await
}

/// What was given to run a query with.
struct Given {
    parameters: BTreeMap<String, ParameterValue>,
    limit: Option<u64>,
    timeout_ms: Option<u64>,
}

impl Given {
    fn of_url(text: &str) -> Result<Self, Problem> {
        let mut given = Self { parameters: BTreeMap::new(), limit: None, timeout_ms: None };
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let is_second = match name.as_ref() {
                "limit" => given.limit.replace(whole_number("limit", &value)?).is_some(),
                "timeout_ms" => given.timeout_ms.replace(whole_number("timeout_ms", &value)?).is_some(),
                _ => {
                    let value = ParameterValue::Text(value.into_owned());
                    given.parameters.insert(name.clone().into_owned(), value).is_some()
                }
            };
            if is_second {
                return Err(Problem::bad_request(format!(
                    "{:?} is in the URL more than once; send it once",
                    shown(&name)
                )));
            }
        }
        Ok(given)
    }

    fn of_body(body: &SavedRequest) -> Result<Self, Problem> {
        let parameters = body.parameters.as_deref().filter(|json| json.get() != "null");
        let parameters = parameters.map_or_else(|| Ok(BTreeMap::new()), Parameters::read_named);
        let parameters = parameters.map_err(|refusal| error::of_query(&refusal))?;
        Ok(Self { parameters, limit: body.limit, timeout_ms: body.timeout_ms })
    }
}

fn whole_number(name: &str, text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| Problem::bad_request(format!("{name} is {:?}; it is a whole number", shown(text))))
}

/// As much of what a caller sent as an answer repeats.
fn shown(text: &str) -> String {
    text.chars().take(LONGEST_SLIP).collect()
}

/// Who runs a query.
struct Asker {
    principal: Principal,
}

impl Asker {
    async fn of(context: &QueryContext, headers: &HeaderMap) -> Result<Self, Problem> {
        let now = context.clock.now();
        let principal = authorize(headers, &context.access, now, Scope::TablesQuery, TenantHeader::Optional).await?;
        Ok(Self { principal })
    }

    async fn run(
        &self,
        context: &QueryContext,
        headers: &HeaderMap,
        name: &str,
        given: Given,
    ) -> Result<Response, Problem> {
        let format = accepted(headers)?;
        let catalog = definitions(context, &self.principal).await?;
        let query = self.find(&catalog, name)?;
        Span::current().record("resource", tracing::field::display(&query.name));
        let definition = &query.definition;
        let parameters = Parameters::declared(&definition.parameters, given.parameters);
        let question = Question {
            database: definition.database.clone(),
            sql: definition.sql.clone(),
            parameters: parameters.map_err(|refusal| error::of_query(&refusal))?,
            limit: request::limit(given.limit)?,
            timeout: request::timeout(given.timeout_ms, context.longest)?,
            format,
        };
        answer(context, &catalog, question).await
    }

    /// The query of a name. One over a database outside of the caller's grant is refused, and hinted at to nobody.
    fn find<'c>(&self, catalog: &'c TenantCatalog, name: &str) -> Result<&'c SavedQuery, Problem> {
        if let Some(query) = catalog.query(name) {
            let database = &query.definition.database;
            if self.principal.may_query(database.as_str()) {
                return Ok(query);
            }
            return Err(Problem::forbidden(format!("the token doesn't allow running query {:?}", shown(name))));
        }
        if granted(catalog, &self.principal).next().is_none() {
            return Err(Problem::forbidden(format!("the token doesn't allow running query {:?}", shown(name))));
        }
        let known = catalog.queries().filter(|query| self.principal.may_query(query.definition.database.as_str()));
        let name = shown(name);
        let hint = did_you_mean(&name, known.map(|query| query.name.as_str()));
        Err(Problem::not_found(format!("tenant {} has no query {name:?}{hint}", catalog.tenant())))
    }
}
