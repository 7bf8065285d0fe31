//! Upserts by deletion vectors beside deltalake's MERGE, into orders and into TPC-H's lineitem.
//!
//! Each side has a table of its own with the same rows. The peer's is written by deltalake from the first row on, with its defaults, so
//! that it reads its own natural layout; one MERGE that isn't measured comes first. What is measured runs in processes of their own, one a
//! side, which take turns with the same batches. In the end both tables must hold the same.
//!
//! Names of sections (`orders`, `growth`, `maintenance`, `requests`, `lineitem`) as arguments measure these alone.

mod data;
mod lineitem;
mod ours;
mod sections;
mod theirs;
mod worker;

use std::process::ExitCode;

use freshet_benches::{Row, is_quick, report, say};

use crate::sections::Bench;
use crate::worker::{WORKER, work};

/// What is measured, in this order: lineitem comes last, since it clears away what the others share.
const SECTIONS: [(&str, Section); 5] = [
    ("orders", Bench::orders),
    ("growth", Bench::growth),
    ("maintenance", Bench::maintenance),
    ("requests", Bench::requests),
    ("lineitem", Bench::lineitem),
];
/// Orders in a table.
const ORDERS: u64 = 10_000_000;
/// The scale factor of lineitem: 60 million rows.
const SCALE: f64 = 10.0;

type Section = fn(&mut Bench) -> anyhow::Result<Vec<Row>>;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, setup] = &arguments[..]
        && command == WORKER
    {
        work(setup)?;
        return Ok(ExitCode::SUCCESS);
    }
    let asked: Vec<&str> = arguments.iter().map(String::as_str).filter(|name| *name != "--quick").collect();
    let (orders, scale) = if is_quick() { (ORDERS / 10, SCALE / 10.0) } else { (ORDERS, SCALE) };
    let mut bench = Bench::new(orders, scale)?;
    let mut rows = Vec::new();
    let mut is_done = true;
    for (name, measure) in SECTIONS {
        if !asked.is_empty() && !asked.contains(&name) {
            continue;
        }
        match measure(&mut bench) {
            Ok(measured) => rows.extend(measured),
            // What else was measured took too long to be lost.
            Err(error) => {
                say(&format!("{name}: {error:#}"));
                is_done = false;
            }
        }
    }
    let all_hold = report("upsert", &rows)?;
    Ok(if is_done && all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
