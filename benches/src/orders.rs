//! Orders to fill tables with, and batches to upsert: the same in every run.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::{
    ArrayRef, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// The column that tells orders apart.
pub const KEY: &str = "order_id";
/// The column that says which state of an order is newer.
pub const ORDER_BY: &str = "order_datetime";
/// Rows that are brought into a table at a time when it is filled.
pub const STRETCH: usize = 1_000_000;

/// 2023-11-14, in microseconds.
const FIRST_DAY: i64 = 1_700_000_000_000_000;
const SECOND: i64 = 1_000_000;
const SECONDS_OF_A_YEAR: u64 = 31_536_000;
/// Far more than any table has orders, so that those which a batch adds are in no other batch.
const NEW_ORDERS_OF_A_BATCH: u64 = 10_000_000;
const STATUSES: [&str; 5] = ["created", "paid", "shipped", "delivered", "cancelled"];
const CHANNELS: [&str; 3] = ["web", "store", "app"];
const CITIES: [&str; 7] = ["London", "Paris", "Berlin", "Lisbon", "Vienna", "Oslo", "Rome"];

/// A number that says nothing of the one it is made of: no two numbers make the same.
#[must_use]
pub fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// Twelve columns of an order, and five of the system.
#[must_use]
pub fn schema() -> SchemaRef {
    let money = || DataType::Decimal128(15, 2);
    let mut fields = vec![
        Field::new(KEY, DataType::Utf8, true),
        Field::new("email", DataType::Utf8, true),
        Field::new(ORDER_BY, timestamp(), true),
        Field::new("status", DataType::Utf8, true),
        Field::new("channel", DataType::Utf8, true),
        Field::new("sku", DataType::Utf8, true),
        Field::new("quantity", DataType::Int64, true),
        Field::new("revenue", money(), true),
        Field::new("discount", money(), true),
        Field::new("tax", money(), true),
        Field::new("city", DataType::Utf8, true),
        Field::new("note", DataType::Utf8, true),
    ];
    fields.extend(system_fields());
    Arc::new(Schema::new(fields))
}

/// The columns that every table has of the records that its rows came in.
#[must_use]
pub fn system_fields() -> [Field; 5] {
    [
        Field::new("received_at", timestamp(), true),
        Field::new("written_at", timestamp(), true),
        Field::new("request_id", DataType::Utf8, true),
        Field::new("_partition", DataType::Int32, true),
        Field::new("_offset", DataType::Int64, true),
    ]
}

/// The same, filled for rows of rising offsets.
#[must_use]
pub fn system_columns(first_offset: u64, rows: usize) -> [ArrayRef; 5] {
    let offsets: Vec<i64> = (signed(first_offset)..).take(rows).collect();
    let received = offsets.iter().map(|offset| FIRST_DAY + offset * 1_000).collect();
    let written = offsets.iter().map(|offset| FIRST_DAY + (offset / 10_000 + 1) * 10 * SECOND).collect();
    let requests = offsets.iter().map(|offset| format!("r-{:012x}", mix(offset.unsigned_abs() / 100) >> 16));
    [
        times(received),
        times(written),
        Arc::new(StringArray::from_iter_values(requests)),
        Arc::new(Int32Array::from(vec![0; rows])),
        Arc::new(Int64Array::from(offsets)),
    ]
}

/// An order's id.
#[must_use]
pub fn id(mixed: u64) -> String {
    format!("o{mixed:016x}")
}

/// So many orders, sorted by id, a [`STRETCH`] at a time.
pub fn stretches(rows: u64) -> impl Iterator<Item = anyhow::Result<RecordBatch>> {
    let mut mixed: Vec<u64> = (0..rows).map(mix).collect();
    mixed.sort_unstable();
    let mut next = 0;
    std::iter::from_fn(move || {
        let stretch = mixed.get(next..mixed.len().min(next + STRETCH)).filter(|stretch| !stretch.is_empty())?;
        let made = states(stretch, 0, next as u64);
        next += stretch.len();
        Some(made)
    })
}

/// A batch to upsert into a table of so many orders: as many orders of it, each as likely as another, as `updates` says in percent, and
/// new ones; in no order. Each `number`, from 1, makes another batch, whose offsets come after those of lesser ones.
///
/// # Errors
/// The table has too few orders.
pub fn batch(rows: u64, number: u64, count: usize, updates: usize) -> anyhow::Result<RecordBatch> {
    let known = count * updates / 100;
    anyhow::ensure!(known as u64 <= rows / 2, "{rows} orders are too few to update {known}");
    let mut chosen = HashSet::with_capacity(known);
    let mut mixed = Vec::with_capacity(count);
    for draw in number * NEW_ORDERS_OF_A_BATCH.. {
        if mixed.len() == known {
            break;
        }
        let order = mix(draw) % rows;
        if chosen.insert(order) {
            mixed.push(mix(order));
        }
    }
    mixed.extend((rows + number * NEW_ORDERS_OF_A_BATCH..).map(mix).take(count - known));
    // By another mix: the order of the ids themselves would be what the table is sorted by.
    mixed.sort_unstable_by_key(|order| mix(order ^ number));
    states(&mixed, number, rows + number * NEW_ORDERS_OF_A_BATCH)
}

/// Orders as of a state, the greater the newer.
fn states(mixed: &[u64], state: u64, first_offset: u64) -> anyhow::Result<RecordBatch> {
    let text = |made: &dyn Fn(u64) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(mixed.iter().map(|order| made(*order))))
    };
    let one_of = |names: &'static [&'static str], turned: u32| -> ArrayRef {
        let chosen = |order: &u64| names.get(remainder(order.rotate_left(turned).wrapping_add(state), names.len()));
        Arc::new(mixed.iter().map(chosen).collect::<StringArray>())
    };
    let money = |made: &dyn Fn(u64) -> u64| -> anyhow::Result<ArrayRef> {
        let values = Decimal128Array::from_iter_values(mixed.iter().map(|order| i128::from(made(*order))));
        Ok(Arc::new(values.with_precision_and_scale(15, 2).context("an amount")?))
    };
    let ordered_at = |order: &u64| FIRST_DAY + signed(order % SECONDS_OF_A_YEAR + state) * SECOND;
    let mut columns: Vec<ArrayRef> = vec![
        text(&id),
        text(&|order| format!("user{}@example{}.com", order % 5_000_000, order % 97)),
        times(mixed.iter().map(ordered_at).collect()),
        one_of(&STATUSES, 7),
        one_of(&CHANNELS, 17),
        text(&|order| format!("sku-{:06}", (order >> 20) % 50_000)),
        Arc::new(Int64Array::from_iter_values(mixed.iter().map(|order| signed((order >> 9) % 50 + 1)))),
        money(&|order| order % 10_000_000 + state)?,
        money(&|order| (order >> 13) % 11)?,
        money(&|order| (order >> 29) % 9)?,
        one_of(&CITIES, 27),
        text(&|order| format!("gift wrap {}, ring twice at {}", order % 7, (order >> 33) % 1_000)),
    ];
    columns.extend(system_columns(first_offset, mixed.len()));
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn times(microseconds: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(microseconds).with_timezone("UTC"))
}

/// A number that is far below 2^63.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn remainder(number: u64, of: usize) -> usize {
    usize::try_from(number % of as u64).unwrap_or_default()
}
