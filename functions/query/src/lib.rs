//! The query function: SQL over a tenant's databases, over HTTP.
//!
//! `POST /query/v0/sql` runs one SELECT over the tables of a database, `/query/v0/queries/{name}` one that is saved, and
//! `GET /query/v0/databases` and below say which databases, tables and columns there are.
//!
//! Promises: a token sees the databases of its grant and can't tell what others there are; a query sees the tables of
//! its database and nothing else; a real-time table that was defined and has no rows yet is there, empty; each query is bounded in
//! time, memory, disk and size of its answer, and so is the number of queries that run at once.
//!
//! Data goes: token and tenant ([`authorize`](freshet_http::authorize)) → the body → the database (catalog) → the text is
//! [parsed](freshet_query::parse_select), and the tables that it names are opened, each at its newest version → the
//! [engine](freshet_query::QueryEngine) → the answer's body as the engine wrote it.

mod accept;
mod admission;
mod answer;
mod context;
mod error;
mod handler;
mod listing;
mod request;
mod saved;
mod sending;
mod spool;
mod stored;

use std::sync::Arc;

use axum::Router;
use freshet_http::{describe, service_routes, with_common_layers};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use answer::{AnswerColumn, AnswerStatistics, SqlAnswer};
pub use context::{QueryContext, QueryLimits};
pub use request::{Consistency, SavedRequest, SqlRequest};
pub use stored::StoredAnswers;

/// The routes of queries with their description, to be merged with others' before
/// [`with_common_layers`](freshet_http::with_common_layers).
pub fn query_routes(context: Arc<QueryContext>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(handler::sql))
        .routes(routes!(saved::get, saved::post))
        .routes(routes!(listing::databases))
        .routes(routes!(listing::tables))
        .routes(routes!(listing::table))
        .with_state(context)
}

/// Queries as a function of their own: their routes, `/health` and `/openapi.json`, with the common layers.
pub fn router(context: Arc<QueryContext>) -> Router {
    let (routes, mut api) = query_routes(Arc::clone(&context)).split_for_parts();
    describe(&mut api, "Freshet query", "Answers SQL");
    let health = move || {
        let asked = Arc::clone(&context);
        async move { asked.health().await }
    };
    with_common_layers(routes.merge(service_routes(api, health)))
}
