//! A tenant with a database of a real-time table, and what runs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use freshet_catalog::{Catalog, Precondition, TenantCatalog};
use freshet_database::{DatabaseReader, DatabaseTables, ExternalFiles};
use freshet_model::{Definition, IndexId, ResourceKind, ResourceName, TenantId};
use freshet_profile::{IndexRef, ProfileIndexes};
use freshet_query::{EngineSettings, JsonObjects, Parameters, Query, QueryEngine, QueryError, parse_select};
use freshet_refresh::Refresher;
use freshet_runs::{Run, RunKind, Runs, Subject, Trigger};
use freshet_store::{RedbStore, Store};
use freshet_table::{Merge, Slice, TableKind, TableSpec, Tables, table_path};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

pub(crate) const MEMORY: usize = 64 << 20;

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

pub(crate) fn noon() -> Timestamp {
    "2026-06-14T12:00:00Z".parse().unwrap()
}

/// Everything that a deployment keeps.
pub(crate) struct Scene {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) files: Arc<dyn ObjectStore>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) directory: TempDir,
    memory: usize,
}

/// What of it one process works with.
pub(crate) struct Process {
    pub(crate) refresher: Refresher,
    pub(crate) runs: Runs,
    pub(crate) reader: Arc<DatabaseReader>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with_memory(MEMORY).await
    }

    pub(crate) async fn with_memory(memory: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(&directory.path().join("store.redb")).unwrap());
        let place = directory.path().join("files");
        std::fs::create_dir(&place).unwrap();
        let files: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(place).unwrap());
        let catalog = Arc::new(Catalog::new(Arc::clone(&store)));
        let scene = Self { store, files, catalog, directory, memory };
        scene.put(ResourceKind::Streams, "orders", json!({"format": "json"})).await;
        scene.put(ResourceKind::Databases, "retail", json!({})).await;
        let columns = json!([
            {"name": "order_id", "type": "integer"},
            {"name": "email", "type": "string"},
            {"name": "revenue", "type": "decimal(10,2)"},
            {"name": "day", "type": "date"},
            {"name": "paid", "type": "boolean"},
            {"name": "items", "type": "json"},
        ]);
        let table = json!({"stream": "orders", "databases": ["retail"], "key": ["order_id"], "columns": columns});
        scene.put(ResourceKind::Tables, "orders", table).await;
        scene
    }

    pub(crate) async fn put(&self, kind: ResourceKind, name: &str, definition: Value) {
        let definition = Definition::read(kind, "", &definition).unwrap();
        self.catalog.put(&tenant(), kind, name, definition, Precondition::None, noon()).await.unwrap();
    }

    /// The database with these tables made by SQL.
    pub(crate) async fn define(&self, tables: &[(&str, &str)]) {
        let tables: Vec<Value> = tables.iter().map(|(name, sql)| json!({"name": name, "sql": sql})).collect();
        self.put(ResourceKind::Databases, "retail", json!({"tables": tables})).await;
    }

    pub(crate) async fn index(&self, query: &str, key: &str, filters: &[&str]) -> IndexRef {
        let definition = json!({
            "id": "ix-testIndex1", "database": "retail", "query": query, "key": key, "filters": filters, "refresh": "manual",
        });
        self.put(ResourceKind::Indexes, "buyers", definition).await;
        IndexRef { tenant: tenant(), id: IndexId::parse("ix-testIndex1").unwrap() }
    }

    pub(crate) fn process(&self) -> Process {
        self.process_on(Arc::clone(&self.store), Arc::clone(&self.files))
    }

    /// A process whose store and files are these.
    pub(crate) fn process_on(&self, store: Arc<dyn Store>, files: Arc<dyn ObjectStore>) -> Process {
        let tables = Arc::new(Tables::new(Arc::clone(&files), Url::parse("file:///").unwrap()));
        let reader = Arc::new(DatabaseReader::new(tables, ExternalFiles::new(files, [])));
        let refresher = Refresher::new(Arc::clone(&reader), self.engine(), Arc::clone(&store), noon);
        Process { refresher, runs: Runs::new(store), reader }
    }

    /// A process whose clock stands at a time.
    pub(crate) fn process_at(&self, now: Timestamp) -> Process {
        let Process { runs, reader, .. } = self.process();
        let refresher = Refresher::new(Arc::clone(&reader), self.engine(), Arc::clone(&self.store), move || now);
        Process { refresher, runs, reader }
    }

    fn engine(&self) -> QueryEngine {
        QueryEngine::new(EngineSettings {
            threads: 2,
            memory_bytes: self.memory,
            spill_directory: self.directory.path().join("spill"),
            spill_bytes: 4 << 30,
        })
        .unwrap()
    }

    pub(crate) async fn definitions(&self) -> Arc<TenantCatalog> {
        self.catalog.snapshot(&tenant()).await.unwrap()
    }

    /// Writes orders, each with its number, as the writer does.
    pub(crate) async fn write(&self, numbers: std::ops::Range<i64>, first_offset: u64) {
        let definitions = self.definitions().await;
        let table = definitions.table("orders").unwrap();
        let schema = freshet_decode::table_schema(&table.definition);
        let spec = TableSpec {
            schema: schema.clone(),
            kind: TableKind::Upsert { key: vec!["order_id".to_owned()], order_by: None, merge: Merge::Replace },
        };
        let tables = Tables::new(Arc::clone(&self.files), Url::parse("file:///").unwrap());
        let open = tables.open_or_create(&table_path(&tenant(), &table.name), &spec).await.unwrap();
        let count = numbers.clone().count();
        let time = |micros: i64| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(vec![micros; count]).with_timezone("UTC"))
        };
        let texts = |make: fn(i64) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(numbers.clone().map(make)))
        };
        let revenue = Decimal128Array::from_iter_values(numbers.clone().map(|number| i128::from(number * 150)));
        let offsets = first_offset..first_offset + count as u64;
        let columns: Vec<ArrayRef> = schema
            .fields()
            .iter()
            .map(|field| -> ArrayRef {
                match field.name().as_str() {
                    "order_id" => Arc::new(Int64Array::from_iter_values(numbers.clone())),
                    "email" => texts(|number| format!("buyer{}@example.com", number % 10)),
                    "revenue" => Arc::new(revenue.clone().with_precision_and_scale(10, 2).unwrap()),
                    "day" => Arc::new(Date32Array::from_iter_values(
                        numbers.clone().map(|number| 20_000 + i32::try_from(number % 5).unwrap()),
                    )),
                    "paid" => Arc::new(numbers.clone().map(|number| Some(number % 2 == 0)).collect::<BooleanArray>()),
                    "items" => texts(|number| format!("[{{\"sku\": \"s{number}\"}}]")),
                    "received_at" | "written_at" => time(1),
                    "request_id" => texts(|_| "r".to_owned()),
                    "_partition" => Arc::new(Int32Array::from(vec![0; count])),
                    "_offset" => Arc::new(Int64Array::from_iter_values(
                        offsets.clone().map(|offset| i64::try_from(offset).unwrap()),
                    )),
                    other => panic!("{other}"),
                }
            })
            .collect();
        let rows = RecordBatch::try_new(schema, columns).unwrap();
        let slice = Slice {
            partition: 0,
            row_offsets: offsets.clone().collect(),
            offsets,
            rows,
            deletes: None,
            absent: BTreeMap::new(),
        };
        open.write("records", vec![slice]).await.unwrap();
    }

    /// The rows of a query, as JSON.
    pub(crate) async fn rows(&self, sql: &str) -> Result<Vec<Value>, String> {
        let process = self.process();
        let definitions = self.definitions().await;
        let tables = DatabaseTables::of(&definitions, "retail").unwrap();
        let select = parse_select(sql).unwrap();
        let named = tables.named(&select).map_err(|error| error.to_string())?;
        let opened = process.reader.open(&tables, &named).await.map_err(|error| error.to_string())?;
        let query = Query {
            select,
            parameters: Parameters::default(),
            tables: opened.into_iter().map(|open| open.table).collect(),
            limit: None,
            sorted_by_text: None,
            timeout: std::time::Duration::from_mins(1),
            as_of: noon(),
        };
        let engine = self.engine();
        let rows = engine.start(query, ()).await.map_err(|error: QueryError| error.to_string())?;
        let objects = JsonObjects::of(&rows.columns).unwrap();
        let batches: Vec<_> = rows.collect().await;
        let mut values = Vec::new();
        for batch in batches {
            let batch = batch.map_err(|error| error.to_string())?;
            for row in 0..batch.num_rows() {
                let mut body = Vec::new();
                objects.rows(&batch).write(row, &mut body).unwrap();
                values.push(serde_json::from_slice(&body).unwrap());
            }
        }
        Ok(values)
    }

    /// Every profile of the index, by id.
    pub(crate) async fn profiles(&self, index: &IndexRef) -> Result<Vec<(String, String)>, String> {
        let indexes = ProfileIndexes::new(Arc::clone(&self.store));
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page =
                indexes.page(index, &[], after.as_deref(), 1_000).await.map_err(|error| error.to_string())?.value;
            all.extend(page.profiles.into_iter().map(|profile| (profile.id, profile.attributes.get().to_owned())));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }
}

impl Process {
    /// Asks for a run and does it, as a runner would; fails where the process dies.
    pub(crate) async fn run(&self, scene: &Scene, kind: RunKind, now: Timestamp) -> Result<Run, String> {
        let name = if kind == RunKind::Databases { "retail" } else { "buyers" };
        let of = Subject { tenant: tenant(), kind, name: ResourceName::parse(name).unwrap() };
        let text = |error: &dyn std::error::Error| error.to_string();
        let trigger = Trigger::Manual { by: "test".to_owned() };
        self.runs.start(&of, trigger, now).await.map_err(|error| text(&error))?;
        let claim =
            self.runs.claim("runner", SignedDuration::from_secs(60), now).await.map_err(|error| text(&error))?;
        let claim = claim.ok_or("nothing to claim")?;
        let definitions = scene.definitions().await;
        let outcome = match kind {
            RunKind::Databases => self.refresher.run_database(&definitions, &of.name, &claim).await,
            RunKind::Indexes => {
                let index = definitions.index("buyers").unwrap().clone();
                self.refresher.run_index(&definitions, &index, &claim).await
            }
            RunKind::Activations => return Err("a refresher runs no activations".to_owned()),
        };
        let result = outcome.map_err(|error| text(&error))?.ok_or(None);
        claim.finish(result, now).await.map_err(|error| text(&error))
    }
}
