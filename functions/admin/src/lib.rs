//! The admin function: keeps a tenant's resources, API keys and tokens over HTTP, and says how its tables stand.
//!
//! Promises: everything happens within the tenant of the caller's token; a refusal changes nothing and lists everything
//! that is wrong; a secret or token is shown once, in the answer to the call that made it, and stands in no log line; a
//! token issued here never allows its holder more than the issuer may give.
//!
//! Data goes: bearer and scope are checked ([`authorize`](freshet_http::authorize)) → the body is read into
//! [`Definition`](freshet_model::Definition)s → the catalog decides and writes, or `access` does → the resource, the
//! plan or the token.

mod context;
mod error;
mod handler;
mod newest;

use std::sync::Arc;

use axum::Router;
use freshet_http::{describe, service_routes, with_common_layers};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use context::AdminContext;

use handler::{apply, keys, oauth2, resources, runs, sample, status, tokens};

/// The routes of admin with their description, to be merged with others' before
/// [`with_common_layers`](freshet_http::with_common_layers).
pub fn admin_routes(context: Arc<AdminContext>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(resources::list))
        .routes(routes!(resources::show, resources::put, resources::delete))
        .routes(routes!(apply::apply))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::show, keys::put, keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::drop_previous))
        .routes(routes!(tokens::issue))
        .routes(routes!(oauth2::token))
        .routes(routes!(sample::sample))
        .routes(routes!(runs::list, runs::start))
        .routes(routes!(runs::show))
        .routes(routes!(runs::newest))
        .routes(routes!(status::status))
        .with_state(context)
}

/// Admin as a function of its own: its routes, `/health` and `/openapi.json`, with the common layers.
pub fn router(context: Arc<AdminContext>) -> Router {
    let (routes, mut api) = admin_routes(Arc::clone(&context)).split_for_parts();
    describe(&mut api, "Freshet admin", "Keeps resources, API keys and tokens");
    let health = move || {
        let asked = Arc::clone(&context);
        async move { asked.health().await }
    };
    with_common_layers(routes.merge(service_routes(api, health)))
}
