//! Maintenance of all tables of a catalog.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use freshet_catalog::Precondition;
use freshet_job_maintain::{MaintainContext, Maintained, maintain_all, run_loop};
use freshet_model::{Definition, ResourceKind, TableName, TenantId};
use freshet_platform::{FileServices, Settings};
use freshet_table::{Maintenance, Merge, Slice, Table, TableKind, TableSpec, Tables, table_path};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

struct Scene {
    services: FileServices,
    directory: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = ("FRESHET_DATA".to_owned(), directory.path().display().to_string());
        let services = FileServices::open(&Settings::from_environment([data]).unwrap()).await.unwrap();
        let scene = Self { services, directory };
        scene.put(ResourceKind::Streams, "events", &json!({ "id": "is-events0001", "format": "json" })).await;
        for table in ["orders", "carts", "empty"] {
            let columns = json!([{ "name": "id", "type": "integer" }]);
            let definition = json!({ "stream": "events", "key": ["id"], "columns": columns });
            scene.put(ResourceKind::Tables, table, &definition).await;
        }
        scene
    }

    async fn put(&self, kind: ResourceKind, name: &str, definition: &Value) {
        let definition = Definition::read(kind, "", definition).unwrap();
        let now = self.services.clock.now();
        self.services.catalog.put(&tenant(), kind, name, definition, Precondition::None, now).await.unwrap();
    }

    /// As a process that has just started.
    fn tables(&self) -> Arc<Tables> {
        Arc::new(Tables::new(Arc::clone(&self.services.files), self.services.root.clone()))
    }

    fn context(&self) -> MaintainContext {
        let maintenance = Maintenance { files: 4, checkpoint_after: 5, ..Maintenance::default() };
        MaintainContext::new(Arc::clone(&self.services.catalog), self.tables(), maintenance)
    }

    /// A table with so many rows, each in a file of its own.
    async fn fill(&self, table: &str, rows: u64) -> Arc<Table> {
        let path = path(table);
        let kind = TableKind::Upsert { key: vec!["id".to_owned()], order_by: None, merge: Merge::Replace };
        let table = self.tables().open_or_create(&path, &TableSpec { schema: schema(), kind }).await.unwrap();
        for offset in 0..rows {
            table.write("records", vec![slice(offset)]).await.unwrap();
        }
        table
    }
}

fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn path(table: &str) -> String {
    table_path(&tenant(), &TableName::parse(table).unwrap())
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("received_at", time, true),
        Field::new("_partition", DataType::Int32, true),
        Field::new("_offset", DataType::Int64, true),
    ]))
}

fn slice(offset: u64) -> Slice {
    let number = i64::try_from(offset).unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![number])),
        Arc::new(TimestampMicrosecondArray::from(vec![number]).with_timezone("UTC")),
        Arc::new(Int32Array::from(vec![0])),
        Arc::new(Int64Array::from(vec![number])),
    ];
    Slice {
        partition: 0,
        offsets: offset..offset + 1,
        rows: RecordBatch::try_new(schema(), columns).unwrap(),
        row_offsets: vec![offset],
        deletes: None,
        absent: BTreeMap::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_is_put_together_and_then_left_alone() {
    let scene = Scene::new().await;
    let (orders, carts) = (scene.fill("orders", 6).await, scene.fill("carts", 3).await);
    let context = scene.context();
    let first = maintain_all(&context, None).await.unwrap();
    assert_eq!(first, Maintained { tables: 6, failed: 0, files_compacted: 6, files_removed: 0 });
    let details = orders.details().await.unwrap();
    assert_eq!((details.rows, details.files), (Some(6), 1));
    assert_eq!(carts.details().await.unwrap().files, 3, "so few are fine");
    let second = maintain_all(&context, None).await.unwrap();
    assert_eq!((second.files_compacted, second.failed), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_damaged_holds_no_other_one_up() {
    let scene = Scene::new().await;
    scene.fill("carts", 6).await;
    let orders = scene.fill("orders", 6).await;
    let entry = format!("files/{}/_delta_log/{:020}.json", path("carts"), 3);
    std::fs::write(scene.directory.path().join(entry), "{").unwrap();
    let maintained = maintain_all(&scene.context(), None).await.unwrap();
    assert_eq!((maintained.failed, maintained.files_compacted), (1, 6));
    assert_eq!(orders.details().await.unwrap().files, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_there_is_no_time_for_is_left_to_the_next_round() {
    let scene = Scene::new().await;
    let orders = scene.fill("orders", 6).await;
    let maintained = maintain_all(&scene.context(), Some(Instant::now())).await.unwrap();
    assert_eq!(maintained, Maintained::default());
    assert_eq!(orders.details().await.unwrap().files, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loop_ends_when_it_is_told_to() {
    let scene = Scene::new().await;
    let orders = scene.fill("orders", 6).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(run_loop(Arc::new(scene.context()), stop.clone()));
    let deadline = Instant::now() + Duration::from_mins(1);
    while orders.details().await.unwrap().files > 1 {
        assert!(Instant::now() < deadline, "it maintains nothing");
        tokio::task::yield_now().await;
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap();
}
