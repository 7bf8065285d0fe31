//! The schemas of tables and of their failed rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use freshet_model::{ColumnType, TableDefinition, system};

/// The time zone of every timestamp.
pub(crate) const UTC: &str = "UTC";

/// The columns of a table: those of its definition in their order, then `received_at`, `written_at`, `request_id`,
/// `_partition` and `_offset`. All are nullable: that a key or a required column has a value is held by
/// [`Decoder`](crate::Decoder), and a Delta table whose columns are all nullable can be changed more easily.
pub fn table_schema(definition: &TableDefinition) -> SchemaRef {
    let defined = definition.columns.iter().map(|column| field(column.name.as_str(), data_type(column.column_type)));
    let ours = [
        field(system::RECEIVED_AT, timestamp()),
        field(system::WRITTEN_AT, timestamp()),
        field(system::REQUEST_ID, DataType::Utf8),
        field(system::PARTITION, DataType::Int32),
        field(system::OFFSET, DataType::Int64),
    ];
    Arc::new(Schema::new(defined.chain(ours).collect::<Vec<_>>()))
}

/// The columns of `<table>_failed`, all nullable.
pub fn failed_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        field(system::RECEIVED_AT, timestamp()),
        field(system::WRITTEN_AT, timestamp()),
        field(system::REQUEST_ID, DataType::Utf8),
        field("record_index", DataType::Int32),
        field("column", DataType::Utf8),
        field("reason", DataType::Utf8),
        field("raw", DataType::Utf8),
        field("topic", DataType::Utf8),
        field("partition", DataType::Int32),
        field("offset", DataType::Int64),
    ]))
}

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

fn data_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::String | ColumnType::Json => DataType::Utf8,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Integer => DataType::Int64,
        ColumnType::Double => DataType::Float64,
        ColumnType::Decimal { precision, scale } => DataType::Decimal128(precision, scale.cast_signed()),
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => timestamp(),
    }
}
