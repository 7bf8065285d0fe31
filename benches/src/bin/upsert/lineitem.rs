//! TPC-H's lineitem, and batches to upsert into it.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use freshet_benches::orders::{STRETCH, mix, system_columns, system_fields};
use tpchgen::generators::LineItemGenerator;

pub(crate) const KEY: [&str; 2] = ["l_orderkey", "l_linenumber"];

/// Orders at scale factor 1.
const ORDERS: f64 = 1_500_000.0;
/// Of so many keys of orders in a row TPC-H uses the first `KEYS_USED`, except for 0: the others are there for inserts.
const KEYS_IN_A_ROW: u64 = 32;
const KEYS_USED: u64 = 8;
/// More than there are rows at any scale that fits a machine, so that batches' offsets come after them.
const FIRST_OFFSET: u64 = 1_000_000_000;
const OFFSETS_OF_A_BATCH: u64 = 10_000_000;
/// Days from 1970 to TPC-H's first day.
const FIRST_DAY: u64 = 8_035;

/// A row, of TPC-H's own or of a batch.
struct Line {
    order: i64,
    part: i64,
    supplier: i64,
    number: i32,
    /// Quantity, price, discount and tax in hundredths.
    amounts: [i64; 4],
    return_flag: String,
    status: String,
    /// Days of shipping, commitment and receipt.
    days: [i32; 3],
    instruction: String,
    mode: String,
    comment: String,
}

pub(crate) fn schema() -> SchemaRef {
    let mut fields = vec![
        Field::new(KEY[0], DataType::Int64, true),
        Field::new("l_partkey", DataType::Int64, true),
        Field::new("l_suppkey", DataType::Int64, true),
        Field::new(KEY[1], DataType::Int32, true),
    ];
    let amounts = ["l_quantity", "l_extendedprice", "l_discount", "l_tax"];
    fields.extend(amounts.map(|name| Field::new(name, DataType::Decimal128(15, 2), true)));
    fields.extend(["l_returnflag", "l_linestatus"].map(|name| Field::new(name, DataType::Utf8, true)));
    let days = ["l_shipdate", "l_commitdate", "l_receiptdate"];
    fields.extend(days.map(|name| Field::new(name, DataType::Date32, true)));
    fields.extend(["l_shipinstruct", "l_shipmode", "l_comment"].map(|name| Field::new(name, DataType::Utf8, true)));
    fields.extend(system_fields());
    Arc::new(Schema::new(fields))
}

/// All its rows, which come sorted by key.
pub(crate) fn stretches(scale: f64) -> impl Iterator<Item = anyhow::Result<RecordBatch>> {
    let mut lines = LineItemGenerator::new(scale, 1, 1).iter().map(|line| Line {
        order: line.l_orderkey,
        part: line.l_partkey,
        supplier: line.l_suppkey,
        number: line.l_linenumber,
        amounts: [
            line.l_quantity * 100,
            line.l_extendedprice.into_inner(),
            line.l_discount.into_inner(),
            line.l_tax.into_inner(),
        ],
        return_flag: line.l_returnflag.to_owned(),
        status: line.l_linestatus.to_owned(),
        days: [line.l_shipdate, line.l_commitdate, line.l_receiptdate].map(|day| day.to_unix_epoch()),
        instruction: line.l_shipinstruct.to_owned(),
        mode: line.l_shipmode.to_owned(),
        comment: line.l_comment.to_owned(),
    });
    let mut next_offset = 0;
    std::iter::from_fn(move || {
        let stretch: Vec<Line> = lines.by_ref().take(STRETCH).collect();
        if stretch.is_empty() {
            return None;
        }
        let first_offset = next_offset;
        next_offset += stretch.len() as u64;
        Some(rows(&stretch, first_offset))
    })
}

/// So many rows, of which `updates` percent are the first lines of orders that are there, each as likely as another, and the others those
/// of new orders, whose keys lie among theirs.
pub(crate) fn batch(scale: f64, number: u64, count: usize, updates: usize) -> anyhow::Result<RecordBatch> {
    let known = count * updates / 100;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "far below 2^53, and whole")]
    let orders = (ORDERS * scale) as u64;
    let enough = known as u64 <= orders / 2 && (count - known) as u64 <= orders / KEYS_USED / 2;
    anyhow::ensure!(enough, "{orders} orders are too few for a batch of {count} rows");
    let first = FIRST_OFFSET + number * OFFSETS_OF_A_BATCH;
    let mut chosen = HashSet::with_capacity(count);
    let mut lines = Vec::with_capacity(count);
    for draw in first.. {
        if lines.len() == count {
            break;
        }
        let order = mix(draw) % orders + 1;
        // Each batch inserts at another place of the gap after the keys that are used: no later batch meets it.
        let unused = KEYS_USED + number % (KEYS_IN_A_ROW - KEYS_USED);
        let place = if lines.len() < known { order % KEYS_USED } else { unused };
        let key = order / KEYS_USED * KEYS_IN_A_ROW + place;
        if chosen.insert(key) {
            lines.push(synthetic(key, draw)?);
        }
    }
    lines.sort_unstable_by_key(|line| mix(line.order.unsigned_abs() ^ number));
    rows(&lines, first)
}

fn synthetic(order: u64, draw: u64) -> anyhow::Result<Line> {
    let random = mix(draw ^ 0x5EED);
    let shipped = i32::try_from(FIRST_DAY + random % 2_500)?;
    Ok(Line {
        order: i64::try_from(order)?,
        part: i64::try_from(random % 2_000_000 + 1)?,
        supplier: i64::try_from((random >> 8) % 100_000 + 1)?,
        number: 1,
        amounts: [(random % 50 + 1) * 100, (random >> 16) % 10_000_000, random % 11, random % 9]
            .map(|amount| i64::try_from(amount).unwrap_or_default()),
        return_flag: if random.is_multiple_of(2) { "N" } else { "R" }.to_owned(),
        status: if random.is_multiple_of(3) { "O" } else { "F" }.to_owned(),
        days: [shipped, shipped + 20, shipped + 9],
        instruction: "DELIVER IN PERSON".to_owned(),
        mode: "TRUCK".to_owned(),
        comment: format!("carefully even deposits {}", random % 10_000),
    })
}

fn rows(lines: &[Line], first_offset: u64) -> anyhow::Result<RecordBatch> {
    fn text<'a>(lines: &'a [Line], of: impl Fn(&'a Line) -> &'a str) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(lines.iter().map(of)))
    }
    let number = |of: fn(&Line) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(lines.iter().map(of))) };
    let mut columns: Vec<ArrayRef> = vec![
        number(|line| line.order),
        number(|line| line.part),
        number(|line| line.supplier),
        Arc::new(Int32Array::from_iter_values(lines.iter().map(|line| line.number))),
    ];
    let amounts: [fn(&Line) -> i64; 4] =
        [|line| line.amounts[0], |line| line.amounts[1], |line| line.amounts[2], |line| line.amounts[3]];
    for of in amounts {
        let values = Decimal128Array::from_iter_values(lines.iter().map(|line| i128::from(of(line))));
        columns.push(Arc::new(values.with_precision_and_scale(15, 2).context("an amount")?));
    }
    columns.push(text(lines, |line| &line.return_flag));
    columns.push(text(lines, |line| &line.status));
    let days: [fn(&Line) -> i32; 3] = [|line| line.days[0], |line| line.days[1], |line| line.days[2]];
    columns.extend(days.map(|of| Arc::new(Date32Array::from_iter_values(lines.iter().map(of))) as ArrayRef));
    columns.push(text(lines, |line| &line.instruction));
    columns.push(text(lines, |line| &line.mode));
    columns.push(text(lines, |line| &line.comment));
    columns.extend(system_columns(first_offset, lines.len()));
    Ok(RecordBatch::try_new(schema(), columns)?)
}
