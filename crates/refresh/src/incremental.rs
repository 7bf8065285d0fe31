//! What of an index has changed since its last refresh, where that can be told without its whole query.
//!
//! It can where each row of the query is made of one row of one table that a stream feeds, the id of the profile is that row's key, and the
//! index holds what the query answered at a version of that table. Then a profile can only have changed if its key's row did, and the table
//! says which did. Wherever any of that isn't so, the whole query is read.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use freshet_database::DatabaseError;
use freshet_model::IndexDefinition;
use freshet_profile::{Basis, Changed, IndexRef, Source};
use freshet_query::{QueryError, QueryTable, Rows};
use freshet_table::{ChangeLimits, Changes, Since, VersionedTable};
use jiff::SignedDuration;

use crate::index::fingerprint;
use crate::{Opened, RefreshFailure, Refresher};

/// How often the whole query is read all the same. A refresh of all rows finds whatever differs, also what no refresh has done: a runner
/// that was held up and taken for dead, and whose last write came late.
const WHOLE_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// The version of the one table that a query reads, as what an index can be made of.
pub(crate) struct Followed<'a> {
    version: &'a VersionedTable,
    table: &'a QueryTable,
    /// The column of the table's key.
    key: &'a str,
    pub(crate) source: Source,
}

/// What has changed since an index was made.
pub(crate) struct SinceThen {
    pub(crate) changed: Changed,
    /// The table with the rows of the changed keys alone.
    pub(crate) table: QueryTable,
    pub(crate) read: Read,
}

/// How much was read to tell what has changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) keys: u64,
    pub(crate) files: u64,
    pub(crate) commits: u64,
}

impl<'a> Followed<'a> {
    /// The table of a query that has been opened; none: what changes in its result can't be told by a table's keys.
    pub(crate) async fn of(
        definition: &IndexDefinition,
        opened: &'a Opened,
    ) -> Result<Option<Followed<'a>>, RefreshFailure> {
        let [open] = opened.tables.as_slice() else { return Ok(None) };
        let Some((version, key)) = open.fed.as_ref().and_then(|version| Some((version, version.key()?))) else {
            return Ok(None);
        };
        let made_by = version.made_by().await.map_err(DatabaseError::from)?;
        let Some(made_by) = made_by else { return Ok(None) };
        let (_, definition) = fingerprint(definition);
        let mut reading = vec![env!("CARGO_PKG_VERSION").to_owned(), definition];
        // A column that a definition gains is there from then on, whether or not the table has been told.
        for column in &open.table.columns {
            reading.extend([column.name.clone(), column.data_type.to_string(), column.json.to_string()]);
        }
        let source = Source::new(version.number(), &made_by, reading.iter().map(String::as_str));
        Ok(Some(Self { version, table: &open.table, key, source }))
    }

    /// Whether a result's rows are each made of one row of this table, with its key in the column at `key`.
    pub(crate) fn is_origin_of(&self, rows: &Rows, key: usize) -> bool {
        let Some(origins) = &rows.origins else { return false };
        let of_key = origins.columns.get(key).and_then(Option::as_deref);
        origins.table == self.table.name && of_key == Some(self.key)
    }
}

impl Refresher {
    /// What has changed since the index was made. None: that can't be told.
    pub(crate) async fn since_then(
        &self,
        index: &IndexRef,
        followed: &Followed<'_>,
    ) -> Result<Option<SinceThen>, RefreshFailure> {
        let basis = Basis::load(&*self.store, index).await.map_err(RefreshFailure::of_store)?;
        let Some(basis) = basis.filter(|basis| basis.source().reads_as(&followed.source)) else { return Ok(None) };
        if self.now().duration_since(basis.whole_at()) >= WHOLE_EVERY {
            return Ok(None);
        }
        let (version, made_by) = (basis.source().version(), basis.source().commit());
        let changes = match followed.version.changes_since(version, made_by, ChangeLimits::default()).await {
            Ok(Since::Changes(changes)) => changes,
            Ok(Since::Untold(why)) => {
                tracing::info!(tenant = %index.tenant, index = %index.id, version, %why, "an index is refreshed from its whole query");
                return Ok(None);
            }
            Err(error) if error.is_temporary() => return Err(DatabaseError::from(error).into()),
            // Of a file, perhaps, that the newest version has no more.
            Err(error) => {
                tracing::warn!(tenant = %index.tenant, index = %index.id, version, error = &error as &dyn std::error::Error, "what has changed in the table of an index can't be told");
                return Ok(None);
            }
        };
        let Changes { keys, rows, commits, files } = changes;
        let read = Read { keys: keys.len() as u64, files, commits };
        let ids = texts(&keys)?;
        let table = QueryTable { provider: rows, ..followed.table.clone() };
        Ok(Some(SinceThen { changed: Changed { basis, ids }, table, read }))
    }
}

/// Keys as the ids of profiles.
fn texts(keys: &dyn Array) -> Result<Vec<String>, QueryError> {
    let texts = cast(keys, &DataType::Utf8)
        .map_err(|error| QueryError::Data { message: format!("a key can't be written as text: {error}") })?;
    Ok(texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect())
}
