//! A refresh of a profile index.

use arrow::array::{Array, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use freshet_catalog::{Index, TenantCatalog};
use freshet_database::{DatabaseTables, TableVersions};
use freshet_model::{ColumnName, IndexDefinition};
use freshet_profile::{IndexRef, ProfileRow, RefreshReport, Shape, refresh};
use freshet_query::{JsonObjects, QueryError, Rows};
use freshet_runs::{Claim, Counts, Outcome};
use futures::{Stream, StreamExt, stream};

use crate::{RefreshFailure, Refresher};

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
            Ok((report, mut versions)) => {
                claim.end_step(name, Outcome::Succeeded(counts(&report)), self.now()).await?;
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
    ) -> Result<(RefreshReport, TableVersions), RefreshFailure> {
        let definition = &index.definition;
        let gone = || RefreshFailure::Gone { what: format!("database {}", definition.database) };
        let tables = DatabaseTables::of(catalog, definition.database.as_str()).ok_or_else(gone)?;
        let key = definition.key.to_string();
        let (rows, versions) = self.start(&tables, &definition.query, Some(key.clone())).await?;
        let key = rows.column(&key)?;
        let spelt = |name: &str| -> Result<String, RefreshFailure> {
            let place = rows.column(name)?;
            Ok(rows.columns.get(place).map(|column| column.name.clone()).unwrap_or_default())
        };
        let filters = definition.filters.iter().map(|filter| spelt(filter.as_str())).collect::<Result<Vec<_>, _>>()?;
        let key_name = spelt(definition.key.as_str())?;
        let shape = Shape::of(definition.database.as_str(), &definition.query, &key_name, filters)?;
        let of = IndexRef { tenant: catalog.tenant().clone(), id: index.id.clone() };
        let as_of = rows.as_of;
        let profiles = profiles(rows, key)?;
        let report = refresh(&*self.store, &of, &shape, profiles, as_of, &|| self.now()).await?;
        Ok((report, versions))
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
