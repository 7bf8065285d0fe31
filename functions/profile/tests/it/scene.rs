//! A tenant with profile indexes, keys of several grants, and requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use freshet_access::{Access, SigningKey};
use freshet_catalog::{ApiKey, Catalog, Precondition};
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

use crate::description::assert_described;
use crate::outage::CutOff;

pub(crate) const INDEX: &str = "ix-customers1";
/// Of the same tenant, over another database.
pub(crate) const OTHER: &str = "ix-partners01";
/// Never refreshed.
pub(crate) const EMPTY: &str = "ix-notbuilt01";
/// Has an index of the same id as [`INDEX`], with the same profiles.
pub(crate) const OTHER_TENANT: &str = "umbrella";

/// The status, type and title of a problem.
pub(crate) type Kind = (u16, &'static str, &'static str);

pub(crate) const BAD: Kind = (400, "bad-request", "the request is not right");
pub(crate) const UNAUTHORIZED: Kind = (401, "unauthorized", "a valid bearer token is needed");
pub(crate) const FORBIDDEN: Kind = (403, "forbidden", "the token doesn't allow this");
pub(crate) const MISSING: Kind = (404, "not-found", "there is no such thing");
pub(crate) const TOO_LARGE: Kind = (413, "too-large", "a limit is exceeded");
pub(crate) const UNSUPPORTED: Kind = (415, "unsupported-media-type", "the content's type or encoding is not supported");
pub(crate) const UNAVAILABLE: Kind = (503, "unavailable", "not available at the moment");

/// Every call that the function answers, for what is there: a path, and the body of those that are posted.
pub(crate) const EVERY_CALL: [(&str, Option<&str>); 7] = [
    ("/api/indexes", None),
    ("/api/indexes/ix-customers1", None),
    ("/api/indexes/ix-customers1/profiles?filter[city]=Oslo&limit=2&with_total=true", None),
    ("/api/indexes/ix-customers1/profiles/c-007", None),
    ("/api/indexes/ix-customers1/profiles:batchGet", Some(r#"{"ids": ["c-007", "c-008"]}"#)),
    ("/api/attribute/v0/indexes/ix-customers1?key=c-007&all_matches=true", None),
    ("/api/attribute/v0/indexes/ix-customers1", Some(r#"{"key": "c-007"}"#)),
];

#[derive(Debug, Clone, Copy)]
pub(crate) enum Platform {
    Redb,
    DynamoDb,
}

pub(crate) struct Scene {
    store: Arc<CutOff>,
    catalog: Arc<Catalog>,
    access: Arc<Access>,
    router: Router,
    /// What the function says of itself.
    pub(crate) api: Value,
    /// Whose indexes are asked for.
    pub(crate) tenant: TenantId,
    /// May read every index.
    pub(crate) token: String,
    _directory: TempDir,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    async fn of(router: &Router, request: Request<Body>) -> Self {
        let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(crate) fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// That the answer is this problem, to the last member.
    pub(crate) fn assert_problem(&self, (status, kind, title): Kind, detail: &str) {
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
        let store = Arc::new(CutOff::new(store));
        let catalog = Arc::new(Catalog::new(Arc::clone(&store) as Arc<dyn Store>));
        let signing_key = SigningKey::generate().unwrap();
        let access = Arc::new(Access::new(Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&catalog), signing_key));
        let clock = Clock::from_fn(noon);
        let context =
            ProfileContext::new(Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&catalog), Arc::clone(&access), clock);
        let router = router(Arc::new(context.unwrap()));
        let api = Request::get("/openapi.json").body(Body::empty()).unwrap();
        let api = Answer::of(&router, api).await.body();
        let tenant = TenantId::parse("acme").unwrap();
        let token = String::new();
        let mut scene = Self { store, catalog, access, router, api, tenant, token, _directory: directory };
        scene.define_indexes().await;
        scene.token = scene.key("site", json!({"scopes": ["profiles:read"]})).await;
        scene.refresh(INDEX, (0..30).map(customer).collect()).await;
        scene.refresh(OTHER, vec![customer(7)]).await;
        scene
    }

    async fn define_indexes(&self) {
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
            self.catalog.put(&self.tenant, kind, name, definition, Precondition::None, noon()).await.unwrap();
        }
    }

    /// From now on another tenant asks, whose indexes have the same ids and profiles.
    pub(crate) async fn become_other_tenant(&mut self) {
        self.tenant = TenantId::parse(OTHER_TENANT).unwrap();
        self.define_indexes().await;
        self.token = self.key("site", json!({"scopes": ["profiles:read"]})).await;
        self.refresh(INDEX, (0..30).map(customer).collect()).await;
    }

    /// From now on the store can't be reached.
    pub(crate) fn cut_off(&self) {
        self.store.is_away.store(true, Ordering::SeqCst);
    }

    /// Makes a key and answers with a token of it.
    pub(crate) async fn key(&self, name: &str, definition: Value) -> String {
        let definition = ApiKeyDefinition::read("", &definition).unwrap();
        let made = self.access.create_key(&self.tenant, name, definition, noon()).await.unwrap();
        self.issue(&made.key, noon())
    }

    /// A token of a key that was issued at a time, and is valid for an hour from then on.
    fn issue(&self, key: &ApiKey, issued_at: Timestamp) -> String {
        let (scopes, end) = (&key.definition.scopes, issued_at + SignedDuration::from_hours(1));
        self.access.issue(&self.tenant, key, scopes, end, issued_at).unwrap().expose_secret().to_owned()
    }

    /// A token that was valid until now.
    pub(crate) async fn expired_token(&self) -> String {
        let definition = ApiKeyDefinition::read("", &json!({"scopes": ["profiles:read"]})).unwrap();
        let made = self.access.create_key(&self.tenant, "late", definition, noon()).await.unwrap();
        self.issue(&made.key, noon() - SignedDuration::from_hours(1))
    }

    pub(crate) async fn revoke(&self, key: &str) {
        self.access.revoke(&self.tenant, key, Precondition::None, noon()).await.unwrap();
    }

    /// Makes an index hold rows, which come in the order of their ids.
    pub(crate) async fn refresh(&self, index: &str, rows: Vec<ProfileRow>) {
        self.refresh_as_of(index, rows, noon()).await;
    }

    pub(crate) async fn refresh_as_of(&self, index: &str, rows: Vec<ProfileRow>, as_of: Timestamp) {
        let index = IndexRef { tenant: self.tenant.clone(), id: IndexId::parse(index).unwrap() };
        let shape = Shape::of("retail", "SELECT * FROM t", "customer_id", ["city", "tier", "vip"]).unwrap();
        let rows = stream::iter(rows.into_iter().map(Ok::<_, Infallible>));
        refresh(&*self.store, &index, &shape, rows, as_of, &noon).await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path, Body::empty())).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request_with_json(path, body.to_string())).await
    }

    pub(crate) fn request_with_json(&self, path: &str, body: impl Into<Body>) -> Request<Body> {
        let mut request = self.request(Method::POST, path, body.into());
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        request
    }

    /// Every call that the function answers, as [`EVERY_CALL`] has them.
    pub(crate) fn every_request(&self) -> Vec<Request<Body>> {
        let request = |(path, body): &(&str, Option<&'static str>)| match body {
            Some(body) => self.request_with_json(path, *body),
            None => self.request(Method::GET, path, Body::empty()),
        };
        EVERY_CALL.iter().map(request).collect()
    }

    pub(crate) fn request(&self, method: Method, path: &str, body: Body) -> Request<Body> {
        Request::builder()
            .method(method)
            .uri(path)
            .header("x-request-id", "r-1")
            .header("authorization", format!("Bearer {}", self.token))
            .header("x-amperity-tenant", self.tenant.as_str())
            .body(body)
            .unwrap()
    }

    /// Answers a request, and fails where the answer is not as the function describes it.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = Answer::of(&self.router, request).await;
        assert_described(&self.api, &method, &path, &answer);
        answer
    }
}
