//! A table as of one version, kept up with the log by its commits alone.
//!
//! It is read whole once, from a checkpoint and the entries after it. From there on the entry of each next version is one GET: 404
//! means that there is none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use deltalake_core::kernel::engine::arrow_conversion::TryIntoArrow as _;
use deltalake_core::kernel::{Metadata, Protocol};
use jiff::Timestamp;
use object_store::ObjectStore;

use crate::file::DataFile;
use crate::log::{AsOf, Commit, Segment, Transactions};
use crate::protocol::check_readable;
use crate::{TableError, TableKind};

/// A snapshot that was not compared with the log for so long is read anew: the entries that would lead on from it could have been
/// cleaned up, and the next one's 404 would then be taken for "there is none".
pub(crate) const AGE_UNTIL_REOPENED: Duration = Duration::from_mins(10);

/// A table as of one version. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    version: u64,
    protocol: Arc<Protocol>,
    metadata: Arc<Metadata>,
    schema: SchemaRef,
    query_schema: SchemaRef,
    kind: Option<TableKind>,
    files: Arc<BTreeMap<String, Arc<DataFile>>>,
    transactions: Arc<Transactions>,
    made_at: Option<i64>,
    /// When this was last known to be the newest version.
    compared_at: Instant,
    /// The newest version in which a file came back with fewer dead rows than it had, as a restore brings it.
    revived_at: Option<u64>,
}

impl Snapshot {
    /// Reads a version; none: there is no table.
    pub(crate) async fn open(files: &dyn ObjectStore, path: &str, as_of: AsOf) -> Result<Option<Self>, TableError> {
        let compared_at = Instant::now();
        let Some(segment) = Segment::find(files, path, as_of).await? else { return Ok(None) };
        let mut commits = segment.read(files, path).await?;
        let missing = |what: &str| TableError::Corrupt {
            context: format!("opening table {path}"),
            source: format!("its log has no {what}").into(),
        };
        // The last of each holds for all that came before it.
        let (mut protocol, mut metadata) = (None, None);
        for commit in &mut commits {
            protocol = commit.protocol.take().or(protocol);
            metadata = commit.metadata.take().or(metadata);
        }
        let protocol = protocol.ok_or_else(|| missing("protocol"))?;
        let metadata = metadata.ok_or_else(|| missing("metadata"))?;
        check_readable(path, &protocol, &metadata)?;
        let schema = schema_of(path, &metadata)?;
        let mut opened = Self {
            version: segment.version,
            query_schema: query_schema(&schema),
            schema,
            kind: TableKind::from_properties(metadata.configuration()),
            protocol: Arc::new(protocol),
            metadata: Arc::new(metadata),
            files: Arc::default(),
            transactions: Arc::default(),
            made_at: None,
            compared_at,
            revived_at: None,
        };
        for commit in commits {
            opened.take(path, commit, Vec::new())?;
        }
        // What happened before it was opened is nobody's to follow.
        opened.revived_at = None;
        Ok(Some(opened))
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub(crate) fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// The table's columns, as its rows are read and written.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The same columns, as queries have them.
    pub(crate) fn query_schema(&self) -> &SchemaRef {
        &self.query_schema
    }

    /// What the table is kept as; none: not ours.
    pub(crate) fn kind(&self) -> Option<&TableKind> {
        self.kind.as_ref()
    }

    /// When the version was made, if the log still has its entry.
    pub(crate) fn made_at(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.made_at?).ok()
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<DataFile>> {
        self.files.values()
    }

    pub(crate) fn file_count(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn file(&self, name: &str) -> Option<&Arc<DataFile>> {
        self.files.get(name)
    }

    /// The same version with some of its files alone.
    pub(crate) fn restricted_to(&self, files: &[Arc<DataFile>]) -> Self {
        let files = files.iter().map(|file| (file.name().to_owned(), file.clone())).collect();
        Self { files: Arc::new(files), ..self.clone() }
    }

    pub(crate) fn revived_at(&self) -> Option<u64> {
        self.revived_at
    }

    /// The newest version.
    pub(crate) async fn newest(&self, files: &dyn ObjectStore, path: &str) -> Result<Self, TableError> {
        if self.compared_at.elapsed() >= AGE_UNTIL_REOPENED {
            let newest = Self::open(files, path, AsOf::Newest).await?;
            let newest = newest.ok_or_else(|| TableError::Corrupt {
                context: format!("reading the newest version of table {path}"),
                source: "its log is gone".into(),
            })?;
            if newest.version == self.version && newest.metadata.id() == self.metadata.id() {
                // Nobody wrote: what is known of its files, and the index over them, still holds.
                return Ok(Self { compared_at: newest.compared_at, ..self.clone() });
            }
            // What happened meanwhile was not seen commit by commit.
            return Ok(Self { revived_at: Some(newest.version), ..newest });
        }
        let mut newest = self.clone();
        let mut compared_at = Instant::now();
        while let Some(commit) = Commit::read(files, path, newest.version + 1).await? {
            newest = newest.after(path, commit, Vec::new())?;
            compared_at = Instant::now();
        }
        newest.compared_at = compared_at;
        Ok(newest)
    }

    /// The next version, which a commit makes of this one. `known` are files of it whose dead rows are known.
    pub(crate) fn after(&self, path: &str, commit: Commit, known: Vec<DataFile>) -> Result<Self, TableError> {
        let mut next = self.clone();
        next.version += 1;
        next.compared_at = Instant::now();
        next.take(path, commit, known)?;
        Ok(next)
    }

    /// Takes in what a commit says.
    fn take(&mut self, path: &str, commit: Commit, known: Vec<DataFile>) -> Result<(), TableError> {
        self.made_at = commit.made_at;
        if commit.protocol.is_some() || commit.metadata.is_some() {
            if let Some(protocol) = commit.protocol {
                self.protocol = Arc::new(protocol);
            }
            if let Some(metadata) = commit.metadata {
                self.schema = schema_of(path, &metadata)?;
                self.query_schema = query_schema(&self.schema);
                self.kind = TableKind::from_properties(metadata.configuration());
                self.metadata = Arc::new(metadata);
            }
            check_readable(path, &self.protocol, &self.metadata)?;
        }
        if !commit.transactions.is_empty() {
            Arc::make_mut(&mut self.transactions).apply(commit.transactions);
        }
        if commit.added.is_empty() && commit.removed.is_empty() {
            return Ok(());
        }
        let files = Arc::make_mut(&mut self.files);
        let mut removed = BTreeMap::new();
        for file in commit.removed {
            if let Some(before) = files.remove(&file.path) {
                removed.insert(file.path, before);
            }
        }
        let mut known: BTreeMap<String, DataFile> =
            known.into_iter().map(|file| (file.name().to_owned(), file)).collect();
        for add in commit.added {
            if lies_elsewhere(&add.path) {
                let context = format!("reading table {path}");
                let source = format!("files outside of the table's folder: {}", add.path).into();
                return Err(TableError::Unsupported { context, source });
            }
            let file = known.remove(&add.path).unwrap_or_else(|| DataFile::new(add));
            let before = removed.get(file.name()).map_or(0, |before| before.dead_count());
            if file.dead_count() < before {
                self.revived_at = Some(self.version);
            }
            files.insert(file.name().to_owned(), Arc::new(file));
        }
        Ok(())
    }
}

fn schema_of(path: &str, metadata: &Metadata) -> Result<SchemaRef, TableError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| TableError::Corrupt {
        context: format!("reading the columns of table {path}"),
        source,
    };
    let schema = metadata.parse_schema().map_err(|error| failed(error.into()))?;
    let schema: Schema = (&schema).try_into_arrow().map_err(|error: arrow::error::ArrowError| failed(error.into()))?;
    Ok(Arc::new(schema))
}

/// Text and bytes as views: what a filter or a join keeps of them isn't copied.
fn query_schema(schema: &Schema) -> SchemaRef {
    let as_view = |field: &FieldRef| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        DataType::Binary => Arc::new(field.as_ref().clone().with_data_type(DataType::BinaryView)),
        _ => field.clone(),
    };
    Arc::new(Schema::new(schema.fields().iter().map(as_view).collect::<Vec<FieldRef>>()))
}

/// Whether a file's name is a URL, as a shallow clone has for files of the table that it was made of.
fn lies_elsewhere(name: &str) -> bool {
    let is_scheme =
        |scheme: &str| scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
    name.starts_with('/') || name.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme))
}
