//! External tables of Parquet and CSV files.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use freshet_model::{ExternalFormat, ExternalTable};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use tokio::sync::OnceCell;

use crate::{DatabaseError, MAX_FILES};

/// Schemas kept. Above it all are forgotten; each is found again from the files.
const MAX_SCHEMAS: usize = 1_000;

/// The schemas of sets of files, by their fingerprint.
#[derive(Debug, Default)]
pub(crate) struct Schemas(Mutex<HashMap<String, Arc<OnceCell<SchemaRef>>>>);

impl Schemas {
    fn of(&self, fingerprint: &str) -> Arc<OnceCell<SchemaRef>> {
        let mut schemas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if schemas.len() >= MAX_SCHEMAS && !schemas.contains_key(fingerprint) {
            schemas.clear();
        }
        schemas.entry(fingerprint.to_owned()).or_default().clone()
    }
}

/// The files of an external table, as they were listed.
#[derive(Debug)]
pub(crate) struct FileSet {
    table: String,
    format: ExternalFormat,
    fingerprint: String,
    files: Arc<Listed>,
}

impl FileSet {
    /// Lists the file at a path, or those of the format below it. None: there are none.
    pub(crate) async fn list(
        table: &ExternalTable,
        files: Arc<dyn ObjectStore>,
        path: Path,
    ) -> Result<Option<Self>, DatabaseError> {
        let name = table.name.as_str();
        let failed = |error| DatabaseError::of_files(name, error);
        let suffix = format!(".{}", table.format);
        let mut found: Vec<ObjectMeta> = match files.head(&path).await {
            Ok(file) => vec![file],
            Err(object_store::Error::NotFound { .. }) => {
                let below = files.list(Some(&path)).try_filter(|file| {
                    let is_data = is_shown(&path, &file.location) && file.location.as_ref().ends_with(&suffix);
                    futures::future::ready(is_data && file.size > 0)
                });
                below.take(MAX_FILES + 1).try_collect().await.map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        if found.len() > MAX_FILES {
            return Err(DatabaseError::TooManyFiles { table: name.to_owned() });
        }
        if found.is_empty() {
            return Ok(None);
        }
        found.sort_unstable_by(|left, right| left.location.cmp(&right.location));
        let fingerprint = fingerprint(table, &found);
        let files = Arc::new(Listed { files, found, folder: fingerprint.clone(), suffix });
        Ok(Some(Self { table: name.to_owned(), format: table.format, fingerprint, files }))
    }

    /// What tells these files from others.
    pub(crate) fn version(&self) -> String {
        self.fingerprint.clone()
    }

    /// The table that they are.
    pub(crate) async fn provider(self, schemas: &Schemas) -> Result<Arc<dyn TableProvider>, DatabaseError> {
        let unreadable = |error| DatabaseError::of_reading(&self.table, self.format.as_str(), error);
        // Its host is the fingerprint: what is cached of files by their URL is never that of others.
        let url =
            ListingTableUrl::parse(format!("freshet-external://{0}/{0}/", self.fingerprint)).map_err(unreadable)?;
        let format: Arc<dyn FileFormat> = match self.format {
            ExternalFormat::Csv => Arc::new(CsvFormat::default().with_has_header(true).with_schema_infer_max_rec(1)),
            ExternalFormat::Delta | ExternalFormat::Parquet => Arc::new(ParquetFormat::default()),
        };
        let options = ListingOptions::new(format).with_file_extension(self.files.suffix.clone());
        let schema = schemas.of(&self.fingerprint);
        let infer = || async {
            let context = SessionContext::new();
            context.runtime_env().register_object_store(url.object_store().as_ref(), self.files.clone());
            let schema = options.infer_schema(&context.state(), &url).await?;
            Ok(if self.format == ExternalFormat::Csv { texts(&schema) } else { schema })
        };
        let schema = schema.get_or_try_init(infer).await.map_err(unreadable)?.clone();
        let config = ListingTableConfig::new(url.clone()).with_listing_options(options).with_schema(schema);
        let listing = ListingTable::try_new(config).map_err(unreadable)?;
        Ok(Arc::new(FilesTable { listing, url, files: self.files }))
    }
}

/// Every column as text: a type that was guessed from some rows would lose the zeros of `00042`, or fail on a later row.
fn texts(schema: &Schema) -> SchemaRef {
    let texts = schema.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true));
    Arc::new(Schema::new(texts.collect::<Vec<Field>>()))
}

/// Whether no part of a file's path below the table's begins with `_` or `.`: engines hide what is not data, or not yet, behind these.
fn is_shown(table: &Path, file: &Path) -> bool {
    let Some(mut parts) = file.prefix_match(table) else { return false };
    parts.all(|part| !part.as_ref().starts_with(['_', '.']))
}

/// Changes where the table, or a file's name, size, time or content does.
fn fingerprint(table: &ExternalTable, files: &[ObjectMeta]) -> String {
    let mut digest = Context::new(&SHA256);
    digest.update(format!("{}\n{}\n", table.location, table.format).as_bytes());
    for ObjectMeta { location, last_modified, size, e_tag, .. } in files {
        let e_tag = e_tag.as_deref().unwrap_or_default();
        digest.update(format!("{location}\n{size}\n{}\n{e_tag}\n", last_modified.timestamp_millis()).as_bytes());
    }
    let half = digest.finish().as_ref().iter().take(16).fold(0_u128, |all, byte| (all << 8) | u128::from(*byte));
    format!("{half:032x}")
}

/// A table of listed files. Where it is scanned it shows the session these files, which no SQL can name.
#[derive(Debug)]
struct FilesTable {
    listing: ListingTable,
    url: ListingTableUrl,
    files: Arc<Listed>,
}

#[async_trait]
impl TableProvider for FilesTable {
    fn schema(&self) -> SchemaRef {
        self.listing.schema()
    }

    fn table_type(&self) -> TableType {
        self.listing.table_type()
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        session.runtime_env().register_object_store(self.url.object_store().as_ref(), self.files.clone());
        self.listing.scan(session, projection, filters, limit).await
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        self.listing.supports_filters_pushdown(filters)
    }
}

/// Files as they were listed, under names of our own: `<folder>/<number><suffix>`. Their listing never changes, and one that was
/// replaced since is refused where the store can tell.
#[derive(Debug)]
struct Listed {
    files: Arc<dyn ObjectStore>,
    found: Vec<ObjectMeta>,
    folder: String,
    suffix: String,
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("listed files")
    }
}

impl Listed {
    fn shown(&self) -> Vec<object_store::Result<ObjectMeta>> {
        let named = self.found.iter().enumerate().map(|(number, file)| {
            let location = Path::from(format!("{}/{number:06}{}", self.folder, self.suffix));
            Ok(ObjectMeta { location, ..file.clone() })
        });
        named.collect()
    }

    fn file(&self, shown: &Path) -> object_store::Result<&ObjectMeta> {
        let number = shown.filename().and_then(|name| name.strip_suffix(self.suffix.as_str())?.parse::<usize>().ok());
        number.and_then(|number| self.found.get(number)).ok_or_else(|| object_store::Error::NotFound {
            path: shown.to_string(),
            source: "it is not one of the listed files".into(),
        })
    }
}

fn only_read<T>(what: &str) -> object_store::Result<T> {
    Err(object_store::Error::NotSupported { source: format!("external tables are only read, not {what}").into() })
}

#[async_trait]
impl ObjectStore for Listed {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> object_store::Result<PutResult> {
        only_read("written")
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        only_read("written")
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let file = self.file(location)?;
        let options = GetOptions { if_match: file.e_tag.clone(), ..options };
        let mut result = self.files.get_opts(&file.location, options).await?;
        result.meta.location = location.clone();
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        let fetch = |range| async { self.get_range(location, range).await };
        object_store::coalesce_ranges(ranges, fetch, object_store::OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        stream::once(async { only_read("deleted") }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        stream::iter(self.shown()).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> object_store::Result<ListResult> {
        let objects = self.shown().into_iter().collect::<object_store::Result<_>>()?;
        Ok(ListResult { common_prefixes: Vec::new(), objects })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> object_store::Result<()> {
        only_read("copied")
    }
}
