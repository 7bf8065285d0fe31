//! Which rows of a file can have one of some values in a column, by what the file says of itself: the least and greatest values of its row
//! groups and pages, and the bloom filters of its row groups.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type};
use arrow::error::ArrowError;
use arrow::row::{Row, RowConverter, Rows, SortField};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::basic::Type as PhysicalType;
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::ParquetMetaData;

use crate::key::orders_as_values;

/// Values up to which a row group's bloom filter is asked: with more of them a group holds one anyhow.
const VALUES_FOR_BLOOM_FILTER: usize = 1_000;

/// Values of a column that are looked for, in their order.
#[derive(Debug)]
pub(crate) struct Sought {
    column: ArrayRef,
    /// As they compare; none: they don't compare as statistics do.
    comparable: Option<(RowConverter, Rows)>,
}

impl Sought {
    /// Values that are sorted.
    pub(crate) fn new(column: ArrayRef) -> Result<Self, ArrowError> {
        let comparable = if orders_as_values(column.data_type()) {
            let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
            let values = converter.convert_columns(std::slice::from_ref(&column))?;
            Some((converter, values))
        } else {
            None
        };
        Ok(Self { column, comparable })
    }

    /// Those that lie between two values, one row each of `bounds`; all where that can't be told.
    fn between(&self, least: &ArrayRef, greatest: &ArrayRef, row: usize) -> Range<usize> {
        let all = 0..self.column.len();
        let Some((converter, values)) = &self.comparable else { return all };
        if least.is_null(row) || greatest.is_null(row) || least.data_type() != self.column.data_type() {
            return all;
        }
        let bound = |column: &ArrayRef| converter.convert_columns(&[column.slice(row, 1)]).ok();
        let (Some(least), Some(greatest)) = (bound(least), bound(greatest)) else { return all };
        let start = partition_point(values, |value| value < least.row(0));
        let end = partition_point(values, |value| value <= greatest.row(0));
        start..end.max(start)
    }
}

fn partition_point(values: &Rows, is_before: impl Fn(Row<'_>) -> bool) -> usize {
    let (mut start, mut end) = (0, values.num_rows());
    while start < end {
        let middle = start + (end - start) / 2;
        if is_before(values.row(middle)) {
            start = middle + 1;
        } else {
            end = middle;
        }
    }
    start
}

/// A column of a row group.
pub(crate) struct GroupColumn<'a> {
    metadata: &'a ParquetMetaData,
    group: usize,
    /// Which of the file's columns it is.
    leaf: usize,
    converter: StatisticsConverter<'a>,
}

impl<'a> GroupColumn<'a> {
    /// The column of a field, which is as the file has it. None: the file has no such column.
    pub(crate) fn of(metadata: &'a ParquetMetaData, group: usize, field: &'a Field) -> Option<Self> {
        let schema = metadata.file_metadata().schema_descr();
        let leaf = schema.columns().iter().position(|column| column.path().parts() == [field.name().as_str()])?;
        let converter = StatisticsConverter::from_column_index(leaf, field, schema).ok()?;
        Some(Self { metadata, group, leaf, converter })
    }

    pub(crate) fn leaf(&self) -> usize {
        self.leaf
    }

    /// The rows that can have one of the values, counted from the group's first on. The group's `bloom_filter` of the column is waited for
    /// only where it is asked.
    pub(crate) async fn rows_with<E>(
        &self,
        sought: &Sought,
        bloom_filter: impl Future<Output = Result<Option<Arc<Sbbf>>, E>>,
    ) -> Result<Vec<Range<usize>>, E> {
        let Some(group) = self.metadata.row_groups().get(self.group) else { return Ok(Vec::new()) };
        let mut candidates: Vec<usize> =
            match (self.converter.row_group_mins([group]), self.converter.row_group_maxes([group])) {
                (Ok(least), Ok(greatest)) => sought.between(&least, &greatest, 0).collect(),
                _ => (0..sought.column.len()).collect(),
            };
        if !candidates.is_empty()
            && candidates.len() <= VALUES_FOR_BLOOM_FILTER
            && let Some(filter) = bloom_filter.await?
        {
            let physical = group.column(self.leaf).column_type();
            candidates.retain(|candidate| may_hold(&filter, physical, &sought.column, *candidate));
        }
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let rows = usize::try_from(group.num_rows()).unwrap_or(usize::MAX);
        Ok(self.pages_with(sought, &candidates, rows).unwrap_or_else(|| std::iter::once(0..rows).collect()))
    }

    /// The rows of the pages that can have one of the candidates. None: that can't be told.
    fn pages_with(&self, sought: &Sought, candidates: &[usize], rows: usize) -> Option<Vec<Range<usize>>> {
        let (columns, offsets) = self.metadata.column_index().zip(self.metadata.offset_index())?;
        let group = &self.group;
        let least = self.converter.data_page_mins(columns, offsets, [group]).ok()?;
        let greatest = self.converter.data_page_maxes(columns, offsets, [group]).ok()?;
        let counts = self.converter.data_page_row_counts(offsets, self.metadata.row_groups(), [group]).ok()??;
        if counts.len() != least.len() || counts.values().iter().sum::<u64>() != rows as u64 {
            return None;
        }
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut start = 0;
        for (page, count) in counts.values().iter().enumerate() {
            let end = start + usize::try_from(*count).unwrap_or(0);
            let between = sought.between(&least, &greatest, page);
            let first = candidates.partition_point(|candidate| *candidate < between.start);
            if candidates.get(first).is_some_and(|candidate| *candidate < between.end) {
                match ranges.last_mut() {
                    Some(range) if range.end == start => range.end = end,
                    _ => ranges.push(start..end),
                }
            }
            start = end;
        }
        Some(ranges)
    }
}

/// Whether a group with this bloom filter can hold a value. Asked are only types whose bytes are those that the filter was made of.
fn may_hold(filter: &Sbbf, physical: PhysicalType, values: &ArrayRef, row: usize) -> bool {
    if values.is_null(row) {
        return true;
    }
    match (values.data_type(), physical) {
        (DataType::Utf8, PhysicalType::BYTE_ARRAY) => filter.check(values.as_string::<i32>().value(row)),
        (DataType::Int32, PhysicalType::INT32) => filter.check(&values.as_primitive::<Int32Type>().value(row)),
        (DataType::Int64, PhysicalType::INT64) => filter.check(&values.as_primitive::<Int64Type>().value(row)),
        _ => true,
    }
}
