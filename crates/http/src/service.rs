//! `GET /health` and `GET /openapi.json`: what a function says about itself. They need no token and tell nothing of a tenant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi};

/// How long an answer of `/health` is given again: callers without a token can't make the store and the queue work
/// harder than once in this time.
const HEALTH_KEPT: Duration = Duration::from_secs(1);
/// How long `/health` waits for what it asks.
const HEALTH_TIME_LIMIT: Duration = Duration::from_secs(5);

/// Whether one thing that a function needs can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct HealthCheck {
    /// What: `store`, `queue`, `files`.
    pub name: &'static str,
    /// Whether it answered. Why not is for the log, not for strangers.
    pub reachable: bool,
}

#[derive(Debug, Clone, Serialize)]
struct Health {
    status: &'static str,
    checks: Vec<HealthCheck>,
}

impl Health {
    fn of(checks: Vec<HealthCheck>) -> Self {
        let reachable = checks.iter().all(|check| check.reachable);
        Self { status: if reachable { "ok" } else { "unavailable" }, checks }
    }

    fn response(self) -> Response {
        let status = if self.status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}

/// Says in a document whose routes were gathered by utoipa what it describes, instead of what utoipa says of itself.
pub fn describe(api: &mut OpenApi, title: &str, description: &str) {
    api.info = InfoBuilder::new()
        .title(title)
        .description(Some(description))
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
}

/// `GET /health` (200, or 503 where a check failed; an answer holds for a second) and `GET /openapi.json`.
///
/// `health` asks whatever the function needs; it should log why something is unreachable. After 5 s the answer is 503.
pub fn service_routes<F, Checks>(api: OpenApi, health: F) -> Router
where
    F: Fn() -> Checks + Send + Sync + 'static,
    Checks: Future<Output = Vec<HealthCheck>> + Send,
{
    let kept: Arc<Mutex<Option<(Instant, Health)>>> = Arc::default();
    let ask = Arc::new(health);
    let answer_health = move || {
        let (kept, ask) = (Arc::clone(&kept), Arc::clone(&ask));
        async move {
            // The lock is held while asking, so that a crowd of callers shares one answer.
            let mut last = kept.lock().await;
            if let Some((_, health)) = last.as_ref().filter(|(at, _)| at.elapsed() < HEALTH_KEPT) {
                return health.clone().response();
            }
            let current = match tokio::time::timeout(HEALTH_TIME_LIMIT, ask()).await {
                Ok(checks) => Health::of(checks),
                Err(_elapsed) => Health { status: "unavailable", checks: Vec::new() },
            };
            *last = Some((Instant::now(), current.clone()));
            current.response()
        }
    };
    let document = Arc::new(api);
    let answer_openapi = move || {
        let document = Arc::clone(&document);
        async move { Json(document.as_ref().clone()) }
    };
    Router::new().route("/health", get(answer_health)).route("/openapi.json", get(answer_openapi))
}
