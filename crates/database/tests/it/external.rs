//! External tables: of each format, where they may lie, and what is said of those that can't be read.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use freshet_catalog::{Catalog, Precondition, TenantCatalog};
use freshet_database::{DatabaseError, DatabaseReader, DatabaseTables, ExternalFiles};
use freshet_model::{Definition, Location, ResourceKind, TenantId};
use freshet_query::{EngineSettings, JsonObjects, Parameters, Query, QueryEngine, parse_select};
use freshet_store::RedbStore;
use freshet_table::Tables;
use freshet_testkit::{SeaweedFs, random_name};
use futures::StreamExt;
use jiff::Timestamp;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::ArrowWriter;
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

struct Scene {
    directory: TempDir,
    files: Arc<dyn ObjectStore>,
    reader: DatabaseReader,
    tables: Vec<Value>,
    tenant: TenantId,
}

impl Scene {
    fn local() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("files");
        std::fs::create_dir(&place).unwrap();
        Self::on(directory, Arc::new(LocalFileSystem::new_with_prefix(place).unwrap()), Vec::new())
    }

    fn on(directory: TempDir, files: Arc<dyn ObjectStore>, allowed: Vec<(Location, Arc<dyn ObjectStore>)>) -> Self {
        let tables = Arc::new(Tables::new(Arc::clone(&files), Url::parse("file:///").unwrap()));
        let reader = DatabaseReader::new(tables, ExternalFiles::new(Arc::clone(&files), allowed));
        Self { directory, files, reader, tables: Vec::new(), tenant: TenantId::parse("acme").unwrap() }
    }

    fn with(mut self, name: &str, location: &str, format: &str) -> Self {
        self.tables.push(json!({"name": name, "location": location, "format": format}));
        self
    }

    async fn put(&self, path: &str, content: impl Into<object_store::PutPayload>) {
        self.files.put(&Path::from(path), content.into()).await.unwrap();
    }

    async fn definitions(&self) -> Arc<TenantCatalog> {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&directory.path().join("store.redb")).unwrap();
        let catalog = Catalog::new(Arc::new(store));
        let definition = Definition::read(ResourceKind::Databases, "", &json!({"external": self.tables})).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        catalog
            .put(&self.tenant, ResourceKind::Databases, "retail", definition, Precondition::None, now)
            .await
            .unwrap();
        catalog.snapshot(&self.tenant).await.unwrap()
    }

    async fn rows(&self, sql: &str) -> Result<Vec<Value>, DatabaseError> {
        let definitions = self.definitions().await;
        let tables = DatabaseTables::of(&definitions, "retail").unwrap();
        let select = parse_select(sql).unwrap();
        let opened = self.reader.open(&tables, &tables.named(&select).unwrap()).await?;
        let engine = QueryEngine::new(EngineSettings {
            threads: 2,
            memory_bytes: 64 << 20,
            spill_directory: self.directory.path().join("spill"),
            spill_bytes: 1 << 30,
        })
        .unwrap();
        let query = Query {
            select,
            parameters: Parameters::default(),
            tables: opened.into_iter().map(|open| open.table).collect(),
            limit: None,
            sorted_by_text: None,
            timeout: std::time::Duration::from_mins(1),
            as_of: Timestamp::UNIX_EPOCH,
        };
        let mut rows = engine.start(query, ()).await.unwrap();
        let objects = JsonObjects::of(&rows.columns).unwrap();
        let mut values = Vec::new();
        while let Some(batch) = rows.next().await {
            let batch = batch.unwrap();
            for row in 0..batch.num_rows() {
                let mut body = Vec::new();
                objects.rows(&batch).write(row, &mut body).unwrap();
                values.push(serde_json::from_slice(&body).unwrap());
            }
        }
        Ok(values)
    }

    async fn version(&self, table: &str) -> String {
        let definitions = self.definitions().await;
        let tables = DatabaseTables::of(&definitions, "retail").unwrap();
        let versions = self.reader.versions(&tables, &[tables.get(table).unwrap().into()]).await.unwrap();
        versions[table].clone()
    }
}

fn parquet(ids: &[i64]) -> Vec<u8> {
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(ids.iter().map(|id| format!("n{id}"))));
    let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    let rows = RecordBatch::try_from_iter([("Id", ids), ("name", names)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    bytes
}

const WRITE_DELTA: &str = r#"
import sys, polars
place, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
polars.DataFrame({"id": list(range(first, last + 1))}).write_delta(place, mode="append")
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parquet_files_are_one_table_at_one_version() {
    let scene = Scene::local().with("people", "people", "parquet").with("one", "people/a.parquet", "parquet");
    scene.put("external/acme/people/a.parquet", parquet(&[1, 2])).await;
    scene.put("external/acme/people/day=2026-06-14/b.parquet", parquet(&[3])).await;
    for hidden in ["_SUCCESS", "_temporary/c.parquet", ".crc.parquet", "notes.txt"] {
        scene.put(&format!("external/acme/people/{hidden}"), "no data").await;
    }
    let sum = "SELECT count(*) AS n, sum(id) AS ids, max(name) AS name FROM people";
    assert_eq!(scene.rows(sum).await.unwrap(), [json!({"n": 3, "ids": 6, "name": "n3"})]);
    assert_eq!(scene.rows("SELECT id FROM one WHERE id > 1").await.unwrap(), [json!({"Id": 2})]);
    let before = scene.version("people").await;
    assert_eq!(before, scene.version("people").await);
    scene.put("external/acme/people/c.parquet", parquet(&[10])).await;
    assert_ne!(before, scene.version("people").await);
    assert_eq!(scene.rows(sum).await.unwrap(), [json!({"n": 4, "ids": 16, "name": "n3"})]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_of_csv_are_texts_and_nothing_is_lost() {
    let scene = Scene::local().with("people", "people.csv", "csv").with("all", "all", "csv");
    scene.put("external/acme/people.csv", "zip,name,spent\n00042,\"Ann, \"\"A\"\"\",12.50\n,Bob,\n").await;
    let rows = scene.rows("SELECT zip, name, CAST(spent AS decimal(10,2)) AS spent FROM people ORDER BY name").await;
    let expected = [
        json!({"zip": "00042", "name": "Ann, \"A\"", "spent": 12.50}),
        json!({"zip": null, "name": "Bob", "spent": null}),
    ];
    assert_eq!(rows.unwrap(), expected);
    scene.put("external/acme/all/1.csv", "id\na\n").await;
    scene.put("external/acme/all/2.csv", "id\nb\nc\n").await;
    assert_eq!(scene.rows("SELECT count(*) AS n FROM \"all\"").await.unwrap(), [json!({"n": 3})]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_table_of_another_system_is_read_at_its_newest_version() {
    let scene = Scene::local().with("Customer360", "customer360", "delta");
    let place = scene.directory.path().join("files/external/acme/customer360").display().to_string();
    freshet_testkit::python_script(WRITE_DELTA, &[&place, "1", "3"]).await.unwrap();
    let sum = "SELECT sum(id) AS ids FROM customer360";
    assert_eq!(scene.rows(sum).await.unwrap(), [json!({"ids": 6})]);
    let before = scene.version("Customer360").await;
    freshet_testkit::python_script(WRITE_DELTA, &[&place, "4", "4"]).await.unwrap();
    assert_eq!(scene.rows(sum).await.unwrap(), [json!({"ids": 10})]);
    assert_ne!(before, scene.version("Customer360").await);
}

#[rstest]
#[case::no_folder("nowhere", "parquet", "external table t has no parquet files at its location")]
#[case::no_delta("nowhere", "delta", "external table t has no delta files at its location")]
#[case::another_format("junk", "csv", "external table t has no csv files at its location")]
#[case::no_parquet("junk", "parquet", "external table t can't be read as parquet")]
#[case::another_tenant("../other/people", "parquet", "")]
#[case::a_bucket(
    "s3://elsewhere/people",
    "parquet",
    "external table t lies where this deployment may not read: its operator allows prefixes with FRESHET_EXTERNAL_LOCATIONS"
)]
#[case::this_machine(
    "file:///etc",
    "csv",
    "external table t lies where this deployment may not read: its operator allows prefixes with FRESHET_EXTERNAL_LOCATIONS"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_t_be_read_says_why_and_names_no_path(
    #[case] location: &str,
    #[case] format: &str,
    #[case] says: &str,
) {
    if location.parse::<Location>().is_err() {
        return assert!(says.is_empty(), "no definition has it");
    }
    let scene = Scene::local().with("t", location, format);
    scene.put("external/acme/junk/a.parquet", "this is no parquet file").await;
    let refusal = scene.rows("SELECT * FROM t").await.unwrap_err();
    assert_eq!(refusal.to_string(), says);
    assert!(!refusal.is_temporary());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_do_not_see_each_other_s_files() {
    let mut scene = Scene::local().with("people", "people", "parquet");
    scene.put("external/acme/people/a.parquet", parquet(&[1])).await;
    assert_eq!(scene.rows("SELECT id FROM people").await.unwrap(), [json!({"Id": 1})]);
    scene.tenant = TenantId::parse("other").unwrap();
    assert!(matches!(scene.rows("SELECT id FROM people").await, Err(DatabaseError::Missing { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_does_not_lead_out_of_an_allowed_directory() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    for folder in ["files", "allowed/inside", "secret"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::write(root.join("allowed/inside/a.csv"), "id\n1\n").unwrap();
    std::fs::write(root.join("secret/a.csv"), "id\n2\n").unwrap();
    std::os::unix::fs::symlink(root.join("secret"), root.join("allowed/link")).unwrap();
    let files = Arc::new(LocalFileSystem::new_with_prefix(root.join("files")).unwrap());
    let allowed: Location = format!("file://{}/allowed", root.display()).parse().unwrap();
    let machine: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
    let place = |folder: &str| format!("file://{}/{folder}", root.display());
    let scene = Scene::on(directory, files, vec![(allowed, machine)])
        .with("inside", &place("allowed/inside"), "csv")
        .with("link", &place("allowed/link"), "csv")
        .with("outside", &place("secret"), "csv");
    assert_eq!(scene.rows("SELECT * FROM inside").await.unwrap(), [json!({"id": "1"})]);
    for table in ["link", "outside"] {
        let refusal = scene.rows(&format!("SELECT * FROM {table}")).await.unwrap_err();
        assert!(matches!(refusal, DatabaseError::NotAllowed { .. }), "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_lie_in_s3_too() {
    let seaweedfs = SeaweedFs::shared().await.unwrap();
    let bucket = random_name("batch");
    seaweedfs.create_bucket(&bucket).await.unwrap();
    let files: Arc<dyn ObjectStore> = Arc::new(
        AmazonS3Builder::new()
            .with_bucket_name(&bucket)
            .with_region("us-east-1")
            .with_endpoint(seaweedfs.endpoint())
            .with_allow_http(true)
            .with_virtual_hosted_style_request(false)
            .with_access_key_id(seaweedfs.access_key())
            .with_secret_access_key(seaweedfs.secret_key())
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .build()
            .unwrap(),
    );
    let allowed: Location = format!("s3://{bucket}/daily").parse().unwrap();
    let scene = Scene::on(tempfile::tempdir().unwrap(), Arc::clone(&files), vec![(allowed, Arc::clone(&files))])
        .with("own", "people", "parquet")
        .with("csv", &format!("s3://{bucket}/daily/people.csv"), "csv")
        .with("other", &format!("s3://{bucket}/hourly/people.csv"), "csv");
    scene.put("external/acme/people/a.parquet", parquet(&[1, 2])).await;
    scene.put("daily/people.csv", "id\n7\n").await;
    scene.put("hourly/people.csv", "id\n8\n").await;
    assert_eq!(scene.rows("SELECT sum(id) AS ids FROM own").await.unwrap(), [json!({"ids": 3})]);
    assert_eq!(scene.rows("SELECT * FROM csv").await.unwrap(), [json!({"id": "7"})]);
    assert!(matches!(scene.rows("SELECT * FROM other").await, Err(DatabaseError::NotAllowed { .. })));
}
