//! A table of people, by id, whose records come late, delete, and are put together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use freshet_model::{ResourceKind, TableName};
use freshet_table::{Maintenance, Merge, Slice, Table, TableKind, TableSpec, Tables, table_path};
use serde_json::{Value, json};
use url::Url;

use crate::scene::{Scene, tenant};

/// One record. Of two of a person the one with the greater `seq` holds.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) seq: i64,
    pub(crate) city: Option<String>,
    pub(crate) tier: i64,
    pub(crate) deletes: bool,
}

impl Person {
    pub(crate) fn of(id: impl std::fmt::Display, seq: i64, city: &str, tier: i64) -> Self {
        Self { id: format!("p-{id}"), seq, city: Some(city.to_owned()), tier, deletes: false }
    }
}

/// The table, as its writer has it.
pub(crate) struct People {
    pub(crate) scene: Scene,
    /// The type of the id, which is written as the value that its text is.
    id_type: &'static str,
    next: u64,
}

impl People {
    pub(crate) async fn new() -> Self {
        Self::with_ids("string").await
    }

    pub(crate) async fn with_ids(id_type: &'static str) -> Self {
        let people = Self { scene: Scene::new().await, id_type, next: 0 };
        people.define(&json!([])).await;
        people
    }

    /// Defines the table with more columns than it has from the start.
    pub(crate) async fn define(&self, more: &Value) {
        let mut columns = vec![
            json!({"name": "id", "type": self.id_type}),
            json!({"name": "seq", "type": "integer"}),
            json!({"name": "city", "type": "string"}),
            json!({"name": "tier", "type": "integer"}),
        ];
        columns.extend(more.as_array().unwrap().iter().cloned());
        let table = json!({
            "stream": "orders", "databases": ["retail"], "key": ["id"], "order_by": "seq", "columns": columns,
        });
        self.scene.put(ResourceKind::Tables, "people", table).await;
    }

    pub(crate) async fn table(&self) -> Arc<Table> {
        let definitions = self.scene.definitions().await;
        let spec = TableSpec {
            schema: freshet_decode::table_schema(&definitions.table("people").unwrap().definition),
            kind: TableKind::Upsert {
                key: vec!["id".to_owned()],
                order_by: Some("seq".to_owned()),
                merge: Merge::Replace,
            },
        };
        let tables = Tables::new(Arc::clone(&self.scene.files), Url::parse("file:///").unwrap());
        tables.open_or_create(&table_path(&tenant(), &TableName::parse("people").unwrap()), &spec).await.unwrap()
    }

    /// The folder of the table.
    pub(crate) fn folder(&self) -> PathBuf {
        self.scene.directory.path().join("files").join(table_path(&tenant(), &TableName::parse("people").unwrap()))
    }

    /// The table's data files.
    pub(crate) fn data_files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder()).unwrap();
        let files = entries.map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).collect()
    }

    /// The entry of the log that made a version.
    pub(crate) fn entry(&self, version: u64) -> PathBuf {
        self.folder().join(format!("_delta_log/{version:020}.json"))
    }

    pub(crate) async fn write(&mut self, people: &[Person]) {
        let table = self.table().await;
        let definitions = self.scene.definitions().await;
        let schema = freshet_decode::table_schema(&definitions.table("people").unwrap().definition);
        let count = people.len();
        let offsets = self.next..self.next + count as u64;
        let time = || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![1; count]).with_timezone("UTC")) };
        let numbers = |number: fn(&Person) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(people.iter().map(number)))
        };
        let texts = |text: fn(&Person) -> Option<&str>| -> ArrayRef {
            Arc::new(people.iter().map(text).collect::<StringArray>())
        };
        let columns: Vec<ArrayRef> = schema
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                "id" => cast(&texts(|person| Some(&person.id)), field.data_type()).unwrap(),
                "seq" => numbers(|person| person.seq),
                "city" => texts(|person| person.city.as_deref()),
                "tier" => numbers(|person| person.tier),
                "received_at" | "written_at" => time(),
                "request_id" => texts(|_| Some("r")),
                "_partition" => Arc::new(Int32Array::from(vec![0; count])),
                "_offset" => {
                    Arc::new(Int64Array::from_iter_values(offsets.clone().map(|offset| i64::try_from(offset).unwrap())))
                }
                _ => texts(|_| None),
            })
            .collect();
        let slice = Slice {
            partition: 0,
            row_offsets: offsets.clone().collect(),
            offsets: offsets.clone(),
            rows: RecordBatch::try_new(schema, columns).unwrap(),
            deletes: Some(people.iter().map(|person| Some(person.deletes)).collect::<BooleanArray>()),
            absent: BTreeMap::new(),
        };
        table.write("records", vec![slice]).await.unwrap();
        self.next = offsets.end;
    }

    /// Puts together whatever there is.
    pub(crate) async fn compact(&self) {
        let for_ever = Duration::from_hours(24 * 365 * 100);
        let maintenance = Maintenance {
            files: 2,
            dead_percent: 1,
            checkpoint_after: 5,
            tombstone_retention: for_ever,
            ..Maintenance::default()
        };
        self.table().await.maintain(&maintenance).await.unwrap();
    }

    /// What another engine does that drops a data file, and says nothing of whose rows were in it. None: there is none.
    pub(crate) async fn drop_a_file(&self) -> Option<()> {
        let version = self.table().await.version().await.unwrap();
        let mut files: Vec<Value> = Vec::new();
        for entry in (0..=version).filter_map(|version| std::fs::read(self.entry(version)).ok()) {
            for action in serde_json::Deserializer::from_slice(&entry).into_iter::<Value>() {
                let action = action.unwrap();
                let name = |action: &Value| action["path"].as_str().map(str::to_owned);
                files.retain(|file| name(file) != name(&action["remove"]));
                files.extend(action.get("add").cloned());
            }
        }
        let file = files.first()?;
        let mut remove = json!({"remove": {"path": file["path"], "dataChange": true, "deletionTimestamp": 1}});
        // A file is named by its path and its deletion vector.
        if let Some(vector) = file.get("deletionVector") {
            remove["remove"]["deletionVector"] = vector.clone();
        }
        let info = json!({"commitInfo": {"operation": "DELETE", "timestamp": 1}});
        std::fs::write(self.entry(version + 1), format!("{info}\n{remove}")).unwrap();
        Some(())
    }
}
