//! The profile function: profiles of a tenant's indexes, by id and by filters, over HTTP.
//!
//! Promises: a look-up costs what it finds, however many profiles there are; a token reads the indexes of its grant and can't tell what
//! others there are; every answer says in `X-As-Of` how fresh it is; whoever goes from page to page sees
//! every profile that stays, once; a page's token is of use to nobody else, and for no other index or filters; no id and no value
//! of a filter is logged.
//!
//! Data goes: token and tenant ([`authorize`](freshet_http::authorize)) → the index (catalog) → [`freshet_profile`] → JSON, in which a
//! profile's attributes are the bytes that a refresh stored.

mod answer;
mod attribute;
mod context;
mod error;
mod find;
mod handler;
mod request;

use std::sync::Arc;

use axum::Router;
use freshet_http::{describe, service_routes, with_common_layers};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use context::ProfileContext;

/// The one version of the API that there is, as `Api-Version` names it.
pub const API_VERSION: &str = "2025-07-31";

/// The routes of profiles with their description, to be merged with others' before
/// [`with_common_layers`](freshet_http::with_common_layers).
pub fn profile_routes(context: Arc<ProfileContext>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(handler::indexes))
        .routes(routes!(handler::index))
        .routes(routes!(find::profiles))
        .routes(routes!(handler::profile))
        .routes(routes!(handler::batch_get))
        .routes(routes!(attribute::get, attribute::post))
        .with_state(context)
}

/// Profiles as a function of their own: their routes, `/health` and `/openapi.json`, with the common layers.
pub fn router(context: Arc<ProfileContext>) -> Router {
    let (routes, mut api) = profile_routes(Arc::clone(&context)).split_for_parts();
    describe(&mut api, "Freshet profile", "Looks profiles up");
    let health = move || {
        let asked = Arc::clone(&context);
        async move { asked.health().await }
    };
    with_common_layers(routes.merge(service_routes(api, health)))
}
