//! A refresh of a profile index.

use arrow::array::{Array, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use freshet_catalog::{Index, TenantCatalog};
use freshet_database::{DatabaseTables, TableVersions};
use freshet_model::{ColumnName, IndexDefinition};
use freshet_profile::{IndexRef, Origin, ProfileRow, RefreshReport, Shape, refresh, refresh_changed};
use freshet_query::{JsonObjects, QueryError, Rows};
use freshet_runs::{Claim, Counts, Outcome};
use futures::{Stream, StreamExt, stream};

use crate::incremental::{Followed, SinceThen};
use crate::{Opened, RefreshFailure, Refresher};

/// The name under which a definition's fingerprint stands among the versions that a refresh read; no table has it.
const DEFINITION: &str = "(definition)";

/// What of a definition decides which profiles the index holds, as one of the versions that a refresh read.
#[must_use]
pub fn fingerprint(definition: &IndexDefinition) -> (String, String) {
    let filters: Vec<&str> = definition.filters.iter().map(ColumnName::as_str).collect();
    let text = format!("{}\n{}\n{}\n{}", definition.database, definition.key, filters.join(","), definition.query);
    (DEFINITION.to_owned(), text)
}

impl Refresher {
    /// Makes the index hold what its query answers now, in one step of the run. The answer is which versions were read, or none where
    /// that failed: the step says why.
    ///
    /// # Errors
    /// The run can't be recorded.
    pub async fn run_index(
        &self,
        catalog: &TenantCatalog,
        index: &Index,
        claim: &Claim,
    ) -> Result<Option<TableVersions>, RefreshFailure> {
        let name = index.name.as_str();
        claim.begin_step(name, self.now()).await?;
        match self.refresh_index(catalog, index).await {
            Ok((counts, mut versions)) => {
                claim.end_step(name, Outcome::Succeeded(counts), self.now()).await?;
                versions.extend([fingerprint(&index.definition)]);
                Ok(Some(versions))
            }
            Err(failure) => {
                tracing::warn!(tenant = %catalog.tenant(), index = name, error = &failure as &dyn std::error::Error, "a profile index was not refreshed");
                claim.end_step(name, Outcome::Failed(failure.to_string()), self.now()).await?;
                Ok(None)
            }
        }
    }

    async fn refresh_index(
        &self,
        catalog: &TenantCatalog,
        index: &Index,
    ) -> Result<(Counts, TableVersions), RefreshFailure> {
        let definition = &index.definition;
        let gone = || RefreshFailure::Gone { what: format!("database {}", definition.database) };
        let tables = DatabaseTables::of(catalog, definition.database.as_str()).ok_or_else(gone)?;
        let of = IndexRef { tenant: catalog.tenant().clone(), id: index.id.clone() };
        let opened = self.open(&tables, &definition.query).await?;
        let followed = Followed::of(definition, &opened).await?;
        let counts = match &followed {
            Some(followed) => self.refresh_changed(&of, definition, &opened, followed).await?,
            None => None,
        };
        let counts = match counts {
            Some(counts) => counts,
            None => self.refresh_whole(&of, definition, &opened, followed).await?,
        };
        Ok((counts, opened.versions()))
    }

    /// Reads the whole query.
    async fn refresh_whole(
        &self,
        of: &IndexRef,
        definition: &IndexDefinition,
        opened: &Opened,
        followed: Option<Followed<'_>>,
    ) -> Result<Counts, RefreshFailure> {
        let rows = self.start(opened, opened.tables(), Some(definition.key.to_string())).await?;
        let Answer { rows, key, shape } = Answer::of(rows, definition)?;
        let source = followed.filter(|followed| followed.is_origin_of(&rows, key)).map(|followed| followed.source);
        let origin = Origin { as_of: rows.as_of, source };
        let report = refresh(&*self.store, of, &shape, profiles(rows, key)?, origin, &|| self.now()).await?;
        Ok(counts(&report))
    }

    /// Reads what has changed since the last refresh alone. None: the whole query is to be read.
    async fn refresh_changed(
        &self,
        of: &IndexRef,
        definition: &IndexDefinition,
        opened: &Opened,
        followed: &Followed<'_>,
    ) -> Result<Option<Counts>, RefreshFailure> {
        let Some(SinceThen { changed, table, read }) = self.since_then(of, followed).await? else { return Ok(None) };
        let rows = self.start(opened, vec![table], Some(definition.key.to_string())).await?;
        let Answer { rows, key, shape } = Answer::of(rows, definition)?;
        if !followed.is_origin_of(&rows, key) || !changed.basis.is_of(&shape) {
            return Ok(None);
        }
        let origin = Origin { as_of: rows.as_of, source: Some(followed.source.clone()) };
        let profiles = profiles(rows, key)?;
        let report = refresh_changed(&*self.store, of, &shape, changed, profiles, origin, &|| self.now()).await?;
        let mut counts = counts(&report);
        let read = [("changed_keys", read.keys), ("commits_read", read.commits), ("files_read", read.files)];
        counts.extend(read.map(|(name, count)| (name.to_owned(), count)));
        Ok(Some(counts))
    }
}

/// The rows of an index's query, and what makes profiles of them.
struct Answer {
    rows: Rows,
    /// Which column is the id.
    key: usize,
    shape: Shape,
}

impl Answer {
    fn of(rows: Rows, definition: &IndexDefinition) -> Result<Self, RefreshFailure> {
        let spelt = |name: &ColumnName| -> Result<String, RefreshFailure> {
            let place = rows.column(name.as_str())?;
            Ok(rows.columns.get(place).map(|column| column.name.clone()).unwrap_or_default())
        };
        let key = rows.column(definition.key.as_str())?;
        let filters = definition.filters.iter().map(spelt).collect::<Result<Vec<_>, _>>()?;
        let key_name = spelt(&definition.key)?;
        let shape = Shape::of(definition.database.as_str(), &definition.query, &key_name, filters)?;
        Ok(Self { rows, key, shape })
    }
}

/// The rows as profiles: the key's text, and the columns as a JSON object.
fn profiles(
    rows: Rows,
    key: usize,
) -> Result<impl Stream<Item = Result<ProfileRow, QueryError>> + Send, RefreshFailure> {
    let objects = JsonObjects::of(&rows.columns)?;
    Ok(rows.flat_map(move |batch| {
        let profiles = batch.and_then(|batch| {
            let ids = batch.columns().get(key).map(|column| cast(column, &DataType::Utf8));
            let ids = ids
                .and_then(Result::ok)
                .unwrap_or_else(|| std::sync::Arc::new(StringArray::new_null(batch.num_rows())));
            let ids = ids.as_string::<i32>();
            let objects = objects.rows(&batch);
            let mut profiles = Vec::with_capacity(batch.num_rows());
            for row in 0..batch.num_rows() {
                let mut body = Vec::new();
                objects.write(row, &mut body)?;
                let attributes = String::from_utf8(body).map_err(|_| QueryError::Data {
                    message: "a value is not text of Unicode characters".to_owned(),
                })?;
                let id = ids.is_valid(row).then(|| ids.value(row).to_owned());
                profiles.push(ProfileRow { id, attributes });
            }
            Ok(profiles)
        });
        match profiles {
            Ok(profiles) => stream::iter(profiles.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => stream::iter(vec![Err(error)]),
        }
    }))
}

fn counts(report: &RefreshReport) -> Counts {
    let counts = [
        ("rows", report.rows),
        ("profiles", report.profiles),
        ("written", report.written),
        ("unchanged", report.unchanged),
        ("removed", report.removed),
        ("null_keys", report.null_keys),
        ("unusable_keys", report.unusable_keys),
        ("duplicate_keys", report.duplicate_keys),
        ("too_large", report.too_large),
        ("generation", report.generation),
    ];
    counts.map(|(name, count)| (name.to_owned(), count)).into()
}
