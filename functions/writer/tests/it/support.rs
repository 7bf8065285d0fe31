//! A world of one tenant: a stream `orders`, a queue, a store, tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use datafusion::prelude::SessionContext;
use freshet_catalog::{Catalog, Precondition};
use freshet_function_writer::WriterContext;
use freshet_model::{
    Definition, PayloadFormat, QueuedRecord, Record, RecordHeaders, RequestId, ResourceKind, StreamId, TenantId,
};
use freshet_platform::{Clock, Services, Settings};
use freshet_queue::{PartitionBatch, Queue, ReadLimit, Shard};
use freshet_table::Tables;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) struct World {
    pub(crate) services: Services,
    pub(crate) stream: StreamId,
    format: PayloadFormat,
    _directory: tempfile::TempDir,
}

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(PayloadFormat::Json).await
    }

    /// Where the stream is one of a format.
    pub(crate) async fn of(format: PayloadFormat) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let services = open(directory.path()).await;
        let definition = json!({"id": "is-000000001", "format": format});
        put(&services.catalog, ResourceKind::Streams, "orders", &definition).await;
        Self { services, stream: StreamId::parse("is-000000001").unwrap(), format, _directory: directory }
    }

    /// A writer of its own, as another process would have: nothing warm is shared.
    pub(crate) fn writer(&self) -> WriterContext {
        let tables = Arc::new(Tables::new(Arc::clone(&self.services.files), self.services.root.clone()));
        WriterContext::new(
            Arc::clone(&self.services.queue),
            Arc::clone(&self.services.store),
            Arc::new(Catalog::new(Arc::clone(&self.services.store))),
            tables,
            self.services.clock.clone(),
        )
    }

    /// Makes or changes a table of `id`, `version` and `note`.
    pub(crate) async fn table(&self, name: &str, more: &Value) {
        let mut definition = json!({
            "stream": "orders", "key": ["id"], "order_by": "version", "start": "beginning",
            "columns": [{"name": "id", "type": "string"}, {"name": "version", "type": "integer"}, {"name": "note", "type": "string"}],
        });
        for (field, value) in more.as_object().unwrap() {
            definition[field] = value.clone();
        }
        put(&self.services.catalog, ResourceKind::Tables, name, &definition).await;
    }

    pub(crate) async fn append(&self, payloads: &[Value]) -> Vec<QueuedRecord> {
        let records: Vec<Record> = payloads.iter().enumerate().map(|(at, payload)| self.record(at, payload)).collect();
        let shard = Shard { tenant: tenant(), stream: self.stream.clone(), shard: 0 };
        let positions = self.services.queue.append(&shard, records.clone()).await.unwrap();
        positions.into_iter().zip(records).map(|(position, record)| QueuedRecord { position, record }).collect()
    }

    fn record(&self, index: usize, payload: &Value) -> Record {
        let headers = RecordHeaders {
            tenant: tenant(),
            stream: self.stream.clone(),
            received_at: self.services.clock.now(),
            request_id: RequestId::parse("r-1").unwrap(),
            index: u32::try_from(index).unwrap(),
            format: self.format,
        };
        Record { headers, payload: Bytes::from(payload.as_str().map_or_else(|| payload.to_string(), str::to_owned)) }
    }

    /// `id` → `version` of a table, read by a reader of its own.
    pub(crate) async fn rows(&self, table: &str) -> BTreeMap<String, Vec<i64>> {
        let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for batch in self.select(table, "id, version").await {
            let (ids, versions) = (batch.column(0).as_string_view(), batch.column(1).as_primitive::<Int64Type>());
            for row in 0..batch.num_rows() {
                found.entry(ids.value(row).to_owned()).or_default().push(versions.value(row));
            }
        }
        for versions in found.values_mut() {
            versions.sort_unstable();
        }
        found
    }

    /// `id` → `version` and `note` of a table that has each id once.
    pub(crate) async fn notes(&self, table: &str) -> BTreeMap<String, (i64, String)> {
        let what = "arrow_cast(id, 'Utf8View'), version, arrow_cast(note, 'Utf8View')";
        let mut found = BTreeMap::new();
        for batch in self.select(table, what).await {
            let (ids, notes) = (batch.column(0).as_string_view(), batch.column(2).as_string_view());
            let versions = batch.column(1).as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let held = (versions.value(row), notes.value(row).to_owned());
                assert_eq!(found.insert(ids.value(row).to_owned(), held), None, "each key once");
            }
        }
        found
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let batches = self.select(table, "count(*)").await;
        batches.first().map_or(0, |batch| batch.column(0).as_primitive::<Int64Type>().value(0))
    }

    pub(crate) async fn count_where(&self, table: &str, condition: &str) -> i64 {
        let batches = self.select(table, &format!("count(*) FILTER (WHERE {condition})")).await;
        batches.first().map_or(0, |batch| batch.column(0).as_primitive::<Int64Type>().value(0))
    }

    async fn select(&self, table: &str, what: &str) -> Vec<RecordBatch> {
        let tables = Tables::new(Arc::clone(&self.services.files), self.services.root.clone());
        let Some(table) = tables.open(&format!("tables/acme/{table}")).await.unwrap() else { return Vec::new() };
        let session = SessionContext::new();
        session.register_table("t", table.provider().await.unwrap()).unwrap();
        let sql = if what == "id, version" {
            "SELECT arrow_cast(id, 'Utf8View') AS id, version FROM t".to_owned()
        } else {
            format!("SELECT {what} FROM t")
        };
        session.sql(&sql).await.unwrap().collect().await.unwrap()
    }
}

pub(crate) fn batch(records: &[QueuedRecord]) -> PartitionBatch {
    PartitionBatch { partition: records[0].position.partition, records: records.to_vec() }
}

pub(crate) async fn everything(queue: &dyn Queue, partition: u32) -> Vec<QueuedRecord> {
    let limit = ReadLimit { records: 1_000_000, bytes: 1 << 30, wait: Duration::ZERO };
    queue.read(partition, 0, limit).await.unwrap()
}

async fn open(data: &Path) -> Services {
    let variables = [("FRESHET_DATA".to_owned(), data.display().to_string())];
    let mut services = Services::open(&Settings::from_environment(variables).unwrap()).await.unwrap();
    services.others.clock = Clock::from_fn(Timestamp::now);
    services
}

async fn put(catalog: &Catalog, kind: ResourceKind, name: &str, definition: &Value) {
    let definition = Definition::read(kind, "", definition).unwrap();
    catalog.put(&tenant(), kind, name, definition, Precondition::None, Timestamp::now()).await.unwrap();
}
