//! What there is to query: databases, their tables, and the columns of these.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use freshet_access::Principal;
use freshet_catalog::TenantCatalog;
use freshet_database::{DatabaseTable, DatabaseTables};
use freshet_http::{Problem, TenantHeader, authorize};
use freshet_model::{ResourceName, Scope, did_you_mean};
use serde::Serialize;

use crate::answer::AnswerColumn;
use crate::handler::{allowed_database, definitions, granted};
use crate::{QueryContext, error};

/// Longest name for which a near one is looked for: no table has a longer one.
const LONGEST_SLIP: usize = 128;

/// The databases that the caller may query
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DatabaseList {
    /// By name.
    data: Vec<DatabaseView>,
}

/// A database
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DatabaseView {
    #[schema(example = "retail")]
    name: String,
    description: String,
}

/// The tables of a database
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TableList {
    /// By name.
    data: Vec<TableView>,
}

/// A table
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TableView {
    #[schema(example = "orders")]
    name: String,
    /// `real_time`; `failed`, the failed rows of one; `external`; or `sql`, made by a run of the database.
    #[schema(example = "real_time")]
    kind: &'static str,
}

/// A table with its columns
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TableColumns {
    #[schema(example = "orders")]
    name: String,
    /// As in the list of tables.
    #[schema(example = "real_time")]
    kind: &'static str,
    /// In the table's order.
    columns: Vec<AnswerColumn>,
}

/// Lists the databases that the caller may query
#[utoipa::path(
    get,
    path = "/query/v0/databases",
    tag = "query",
    responses(
        (status = 200, body = DatabaseList),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope tables:query", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the definitions can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn databases(
    State(context): State<Arc<QueryContext>>,
    headers: HeaderMap,
) -> Result<Json<DatabaseList>, Problem> {
    let principal = authorized(&context, &headers).await?;
    let catalog = definitions(&context, &principal).await?;
    let view = |database: &Arc<freshet_catalog::Database>| DatabaseView {
        name: database.name.to_string(),
        description: database.definition.description.clone(),
    };
    let data = granted(&catalog, &principal).map(view).collect();
    Ok(Json(DatabaseList { data }))
}

/// Lists the tables of a database
#[utoipa::path(
    get,
    path = "/query/v0/databases/{database}/tables",
    tag = "query",
    params(("database" = String, Path, example = "retail")),
    responses(
        (status = 200, body = TableList),
        (status = 400, description = "the database's name is none", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token doesn't allow this database", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown database", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the definitions can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn tables(
    State(context): State<Arc<QueryContext>>,
    Path(database): Path<String>,
    headers: HeaderMap,
) -> Result<Json<TableList>, Problem> {
    let principal = authorized(&context, &headers).await?;
    let (_, tables) = tables_of(&context, &principal, &database).await?;
    let view = |table: &DatabaseTable| TableView { name: table.name().to_owned(), kind: table.kind().as_str() };
    Ok(Json(TableList { data: tables.iter().map(view).collect() }))
}

/// Shows the columns of a table
#[utoipa::path(
    get,
    path = "/query/v0/databases/{database}/tables/{table}",
    tag = "query",
    params(("database" = String, Path, example = "retail"), ("table" = String, Path, example = "orders")),
    responses(
        (status = 200, body = TableColumns),
        (status = 400, description = "the database's name is none, or its table can't be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token doesn't allow this database", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown database or table", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the definitions or the table can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn table(
    State(context): State<Arc<QueryContext>>,
    Path((database, table)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<TableColumns>, Problem> {
    let principal = authorized(&context, &headers).await?;
    let (catalog, tables) = tables_of(&context, &principal, &database).await?;
    let Some(found) = tables.get(&table) else {
        let name: String = table.chars().take(LONGEST_SLIP).collect();
        let hint = did_you_mean(&name, tables.names().iter().map(String::as_str));
        let tenant = catalog.tenant();
        return Err(Problem::not_found(format!("database {database} of tenant {tenant} has no table {name:?}{hint}")));
    };
    let columns = context.reader.columns(&tables, found).await.map_err(|error| error::of_database(&error))?;
    let columns = columns.into_iter().map(|column| AnswerColumn { name: column.name, column_type: column.type_name });
    Ok(Json(TableColumns { name: found.name().to_owned(), kind: found.kind().as_str(), columns: columns.collect() }))
}

async fn authorized(context: &QueryContext, headers: &HeaderMap) -> Result<Principal, Problem> {
    authorize(headers, &context.access, context.clock.now(), Scope::TablesQuery, TenantHeader::Optional).await
}

async fn tables_of(
    context: &QueryContext,
    principal: &Principal,
    database: &str,
) -> Result<(Arc<TenantCatalog>, DatabaseTables), Problem> {
    let database = ResourceName::parse(database).map_err(|error| Problem::bad_request(format!("database: {error}")))?;
    let catalog = allowed_database(context, principal, &database).await?;
    let tables = DatabaseTables::of(&catalog, database.as_str());
    let tables = tables.ok_or_else(|| Problem::not_found(format!("there is no database {database} any more")))?;
    Ok((catalog, tables))
}
