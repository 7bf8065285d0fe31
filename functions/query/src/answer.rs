//! The answer's shape, for its description and for clients in Rust; [`freshet_query`] writes it.

use serde::{Deserialize, Serialize};

/// The rows that a query gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlAnswer {
    /// The columns, in the order of each row's values.
    pub columns: Vec<AnswerColumn>,
    /// The rows. An integer, or a decimal without its point, beyond 2^53 is a string; so are dates (`2026-06-14`), timestamps
    /// (RFC 3339, UTC, microseconds), JSON, and doubles that are no number.
    #[schema(example = json!([["a-1", 79.99, "2026-06-14T00:24:16.000000Z"]]))]
    pub rows: Vec<Vec<serde_json::Value>>,
    /// How many rows there are here.
    pub row_count: usize,
    /// Whether the query has more rows than its limit.
    pub truncated: bool,
    /// The time of the tables' versions: what was in them then is in the answer.
    #[schema(example = "2026-06-14T00:24:16.000000Z")]
    pub as_of: String,
    /// What the query took.
    pub statistics: AnswerStatistics,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerColumn {
    /// Its name.
    #[schema(example = "order_revenue")]
    pub name: String,
    /// `string`, `boolean`, `integer`, `double`, `decimal(p,s)`, `date`, `timestamp`, `json` (also lists and structs), `time`, `interval`, `binary`, or
    /// `null` where all values are.
    #[serde(rename = "type")]
    #[schema(example = "decimal(18,2)")]
    pub column_type: String,
}

/// What a query took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerStatistics {
    /// From its planning to its last row, in milliseconds.
    pub elapsed_ms: u64,
    /// Rows that came out of the tables.
    pub rows_read: u64,
    /// Bytes that went to disk because they did not fit into the query's memory.
    pub bytes_spilled: u64,
}
