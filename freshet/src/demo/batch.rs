//! The demo's batch table: what every customer bought in the first quarter of 1997, as another system's nightly job leaves it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use serde::Deserialize;

use super::cents;
use crate::error::CommandError;

/// The first day after the quarter; days are compared as texts.
const QUARTER_ENDS: &str = "1997-04-01";

/// What of a purchase the batch table is made from.
#[derive(Deserialize)]
struct Purchase<'a> {
    customer_id: &'a str,
    date: &'a str,
    amount: &'a str,
}

#[derive(Default)]
struct Quarter {
    /// The month of the first purchase, as `1997-01`.
    cohort: String,
    purchases: i64,
    cents: i64,
}

/// Writes the table as a Parquet file in a directory, which is made.
///
/// # Errors
/// The file can't be written.
pub(super) fn write(directory: &Path, purchases: &[Bytes]) -> Result<(), CommandError> {
    let file = directory.join("customers.parquet");
    let failed = |source| CommandError::File { path: file.clone(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    let rows = rows(&first_quarter(purchases)?)?;
    let written = File::create(&file).map_err(failed)?;
    let mut writer =
        ArrowWriter::try_new(written, rows.schema(), None).map_err(|source| failed(io::Error::other(source)))?;
    let ended = writer.write(&rows).and_then(|()| writer.close().map(drop));
    ended.map_err(|source| failed(io::Error::other(source)))
}

fn first_quarter(purchases: &[Bytes]) -> Result<BTreeMap<String, Quarter>, CommandError> {
    let mut customers: BTreeMap<String, Quarter> = BTreeMap::new();
    for record in purchases {
        let purchase: Purchase<'_> =
            serde_json::from_slice(record).map_err(|source| CommandError::Failed(format!("a purchase: {source}")))?;
        if purchase.date >= QUARTER_ENDS {
            continue;
        }
        let month = purchase.date.get(..7).unwrap_or_default();
        let customer = customers.entry(purchase.customer_id.to_owned()).or_default();
        if customer.cohort.is_empty() || month < customer.cohort.as_str() {
            month.clone_into(&mut customer.cohort);
        }
        customer.purchases += 1;
        customer.cents += cents(purchase.amount)?;
    }
    Ok(customers)
}

fn rows(customers: &BTreeMap<String, Quarter>) -> Result<RecordBatch, CommandError> {
    let failed = |source: arrow::error::ArrowError| CommandError::Failed(format!("the batch table: {source}"));
    let dollars = Decimal128Array::from_iter_values(customers.values().map(|customer| i128::from(customer.cents)));
    let dollars = dollars.with_precision_and_scale(10, 2).map_err(failed)?;
    let columns: [(&str, ArrayRef); 4] = [
        ("customer_id", Arc::new(StringArray::from_iter_values(customers.keys()))),
        ("cohort", Arc::new(StringArray::from_iter_values(customers.values().map(|customer| &customer.cohort)))),
        ("q1_purchases", Arc::new(Int64Array::from_iter_values(customers.values().map(|customer| customer.purchases)))),
        ("q1_dollars", Arc::new(dollars)),
    ];
    RecordBatch::try_from_iter(columns).map_err(failed)
}
