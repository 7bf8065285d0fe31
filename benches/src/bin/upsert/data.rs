//! What is upserted into what.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use freshet_benches::orders;
use freshet_benches::peer::Identity;
use serde::{Deserialize, Serialize};

use crate::lineitem;

/// The rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Data {
    /// So many orders.
    Orders(u64),
    /// TPC-H's lineitem at a scale factor.
    LineItems(f64),
}

/// A batch to upsert.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// Each number, from 1, is another batch, whose rows are newer than those of lesser ones.
    pub(crate) number: u64,
    /// Its rows.
    pub(crate) rows: usize,
    /// How many of a hundred are of keys that the table has.
    pub(crate) updates: usize,
}

impl Data {
    pub(crate) fn schema(self) -> SchemaRef {
        match self {
            Self::Orders(_) => orders::schema(),
            Self::LineItems(_) => lineitem::schema(),
        }
    }

    pub(crate) fn key(self) -> &'static [&'static str] {
        match self {
            Self::Orders(_) => &[orders::KEY],
            Self::LineItems(_) => &lineitem::KEY,
        }
    }

    /// The column that orders a key's rows before the system's.
    pub(crate) fn order_by(self) -> Option<&'static str> {
        match self {
            Self::Orders(_) => Some(orders::ORDER_BY),
            Self::LineItems(_) => None,
        }
    }

    /// What a MERGE has to be told.
    pub(crate) fn identity(self) -> Identity<'static> {
        Identity { key: self.key(), order_by: self.order_by().unwrap_or("received_at") }
    }

    /// A column whose sum tells whether two tables hold the same.
    pub(crate) fn amount(self) -> &'static str {
        match self {
            Self::Orders(_) => "revenue",
            Self::LineItems(_) => "l_extendedprice",
        }
    }

    /// All its rows by key, up to a million at a time.
    pub(crate) fn stretches(self) -> Box<dyn Iterator<Item = anyhow::Result<RecordBatch>>> {
        match self {
            Self::Orders(rows) => Box::new(orders::stretches(rows)),
            Self::LineItems(scale) => Box::new(lineitem::stretches(scale)),
        }
    }

    pub(crate) fn batch(self, batch: Batch) -> anyhow::Result<RecordBatch> {
        let Batch { number, rows, updates } = batch;
        match self {
            Self::Orders(orders) => orders::batch(orders, number, rows, updates),
            Self::LineItems(scale) => lineitem::batch(scale, number, rows, updates),
        }
    }
}
