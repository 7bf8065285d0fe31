//! What surrounds every handler: request ids, one log line a request, everything wrong as a problem, safe headers.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use freshet_model::{InvalidIdentifier, RequestId};
use http_body_util::{BodyExt, Collected, Limited};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::{Problem, ProblemKind};

/// The header that carries the request's id, both ways.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longest part of a path that a log line repeats, in characters.
const LOGGED_PATH: usize = 512;
/// The parameters of routes that name people. A log line has their names in place of their values.
const PERSONAL: [&str; 1] = ["{profile_id}"];
/// Longest text of a framework's rejection that becomes a detail, in bytes.
const REJECTION: usize = 2_048;

/// Puts around a router what every function's answers share. Apply it once, to the whole: to the merged router where one process
/// serves several functions.
///
/// * The request's id (the caller's `X-Request-Id` if there is one valid one, else a new UUIDv7) as
///   `Extension<RequestId>` for handlers, in the header of every answer and in every problem.
/// * A span `request` around the handler and one log line at its end: method, path without its query and without what names people,
///   status, milliseconds, the problem's kind. Of a path that no route has it is the first part only. Handlers may record `resource` (the name of what it was about) and `records` (how many went in or out).
/// * Panics, unknown paths (404), other methods (405 with `Allow`) and extractors' rejections as problems.
/// * `X-Content-Type-Options: nosniff` and, unless the handler said otherwise, `Cache-Control: no-store`.
pub fn with_common_layers(router: Router) -> Router {
    // Around the router as a service rather than with `Router::layer`: axum adds `Allow` outside of layers.
    let service = ServiceBuilder::new()
        .layer(from_fn(observe))
        .layer(CatchPanicLayer::custom(panicked))
        .service(router.route_layer(from_fn(note_route)));
    Router::new().fallback_service(service)
}

async fn observe(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = match request_id(request.headers()) {
        Ok(request_id) => request_id,
        Err(error) => {
            tracing::error!(%error, "can't make a request id");
            return Problem::internal().into_response();
        }
    };
    request.extensions_mut().insert(request_id.clone());
    let method = request.method().clone();
    let path = LoggedPath::of(request.uri().path());
    request.extensions_mut().insert(path.clone());
    // What is empty here is filled in by whoever learns it: `note_route`, `authenticate` and the handlers.
    let span = tracing::info_span!(
        "request",
        %request_id,
        %method,
        path = Empty,
        tenant = Empty,
        key = Empty,
        resource = Empty,
        records = Empty
    );
    async move {
        let answer = next.run(request).await;
        path.log_without_route();
        let mut response = as_problem(answer, &request_id).await;
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
            headers.insert(REQUEST_ID_HEADER, value);
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        log(&response, started);
        response
    }
    .instrument(span)
    .await
}

/// The path in the request's span, once: as its route allows, or, where no route has it, so much as names nobody.
#[derive(Debug, Clone)]
struct LoggedPath {
    first: Arc<str>,
    logged: Arc<AtomicBool>,
}

impl LoggedPath {
    fn of(path: &str) -> Self {
        let rest = path.strip_prefix('/').unwrap_or(path);
        let first = match rest.split_once('/') {
            Some((first, _)) => format!("/{}/…", shortened(first)),
            None => format!("/{}", shortened(rest)),
        };
        Self { first: first.into(), logged: Arc::default() }
    }

    fn log(&self, path: &str) {
        if !self.logged.swap(true, Ordering::Relaxed) {
            Span::current().record("path", path);
        }
    }

    fn log_without_route(&self) {
        self.log(&self.first);
    }
}

/// Tells the request's span its path, now that there is a route which says what of it names people.
async fn note_route(route: MatchedPath, request: Request, next: Next) -> Response {
    if let Some(logged) = request.extensions().get::<LoggedPath>() {
        let path = request.uri().path();
        if PERSONAL.iter().any(|name| route.as_str().contains(name)) {
            let parts = route.as_str().split('/').zip(path.split('/'));
            let shown: Vec<&str> =
                parts.map(|(name, part)| if PERSONAL.contains(&name) { name } else { part }).collect();
            logged.log(shortened(&shown.join("/")));
        } else {
            logged.log(shortened(path));
        }
    }
    next.run(request).await
}

fn shortened(path: &str) -> &str {
    path.char_indices().nth(LOGGED_PATH).map_or(path, |(end, _)| path.get(..end).unwrap_or_default())
}

fn log(response: &Response, started: Instant) {
    let status = response.status().as_u16();
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    // The kind alone: a detail may repeat what the caller sent.
    let problem = response.extensions().get::<Problem>().map_or("none", |problem| problem.kind().as_str());
    if response.status().is_server_error() {
        tracing::warn!(status, milliseconds, problem, "request failed");
    } else {
        tracing::info!(status, milliseconds, problem, "request answered");
    }
}

/// The caller's id if it sent exactly one and it is valid; else a new one.
fn request_id(headers: &HeaderMap) -> Result<RequestId, InvalidIdentifier> {
    let mut sent = headers.get_all(REQUEST_ID_HEADER).iter();
    let valid = sent.next().and_then(|value| RequestId::parse(value.to_str().ok()?).ok());
    match (valid, sent.next()) {
        (Some(valid), None) => Ok(valid),
        _ => RequestId::parse(&Uuid::now_v7().to_string()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that the panic layer asks for")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(message, "a handler panicked");
    Problem::internal().into_response()
}

/// Every error as a problem with the request's id: a handler's own, or one made from what the framework answered.
/// A handler's error in another JSON form is left as it is (RFC 6749 has its own for tokens).
async fn as_problem(response: Response, request_id: &RequestId) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let problem = match parts.extensions.remove::<Problem>() {
        Some(problem) => problem,
        None if is_json(&parts.headers) => return Response::from_parts(parts, body),
        None => framework_problem(status, &parts.headers, body).await,
    };
    let answer = problem.with_request_id(request_id.clone()).into_response();
    let (problem_parts, problem_body) = answer.into_parts();
    // A handler may have put headers beside the problem; only those of the former body go.
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.extend(problem_parts.headers);
    parts.status = problem_parts.status;
    parts.extensions.extend(problem_parts.extensions);
    Response::from_parts(parts, problem_body)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

/// The problem for what axum itself refused: no route, another method, or an extractor's rejection, whose text says why.
async fn framework_problem(status: StatusCode, headers: &HeaderMap, body: Body) -> Problem {
    match ProblemKind::of_status(status) {
        ProblemKind::NotFound => Problem::not_found("there is nothing at this path; /openapi.json lists what there is"),
        ProblemKind::MethodNotAllowed => {
            let allowed = headers.get(ALLOW).and_then(|value| value.to_str().ok()).unwrap_or_default();
            Problem::method_not_allowed(allowed.replace(',', ", "))
        }
        ProblemKind::Internal => Problem::internal(),
        kind => {
            let text = Limited::new(body, REJECTION).collect().await.map(Collected::to_bytes);
            let reason = text.ok().and_then(|bytes| String::from_utf8(bytes.into()).ok()).unwrap_or_default();
            Problem::new(kind, if reason.is_empty() { "the request can't be understood".to_owned() } else { reason })
        }
    }
}
