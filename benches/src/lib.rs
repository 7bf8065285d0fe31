//! What the benches share: medians, the table of what was measured, and the orders and tables that are measured on.
//!
//! Each bench makes its own data, measures Freshet and its peer alternately in one run on one machine, prints a table, and writes the
//! same rows to `target/bench/SUBJECT.json`. A speed is meant beside its peer's in the same run: machines differ, and are noisy.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints what it measured")]

pub mod counting;
pub mod engine;
pub mod memory;
pub mod orders;
pub mod peer;

use std::fs;
use std::path::Path;

use serde::Serialize;
use tempfile::TempDir;

/// Where the benches keep what they measure.
const KEPT: &str = "target/bench";

/// One thing that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What.
    pub what: String,
    /// Ours.
    pub ours: f64,
    /// The peer's, where there is one.
    pub peer: Option<f64>,
    /// The unit of both.
    pub unit: &'static str,
    /// Ours by the peer's; none where the peer's is 0.
    pub ratio: Option<f64>,
    /// What is asked of ours, in words.
    pub must: String,
    /// Whether that holds; none: nothing is asked.
    pub holds: Option<bool>,
}

/// What is asked of a figure.
#[derive(Debug, Clone, Copy)]
pub enum Must {
    /// At least this much.
    AtLeast(f64),
    /// At most this much.
    AtMost(f64),
    /// Nothing: it is there to be compared.
    Nothing,
}

impl Row {
    /// A figure, its peer's, and what is asked of it.
    #[must_use]
    pub fn new(what: impl Into<String>, unit: &'static str, ours: f64, peer: Option<f64>, must: Must) -> Self {
        let (must, holds) = match must {
            Must::AtLeast(least) => (format!(">= {}", figure(least, 1)), Some(ours >= least)),
            Must::AtMost(limit) => (format!("<= {}", figure(limit, 1)), Some(ours <= limit)),
            Must::Nothing => (String::new(), None),
        };
        let ratio = peer.map(|peer| ours / peer).filter(|ratio| ratio.is_finite());
        Self { what: what.into(), ours, peer, unit, ratio, must, holds }
    }
}

/// Prints the rows, keeps them in `target/bench`, and says whether all hold.
///
/// # Errors
/// The file can't be written.
pub fn report(subject: &str, rows: &[Row]) -> anyhow::Result<bool> {
    println!("| what | ours | peer | unit | ratio | must | holds |");
    println!("|---|---:|---:|---|---:|---|---|");
    for row in rows {
        let shown = |value: Option<f64>| value.map(|value| figure(value, 2)).unwrap_or_default();
        let holds = row.holds.map_or("", |holds| if holds { "yes" } else { "NO" });
        println!(
            "| {} | {} | {} | {} | {} | {} | {holds} |",
            row.what,
            figure(row.ours, 2),
            shown(row.peer),
            row.unit,
            shown(row.ratio),
            row.must
        );
    }
    let directory = Path::new(KEPT);
    fs::create_dir_all(directory)?;
    fs::write(directory.join(format!("{subject}.json")), serde_json::to_vec_pretty(rows)?)?;
    Ok(rows.iter().all(|row| row.holds != Some(false)))
}

/// A figure to so many decimals, or to four where it is small and fewer would say little of it.
fn figure(value: f64, decimals: usize) -> String {
    let decimals = if value != 0.0 && value.abs() < 0.1 { 4 } else { decimals };
    format!("{value:.decimals$}")
}

/// An empty directory for tables, which goes when it is dropped. Beside the build: a temporary directory may lie in memory.
///
/// # Errors
/// It can't be made.
pub fn bench_directory(prefix: &str) -> anyhow::Result<TempDir> {
    let place = std::path::absolute(KEPT)?;
    fs::create_dir_all(&place)?;
    Ok(TempDir::with_prefix_in(prefix, place)?)
}

/// Says on standard error what is being done.
pub fn say(text: &str) {
    eprintln!("{text}");
}

/// The middle one of some figures.
#[must_use]
pub fn median(figures: &[f64]) -> f64 {
    percentile(figures, 50)
}

/// The least figure that so many percent of them are not above; 0 of none.
#[must_use]
pub fn percentile(figures: &[f64], percent: usize) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}

/// Whether the quick form is asked for: a tenth of the data, to see that it runs.
#[must_use]
pub fn is_quick() -> bool {
    std::env::args().any(|argument| argument == "--quick")
}
