//! Results as tables store them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use freshet_query::{QueryError, Rows, TableColumn};

use crate::RefreshFailure;

/// Characters that no column of a Delta table has in its name (Delta protocol, without column mapping).
const REFUSED: [char; 9] = [' ', ',', ';', '{', '}', '(', ')', '\n', '\t'];

/// The schema that a table stores a result with.
pub(crate) fn stored_schema(rows: &Rows) -> Result<SchemaRef, RefreshFailure> {
    let wrong = |message: String| Err(RefreshFailure::Column { message });
    if rows.columns.is_empty() {
        return wrong("the result has no columns".to_owned());
    }
    let mut seen = HashSet::new();
    let mut fields = Vec::with_capacity(rows.columns.len());
    for (column, field) in rows.columns.iter().zip(rows.schema.fields()) {
        let name = &column.name;
        if name.is_empty() || name.contains(REFUSED) || name.contains('=') {
            return wrong(format!("{name:?} can't be the name of a table's column: give it another with AS"));
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            return wrong(format!("the result has two columns {name:?}: give each a name of its own with AS"));
        }
        let data_type = match field.data_type() {
            DataType::Null | DataType::Time64(_) => DataType::Utf8,
            DataType::UInt64 => DataType::Decimal128(20, 0),
            DataType::Decimal256(..) => {
                let found = &column.type_name;
                return wrong(format!("column {name:?} is a {found}, and tables hold 38 digits: CAST it to fewer"));
            }
            other => other.clone(),
        };
        let metadata = if column.type_name == "json" && data_type == DataType::Utf8 {
            TableColumn::json_metadata()
        } else {
            HashMap::new()
        };
        fields.push(Field::new(name, data_type, true).with_metadata(metadata));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// A batch of a result with the types of the table.
pub(crate) fn stored(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, QueryError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() { Ok(Arc::clone(column)) } else { cast(column, field.data_type()) }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>();
    columns
        .and_then(|columns| RecordBatch::try_new(Arc::clone(schema), columns))
        .map_err(|error| QueryError::Data { message: format!("a value can't be kept in the table: {error}") })
}
