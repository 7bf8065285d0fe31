//! A tenant with profile indexes, keys of several grants, and requests.

use std::convert::Infallible;
use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use freshet_access::{Access, SigningKey};
use freshet_catalog::{Catalog, Precondition};
use freshet_function_profile::{ProfileContext, router};
use freshet_model::{ApiKeyDefinition, Definition, IndexId, ResourceKind, TenantId};
use freshet_platform::Clock;
use freshet_profile::{IndexRef, ProfileRow, Shape, refresh};
use freshet_store::{DynamoSettings, DynamoStore, RedbStore, Store};
use freshet_testkit::{MiniStack, random_name};
use futures::stream;
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

pub(crate) const INDEX: &str = "ix-customers1";
/// Of the same tenant, over another database.
pub(crate) const OTHER: &str = "ix-partners01";
/// Never refreshed.
pub(crate) const EMPTY: &str = "ix-notbuilt01";

#[derive(Debug, Clone, Copy)]
pub(crate) enum Platform {
    Redb,
    DynamoDb,
}

pub(crate) struct Scene {
    pub(crate) store: Arc<dyn Store>,
    access: Arc<Access>,
    router: Router,
    /// May read every index.
    pub(crate) token: String,
    _directory: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// That the answer is this problem, to the last member.
    pub(crate) fn assert_problem(&self, status: u16, kind: &str, title: &str, detail: &str) {
        let expected = json!({
            "type": format!("urn:freshet:problem:{kind}"), "title": title, "status": status, "detail": detail, "request_id": "r-1",
        });
        assert_eq!(self.body(), expected);
        assert_eq!(
            (self.status.as_u16(), self.header("content-type"), self.header("x-request-id")),
            (status, "application/problem+json", "r-1")
        );
    }
}

pub(crate) fn noon() -> Timestamp {
    "2026-06-14T12:00:00Z".parse().unwrap()
}

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

pub(crate) fn customer(number: u32) -> ProfileRow {
    let attributes = json!({
        "customer_id": format!("c-{number:03}"), "city": if number.is_multiple_of(2) { "Oslo" } else { "Bergen" }, "tier": number % 3,
        "vip": number.is_multiple_of(5),
    });
    ProfileRow { id: Some(format!("c-{number:03}")), attributes: attributes.to_string() }
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::on(Platform::Redb).await
    }

    pub(crate) async fn on(platform: Platform) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = match platform {
            Platform::Redb => Arc::new(RedbStore::open(&directory.path().join("store.redb")).unwrap()),
            Platform::DynamoDb => {
                let endpoint = MiniStack::shared().await.unwrap().endpoint();
                let settings = DynamoSettings { table: random_name("profiles"), endpoint: Some(endpoint) };
                let credentials = Credentials::new("test", "test", None, None, "tests");
                let config = SdkConfig::builder()
                    .behavior_version(BehaviorVersion::latest())
                    .region(Region::from_static("us-east-1"))
                    .credentials_provider(SharedCredentialsProvider::new(credentials))
                    .build();
                let store = DynamoStore::new(&config, settings);
                store.create_table().await.unwrap();
                Arc::new(store)
            }
        };
        let catalog = Arc::new(Catalog::new(Arc::clone(&store)));
        let external = json!([{"name": "t", "location": "t", "format": "csv"}]);
        let index = |id: &str, database: &str| json!({"id": id, "database": database, "query": "SELECT * FROM t", "key": "customer_id", "filters": ["city", "tier", "vip"], "refresh": "manual", "description": "who buys"});
        for (kind, name, definition) in [
            (ResourceKind::Databases, "retail", json!({ "external": external })),
            (ResourceKind::Databases, "partners", json!({ "external": external })),
            (ResourceKind::Indexes, "customers", index(INDEX, "retail")),
            (ResourceKind::Indexes, "partners", index(OTHER, "partners")),
            (ResourceKind::Indexes, "empty", index(EMPTY, "retail")),
        ] {
            let definition = Definition::read(kind, "", &definition).unwrap();
            catalog.put(&tenant(), kind, name, definition, Precondition::None, noon()).await.unwrap();
        }
        let signing_key = SigningKey::generate().unwrap();
        let access = Arc::new(Access::new(Arc::clone(&store), Arc::clone(&catalog), signing_key));
        let clock = Clock::from_fn(noon);
        let context = ProfileContext::new(Arc::clone(&store), catalog, Arc::clone(&access), clock).unwrap();
        let router = router(Arc::new(context));
        let mut scene = Self { store, access, router, token: String::new(), _directory: directory };
        scene.token = scene.key("site", json!({"scopes": ["profiles:read"]})).await;
        scene.refresh(INDEX, (0..30).map(customer).collect()).await;
        scene.refresh(OTHER, vec![customer(7)]).await;
        scene
    }

    /// Makes a key and answers with a token of it.
    pub(crate) async fn key(&self, name: &str, definition: Value) -> String {
        let definition = ApiKeyDefinition::read("", &definition).unwrap();
        let made = self.access.create_key(&tenant(), name, definition, noon()).await.unwrap();
        let scopes = made.key.definition.scopes.clone();
        let end = noon() + SignedDuration::from_hours(1);
        self.access.issue(&tenant(), &made.key, &scopes, end, noon()).unwrap().expose_secret().to_owned()
    }

    /// Makes an index hold rows, which come in the order of their ids.
    pub(crate) async fn refresh(&self, index: &str, rows: Vec<ProfileRow>) {
        let index = IndexRef { tenant: tenant(), id: IndexId::parse(index).unwrap() };
        let shape = Shape::of("retail", "SELECT * FROM t", "customer_id", ["city", "tier", "vip"]).unwrap();
        let rows = stream::iter(rows.into_iter().map(Ok::<_, Infallible>));
        refresh(&*self.store, &index, &shape, rows, noon(), &noon).await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path, Body::empty())).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let mut request = self.request(Method::POST, path, Body::from(body.to_string()));
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        self.send(request).await
    }

    pub(crate) fn request(&self, method: Method, path: &str, body: Body) -> Request<Body> {
        Request::builder()
            .method(method)
            .uri(path)
            .header("x-request-id", "r-1")
            .header("authorization", format!("Bearer {}", self.token))
            .header("x-amperity-tenant", "acme")
            .body(body)
            .unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }
}
