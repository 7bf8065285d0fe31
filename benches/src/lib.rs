//! What the benches share: medians, and the table of what was measured.
//!
//! Each bench makes its own data, measures Freshet and its peer alternately in one run on one machine, prints a table, and writes the
//! same rows to `target/bench/SUBJECT.json`. A speed is meant beside its peer's in the same run: machines differ, and are noisy.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints what it measured")]

use std::fs;
use std::path::Path;

use serde::Serialize;

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
    /// Ours by the peer's.
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
            Must::AtLeast(least) => (format!(">= {least:.1}"), Some(ours >= least)),
            Must::AtMost(limit) => (format!("<= {limit:.1}"), Some(ours <= limit)),
            Must::Nothing => (String::new(), None),
        };
        Self { what: what.into(), ours, peer, unit, ratio: peer.map(|peer| ours / peer), must, holds }
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
        let shown = |figure: Option<f64>| figure.map(|figure| format!("{figure:.2}")).unwrap_or_default();
        let holds = row.holds.map_or("", |holds| if holds { "yes" } else { "NO" });
        println!(
            "| {} | {:.2} | {} | {} | {} | {} | {holds} |",
            row.what,
            row.ours,
            shown(row.peer),
            row.unit,
            shown(row.ratio),
            row.must
        );
    }
    let directory = Path::new("target/bench");
    fs::create_dir_all(directory)?;
    fs::write(directory.join(format!("{subject}.json")), serde_json::to_vec_pretty(rows)?)?;
    Ok(rows.iter().all(|row| row.holds != Some(false)))
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
