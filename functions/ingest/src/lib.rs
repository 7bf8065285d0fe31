//! The ingest function: takes records in over HTTP and queues them.
//!
//! `POST /stream/v0/data/{stream-id}` takes one JSON object, an array of them, or one a line; or an XML document, if the stream is one
//! of XML. It answers 202 once every record is durable in the queue.
//!
//! Promises: nothing is acknowledged that is not durably queued; a request is taken whole or not at all, and a refusal lists every
//! bad record; a body costs memory only after its sender is known to be allowed and as its bytes arrive, all bodies together no
//! more than a fixed amount, and those of one tenant a quarter of it, so that none keeps the others out; what a caller may choose
//! (bytes, records, rates, times) is capped.
//!
//! Data goes: path, token, tenant and stream are checked ([`authorize`](freshet_http::authorize), catalog) → the body is read, decompressed
//! and split (`decode`) → [`Queue::append`](freshet_queue::Queue::append) to one shard of the stream → 202 with a [`Receipt`].

mod content;
mod context;
mod error;
mod handler;
mod limits;
mod rate;
mod receipt;

use std::sync::Arc;

use axum::Router;
use freshet_http::{describe, service_routes, with_common_layers};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use context::IngestContext;
pub use handler::Accepted;
pub use limits::{IngestLimits, MAX_BODY_BYTES, MAX_DECOMPRESSED_BYTES, MAX_RECORD_BYTES, MAX_RECORDS};
pub use receipt::{InvalidReceipt, OffsetRange, Receipt};

/// The routes of ingest with their description, to be merged with others' before
/// [`with_common_layers`](freshet_http::with_common_layers).
pub fn ingest_routes(context: Arc<IngestContext>) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(handler::ingest)).with_state(context)
}

/// Ingest as a function of its own: its routes, `/health` and `/openapi.json`, with the common layers.
pub fn router(context: Arc<IngestContext>) -> Router {
    let (routes, mut api) = ingest_routes(Arc::clone(&context)).split_for_parts();
    describe(&mut api, "Freshet ingest", "Takes records in and queues them");
    let health = move || {
        let asked = Arc::clone(&context);
        async move { asked.health().await }
    };
    with_common_layers(routes.merge(service_routes(api, health)))
}
