//! Which files of a version are worth writing again.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::common::stats::Precision;

use super::Maintenance;
use crate::file::DataFile;
use crate::snapshot::Snapshot;

/// Sizes, in bytes, that files are sorted by: those that writes make, those that were put together, and those that are as large as
/// files get. Files of one size whose keys overlap are put together once there are many, so that each row is written again
/// a number of times that grows with the logarithm of the table.
const SIZES: [u64; 2] = [8 << 20, 100 << 20];

/// Dead rows of a hundred in a file that can't wait.
const HALF_GONE: u64 = 50;

/// The files to write again, in one go; none: they are fine.
pub(super) fn choose(snapshot: &Snapshot, key: Option<&str>, maintenance: &Maintenance) -> Vec<Arc<DataFile>> {
    let dying = |percent| snapshot.files().filter(move |file| is_dying(file, percent)).cloned();
    for size in 0..=SIZES.len() {
        let of_size: Vec<&Arc<DataFile>> = snapshot.files().filter(|file| size_of(file) == size).collect();
        let crowd = match key {
            // Of the smallest ones any are too many.
            _ if size == 0 => of_size.into_iter().cloned().collect(),
            Some(key) => overlapping(&of_size, key, snapshot.query_schema()),
            None => Vec::new(),
        };
        if crowd.len() >= maintenance.files.max(2) {
            // Files that are many are in the way of every query, and quickly put together. Large ones that are dying wait for a
            // round of their own, unless they are half gone.
            let mut chosen: Vec<Arc<DataFile>> =
                crowd.into_iter().chain(dying(maintenance.dead_percent.max(HALF_GONE))).collect();
            chosen.sort_by(|left, right| left.name().cmp(right.name()));
            chosen.dedup_by(|left, right| left.name() == right.name());
            return chosen;
        }
    }
    dying(maintenance.dead_percent).collect()
}

fn size_of(file: &DataFile) -> usize {
    SIZES.iter().filter(|size| file.size() >= **size).count()
}

/// Whether many of a file's rows are dead. Tombstones, which always are, don't count.
fn is_dying(file: &DataFile, percent: u64) -> bool {
    let tombstones = file.tombstones();
    let Some(rows) = file.rows().map(|rows| rows.saturating_sub(tombstones)).filter(|rows| *rows > 0) else {
        return false;
    };
    file.dead_count().saturating_sub(tombstones).saturating_mul(100) >= rows.saturating_mul(percent.max(1))
}

/// Those of some files whose keys overlap with another one's.
fn overlapping(files: &[&Arc<DataFile>], key: &str, schema: &SchemaRef) -> Vec<Arc<DataFile>> {
    let Ok(column) = schema.index_of(key) else { return Vec::new() };
    let range = |file: &Arc<DataFile>| -> Option<(ScalarValue, ScalarValue)> {
        let bounds = file.bounds(schema);
        let column = bounds.column_statistics.get(column)?;
        match (&column.min_value, &column.max_value) {
            (Precision::Exact(least), Precision::Exact(greatest)) => Some((least.clone(), greatest.clone())),
            _ => None,
        }
    };
    let ranges: Vec<_> = files.iter().map(|file| range(file)).collect();
    let meets = |left: usize, right: usize| match (ranges.get(left), ranges.get(right)) {
        (Some(Some((least, greatest))), Some(Some((other_least, other_greatest)))) => {
            least <= other_greatest && other_least <= greatest
        }
        // What isn't known may overlap.
        _ => true,
    };
    let all = 0..files.len();
    let crowded = all.clone().filter(|left| all.clone().any(|right| *left != right && meets(*left, right)));
    crowded.filter_map(|index| files.get(index)).map(|file| (*file).clone()).collect()
}
