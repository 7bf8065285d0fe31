//! A tenant with databases, tables and keys, and queries over them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use axum::response::Response;
use bytes::Bytes;
use freshet_access::{Access, SigningKey};
use freshet_catalog::{Catalog, Precondition};
use freshet_database::{DatabaseReader, ExternalFiles};
use freshet_decode::{Decoder, failed_rows, failed_schema};
use freshet_function_query::{QueryContext, QueryLimits, SqlAnswer, StoredAnswers, router};
use freshet_http::read_body;
use freshet_model::{
    ApiKeyDefinition, Definition, PayloadFormat, Position, QueuedRecord, Record, RecordHeaders, RequestId,
    ResourceKind, ResourceName, Scope, StreamId, TableName, TenantId,
};
use freshet_platform::Clock;
use freshet_platform::files::DurableDirectory;
use freshet_store::RedbStore;
use freshet_table::{Merge, Slice, TableKind, TableSpec, Tables, failed_table_path, table_path};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tower::ServiceExt;
use url::Url;

use crate::files::Faulty;

/// Tenant `acme` with databases `retail` and `finance`. Time stands still until a test moves it.
pub(crate) struct Scene {
    pub(crate) router: Router,
    /// A token of key `analyst`, which may query every database.
    pub(crate) analyst: String,
    /// A token of key `narrow`, which may query `retail` alone.
    pub(crate) narrow: String,
    /// A token of key `shop`, which may only write to streams.
    pub(crate) shop: String,
    pub(crate) files: Arc<Faulty>,
    pub(crate) catalog: Arc<Catalog>,
    tables: Arc<Tables>,
    time: Arc<Mutex<Timestamp>>,
    directory: tempfile::TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with_limits(|limits| limits).await
    }

    pub(crate) async fn with_limits(change: impl FnOnce(QueryLimits) -> QueryLimits) -> Self {
        Self::with(change, None).await
    }

    /// Behind a gateway, unless that is changed, with tables `orders` (three rows, one failed) and `Visits` (nothing written) in
    /// `retail`, and `ledger` in `finance`.
    pub(crate) async fn with(
        change: impl FnOnce(QueryLimits) -> QueryLimits,
        stored_answers: Option<StoredAnswers>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(RedbStore::open(&directory.path().join("store")).unwrap());
        let catalog = Arc::new(Catalog::new(Arc::clone(&store) as _));
        let access =
            Arc::new(Access::new(Arc::clone(&store) as _, Arc::clone(&catalog), SigningKey::generate().unwrap()));
        let time = Arc::new(Mutex::new(noon()));
        let place = directory.path().join("files");
        let files = Arc::new(Faulty::over(Arc::new(DurableDirectory::open(&place).unwrap())));
        let root = Url::from_directory_path(&place).unwrap();
        let tables = Arc::new(Tables::new(Arc::clone(&files) as _, root));
        for (kind, name, definition) in [
            (ResourceKind::Streams, "orders", json!({"id": "is-0rders001"})),
            (ResourceKind::Databases, "retail", json!({})),
            (ResourceKind::Databases, "finance", json!({})),
            (ResourceKind::Tables, "orders", orders()),
            (
                ResourceKind::Tables,
                "Visits",
                json!({
                    "stream": "orders", "databases": ["retail"], "mode": "append",
                    "columns": [{"name": "Visitor", "type": "string"}, {"name": "seen_at", "type": "timestamp"}],
                }),
            ),
            (
                ResourceKind::Tables,
                "ledger",
                json!({
                    "stream": "orders", "databases": ["finance"], "mode": "append", "columns": [{"name": "amount", "type": "decimal(18,2)"}],
                }),
            ),
        ] {
            let definition = Definition::read(kind, "", &definition).unwrap();
            catalog.put(&tenant(), kind, name, definition, Precondition::None, noon()).await.unwrap();
        }
        let retail_alone = Some(vec![ResourceName::parse("retail").unwrap()]);
        let analyst = token(&access, &catalog, "analyst", Scope::TablesQuery, None).await;
        let narrow = token(&access, &catalog, "narrow", Scope::TablesQuery, retail_alone).await;
        let shop = token(&access, &catalog, "shop", Scope::StreamsWrite, None).await;
        let moved = Arc::clone(&time);
        let clock = Clock::from_fn(move || *moved.lock().unwrap());
        let limits = change(QueryLimits::behind_gateway(directory.path()));
        let external = ExternalFiles::new(Arc::clone(&files) as _, []);
        let reader = Arc::new(DatabaseReader::new(Arc::clone(&tables), external));
        let context = QueryContext::new(store, Arc::clone(&catalog), access, reader, clock, limits, stored_answers);
        let context = context.unwrap();
        let scene =
            Self { router: router(Arc::new(context)), analyst, narrow, shop, files, catalog, tables, time, directory };
        scene
            .write("orders", 0, &[
                json!({"order_id": "a-1", "email": "ann@example.com", "revenue": "79.99", "ordered_at": "2026-06-14T00:24:16Z", "items": [{"sku": "x"}]}),
                json!({"order_id": "a-2", "email": "bob@example.com", "revenue": "2500315.63", "ordered_at": "2026-06-14T01:00:00Z"}),
                json!({"order_id": "a-3", "email": null, "revenue": "0.01", "ordered_at": "2026-06-14T02:00:00Z"}),
                json!({"order_id": "a-4", "revenue": "much"}),
            ])
            .await;
        scene
    }

    /// Writes records to a table as the writer does, beginning at an offset.
    pub(crate) async fn write(&self, table: &str, offset: u64, payloads: &[Value]) {
        let name = TableName::parse(table).unwrap();
        let snapshot = self.catalog.snapshot(&tenant()).await.unwrap();
        let definition = &snapshot.table(table).unwrap().definition;
        let records: Vec<QueuedRecord> =
            (offset..).zip(payloads).map(|(offset, payload)| queued(offset, payload)).collect();
        let decoder = Decoder::new(definition);
        let outcome = decoder.decode(&records, noon()).unwrap();
        let offsets = offset..offset + payloads.len() as u64;
        let key: Vec<String> = definition.key.iter().map(ToString::to_string).collect();
        let kind = if key.is_empty() {
            TableKind::Append
        } else {
            TableKind::Upsert { key, order_by: None, merge: Merge::Replace }
        };
        let spec = TableSpec { schema: Arc::clone(decoder.schema()), kind };
        let opened = self.tables.open_or_create(&table_path(&tenant(), &name), &spec).await.unwrap();
        let slice = Slice {
            partition: 0,
            offsets: offsets.clone(),
            rows: outcome.rows,
            row_offsets: outcome.row_offsets,
            deletes: outcome.deletes,
            absent: outcome.absent,
        };
        opened.write("topic", vec![slice]).await.unwrap();
        if !outcome.failed.is_empty() {
            let spec = TableSpec { schema: failed_schema(), kind: TableKind::Append };
            let opened = self.tables.open_or_create(&failed_table_path(&tenant(), &name), &spec).await.unwrap();
            let rows = failed_rows("topic", &outcome.failed, noon()).unwrap();
            let row_offsets = outcome.failed.iter().map(|row| row.position.offset).collect();
            let slice = Slice { partition: 0, offsets, rows, row_offsets, deletes: None, absent: BTreeMap::new() };
            opened.write("topic", vec![slice]).await.unwrap();
        }
    }

    /// Makes or changes a table.
    pub(crate) async fn put_table(&self, name: &str, definition: &Value) {
        self.put(ResourceKind::Tables, name, definition).await;
    }

    /// Makes or changes a resource.
    pub(crate) async fn put(&self, kind: ResourceKind, name: &str, definition: &Value) {
        let definition = Definition::read(kind, "", definition).unwrap();
        let tenant = tenant();
        self.catalog.put(&tenant, kind, name, definition, Precondition::None, noon()).await.unwrap();
    }

    /// Puts a file among the tenant's external files.
    pub(crate) fn external(&self, name: &str, content: &str) {
        let folder = self.path("files/external/acme");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), content).unwrap();
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.time.lock().unwrap() += by;
    }

    /// The directory that nothing told to a caller may name.
    pub(crate) fn directory(&self) -> String {
        self.directory.path().display().to_string()
    }

    /// A place in that directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The rows of a right query over `retail`.
    pub(crate) async fn rows(&self, sql: &str) -> Value {
        let answer = Call::new(self).sql(sql).send(self).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.json());
        json!(answer.rows().rows)
    }
}

/// The definition of table `orders`.
pub(crate) fn orders() -> Value {
    json!({
        "stream": "orders", "databases": ["retail"], "key": ["order_id"],
        "columns": [
            {"name": "order_id", "type": "string"}, {"name": "email", "type": "string"},
            {"name": "revenue", "type": "decimal(18,2)"}, {"name": "ordered_at", "type": "timestamp"},
            {"name": "items", "type": "json"},
        ],
    })
}

/// When every test begins.
pub(crate) fn noon() -> Timestamp {
    "2026-06-14T12:00:00Z".parse().unwrap()
}

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn queued(offset: u64, payload: &Value) -> QueuedRecord {
    let headers = RecordHeaders {
        tenant: tenant(),
        stream: StreamId::parse("is-0rders001").unwrap(),
        received_at: noon(),
        request_id: RequestId::parse("r-0").unwrap(),
        index: u32::try_from(offset).unwrap(),
        format: PayloadFormat::Json,
    };
    let record = Record { headers, payload: Bytes::from(payload.to_string()) };
    QueuedRecord { position: Position { partition: 0, offset }, record }
}

/// A token, valid for an hour, of a new key with one scope.
async fn token(
    access: &Access,
    catalog: &Catalog,
    name: &str,
    scope: Scope,
    databases: Option<Vec<ResourceName>>,
) -> String {
    let definition = ApiKeyDefinition { scopes: vec![scope], streams: None, databases, indexes: None };
    access.create_key(&tenant(), name, definition, noon()).await.unwrap();
    let snapshot = catalog.snapshot(&tenant()).await.unwrap();
    let key = snapshot.api_key(name).unwrap();
    let expires_at = noon() + SignedDuration::from_hours(1);
    access.issue(&tenant(), key, &[scope], expires_at, noon()).unwrap().expose_secret().to_owned()
}

/// A call that is right, unless it is changed: `SELECT 1` over `retail` with request id `r-1`.
pub(crate) struct Call {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Value,
    raw: Option<String>,
}

impl Call {
    pub(crate) fn new(scene: &Scene) -> Self {
        let right = Self {
            method: Method::POST,
            path: "/query/v0/sql".to_owned(),
            headers: Vec::new(),
            body: json!({"database": "retail", "sql": "SELECT 1"}),
            raw: None,
        };
        right
            .with("authorization", &format!("Bearer {}", scene.analyst))
            .with("content-type", "application/json")
            .with("x-request-id", "r-1")
    }

    pub(crate) fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    pub(crate) fn path(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        let mut call = self.without(name);
        call.headers.push((name.to_owned(), value.to_owned()));
        call
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    pub(crate) fn sql(self, sql: &str) -> Self {
        self.field("sql", json!(sql))
    }

    pub(crate) fn field(mut self, name: &str, value: Value) -> Self {
        self.body[name] = value;
        self
    }

    /// With this text in place of a body.
    pub(crate) fn raw(self, body: &str) -> Self {
        Self { raw: Some(body.to_owned()), ..self }
    }

    pub(crate) async fn send(self, scene: &Scene) -> Reply {
        let (parts, body) = self.answer(scene).await.into_parts();
        let body = read_body(body, 64 << 20).await.unwrap();
        let text = String::from_utf8_lossy(&body);
        assert!(!text.contains(&scene.directory()), "no path of the server's in a body: {text}");
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// For an answer that breaks off: its status, and why.
    pub(crate) async fn send_broken(self, scene: &Scene) -> (u16, String) {
        let (parts, body) = self.answer(scene).await.into_parts();
        let mut pieces = body.into_data_stream();
        let error = loop {
            match pieces.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("the answer is whole"),
            }
        };
        (parts.status.as_u16(), error.to_string())
    }

    async fn answer(self, scene: &Scene) -> Response {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let body = Body::from(self.raw.unwrap_or_else(|| self.body.to_string()));
        scene.router.clone().oneshot(request.body(body).unwrap()).await.unwrap()
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The answer in the shape that its description has.
    pub(crate) fn rows(&self) -> SqlAnswer {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// That this is exactly this problem, of request `r-1`.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, detail: &str) {
        let (kind, title) = match status {
            400 => ("bad-request", "the request is not right"),
            401 => ("unauthorized", "a valid bearer token is needed"),
            403 => ("forbidden", "the token doesn't allow this"),
            404 => ("not-found", "there is no such thing"),
            405 => ("method-not-allowed", "the method is not allowed here"),
            406 => ("not-acceptable", "there is no such format here"),
            408 => ("timeout", "it took too long"),
            413 => ("too-large", "a limit is exceeded"),
            415 => ("unsupported-media-type", "the content's type or encoding is not supported"),
            503 => ("unavailable", "not available at the moment"),
            _ => panic!("no problem is expected with status {status}"),
        };
        let expected = json!({
            "type": format!("urn:freshet:problem:{kind}"), "title": title, "status": status, "detail": detail, "request_id": "r-1",
        });
        assert_eq!((self.status, self.json()), (status, expected));
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("x-request-id"), Some("r-1"));
        assert_eq!(self.header("www-authenticate"), (status == 401).then_some("Bearer"));
        assert_eq!(self.header("retry-after").is_some(), status == 503);
    }
}
