//! What every HTTP function shares, over axum.
//!
//! * [`Problem`]: the one error answer (RFC 9457), made by meaning, never from text of a library or a cause.
//! * [`with_common_layers`]: request ids, one log line a request, panics and framework errors as problems, safe headers.
//! * [`read_body`]: the one way to read a body, with a cap in bytes and in time; [`JsonBody`] on top of it;
//!   [`read_body_reserving`] for who bounds what all bodies hold together.
//! * [`authorize`]: bearer, scope and tenant header, in the order of the contract: 401, then 403, then the tenant's 400 and 403.
//! * [`service_routes`]: `GET /health` and `GET /openapi.json`.
//!
//! Promises: every answer carries `X-Request-Id`; every error body is a problem with that id in it; no body and no log line
//! holds a token, a secret, a request's body or what an internal error said.
//!
//! Data goes: request → common layers (id, span) → handler, which takes `Extension<RequestId>`, calls [`authorize`] and
//! [`read_body`] and answers or returns a [`Problem`] → common layers (the id into the problem and the header, the log line).

mod authorization;
mod body;
mod json;
mod layers;
mod problem;
mod service;

pub use authorization::{TenantHeader, authenticate, authorize, check_tenant, require_scope};
pub use body::{BODY_TIME_LIMIT, grouped, read_body, read_body_reserving};
pub use json::{JsonBody, MAX_JSON_BYTES, media_type, parse_json};
pub use layers::{REQUEST_ID_HEADER, with_common_layers};
pub use problem::{Problem, ProblemItem, ProblemKind};
pub use service::{HealthCheck, describe, service_routes};
