//! `GET /health` and `GET /openapi.json`: what a function says about itself. They need no token and tell nothing of a tenant.

use std::error::Error;
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
/// How long one thing may take to answer before it counts as out of reach: a client that tries again by itself, with ever longer
/// waits between, may take minutes to say so.
const CHECK_TIME_LIMIT: Duration = Duration::from_secs(4);
/// How long `/health` waits for all of its checks.
const HEALTH_TIME_LIMIT: Duration = Duration::from_secs(5);

/// Whether one thing that a function needs can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct HealthCheck {
    /// What: `store`, `queue`, `files`.
    pub name: &'static str,
    /// Whether it answered. Why not is for the log, not for strangers.
    pub reachable: bool,
}

impl HealthCheck {
    /// Whether what `asked` asks answers, and does so within 4 s. Why not goes to the log.
    pub async fn of<T, E: Error + 'static>(name: &'static str, asked: impl Future<Output = Result<T, E>>) -> Self {
        let reachable = match tokio::time::timeout(CHECK_TIME_LIMIT, asked).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn Error, "the {name} can't be reached");
                false
            }
            Err(_elapsed) => {
                tracing::warn!("the {name} can't be reached: no answer within {} s", CHECK_TIME_LIMIT.as_secs());
                false
            }
        };
        Self { name, reachable }
    }
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
