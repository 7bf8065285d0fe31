//! One admin function, and requests to it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use freshet_access::{Access, SigningKey};
use freshet_catalog::Catalog;
use freshet_function_admin::{AdminContext, router};
use freshet_model::{ApiKeyDefinition, TenantId};
use freshet_platform::Clock;
use freshet_queue::{EmbeddedQueue, EmbeddedSettings, Queue};
use freshet_store::{RedbStore, Store};
use freshet_table::Tables;
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use object_store::local::LocalFileSystem;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use url::Url;

pub(crate) const PROBLEM: &str = "application/problem+json";

pub(crate) struct Setup {
    pub(crate) context: Arc<AdminContext>,
    router: Router,
    /// Of the key `ops`, which has the scope `admin`.
    pub(crate) token: String,
    pub(crate) tenant: TenantId,
    _directory: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// That the answer is this problem, to the last member.
    pub(crate) fn assert_problem(&self, status: u16, kind: &str, title: &str, detail: &str, errors: Value) {
        let mut expected = json!({
            "type": format!("urn:freshet:problem:{kind}"), "title": title, "status": status, "detail": detail, "request_id": "r-1",
        });
        if !errors.is_null() {
            expected["errors"] = errors;
        }
        assert_eq!(self.body, expected);
        assert_eq!(
            (self.status.as_u16(), self.header("content-type"), self.header("x-request-id")),
            (status, PROBLEM, "r-1")
        );
    }
}

pub(crate) fn now() -> Timestamp {
    "2026-06-14T00:00:00Z".parse().unwrap()
}

impl Setup {
    pub(crate) async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(&directory.path().join("store.redb")).unwrap());
        let queue: Arc<dyn Queue> = Arc::new(
            EmbeddedQueue::open(EmbeddedSettings {
                path: directory.path().join("queue.redb"),
                topic: "freshet".to_owned(),
                partitions: 4,
                retention: Duration::from_hours(24 * 365 * 100),
                clock: Arc::new(now),
            })
            .await
            .unwrap(),
        );
        let files = directory.path().join("files");
        std::fs::create_dir(&files).unwrap();
        let root = Url::from_directory_path(&files).unwrap();
        let tables = Arc::new(Tables::new(Arc::new(LocalFileSystem::new_with_prefix(&files).unwrap()), root));
        let catalog = Arc::new(Catalog::new(Arc::clone(&store)));
        let access = Arc::new(Access::new(Arc::clone(&store), Arc::clone(&catalog), SigningKey::generate().unwrap()));
        let clock = Clock::from_fn(now);
        let context = Arc::new(AdminContext { store, catalog, access, queue, tables, clock });
        let tenant = TenantId::parse("acme").unwrap();
        let mut setup =
            Self { router: router(Arc::clone(&context)), context, token: String::new(), tenant, _directory: directory };
        setup.token = setup.key("ops", json!({"scopes": ["admin"]})).await;
        setup
    }

    /// Makes a key and answers with a token of it.
    pub(crate) async fn key(&self, name: &str, definition: Value) -> String {
        let definition = ApiKeyDefinition::read("", &definition).unwrap();
        let made = self.context.access.create_key(&self.tenant, name, definition, now()).await.unwrap();
        let scopes = made.key.definition.scopes.clone();
        let end = now() + SignedDuration::from_hours(1);
        let token = self.context.access.issue(&self.tenant, &made.key, &scopes, end, now()).unwrap();
        token.expose_secret().to_owned()
    }

    /// The id of a key.
    pub(crate) async fn id(&self, name: &str) -> String {
        self.context.access.key(&self.tenant, name).await.unwrap().id.to_string()
    }

    /// A request of the admin `ops`.
    pub(crate) fn request(&self, method: Method, path: &str) -> Call<'_> {
        self.anonymous(method, path).header("authorization", &format!("Bearer {}", self.token))
    }

    pub(crate) fn anonymous(&self, method: Method, path: &str) -> Call<'_> {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        Call { setup: self, request }.header("x-request-id", "r-1")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).send().await
    }

    pub(crate) async fn put(&self, path: &str, definition: &Value) -> Answer {
        self.request(Method::PUT, path).json(definition).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::POST, path).json(body).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path).send().await
    }

    /// A stream `orders` with a known id, a database `retail` and a table `orders`.
    pub(crate) async fn with_orders(self) -> Self {
        let answer = self
            .post(
                "/admin/v0/apply",
                &json!({
                    "streams": {"orders": {"id": "is-2hzqsgX1E"}}, "databases": {"retail": {}}, "tables": {"orders": orders_table()},
                }),
            )
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        self
    }
}

pub(crate) fn orders_table() -> Value {
    json!({
        "stream": "orders", "databases": ["retail"], "key": ["order_id"], "start": "beginning",
        "columns": [{"name": "order_id", "type": "string"}],
    })
}

pub(crate) struct Call<'s> {
    setup: &'s Setup,
    request: Request<Body>,
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name: axum::http::HeaderName = name.parse().unwrap();
        self.request.headers_mut().append(name, value.parse().unwrap());
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn body(self, content_type: &str, body: impl Into<Body>) -> Self {
        let mut with_type = self.header("content-type", content_type);
        *with_type.request.body_mut() = body.into();
        with_type
    }

    pub(crate) async fn send(self) -> Answer {
        let response = self.setup.router.clone().oneshot(self.request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: parts.status, headers: parts.headers, body }
    }
}
