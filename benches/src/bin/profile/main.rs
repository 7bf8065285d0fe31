//! Look-ups of profiles over HTTP, with the embedded store in a process of its own, beside PostgreSQL 15 with matching indexes.
//!
//! Both hold the same profiles. Ours answers HTTP over loopback, checks a token and says how fresh the answer is; PostgreSQL answers
//! prepared statements over its own protocol. Latencies are measured from when a request was due, so that a slow answer counts against
//! the requests that wait behind it.

mod data;
mod load;
mod peer;
mod server;

use std::process::ExitCode;
use std::time::Duration;

use freshet_benches::{Must, Row, is_quick, percentile, report, say};

use crate::data::Question;
use crate::load::{Measured, http_load};
use crate::peer::Postgres;
use crate::server::{Served, build, serve};

/// Profiles of the smaller index; the larger has ten times as many.
const PROFILES: u64 = 1_000_000;
/// Requests a second at which latencies are measured.
const RATE: u32 = 1_000;
/// How long each load lasts.
const LASTS: Duration = Duration::from_secs(10);
/// Connections that ask as fast as they are answered.
const SATURATING: usize = 16;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, directory] = &arguments[..]
        && command == "serve"
    {
        serve(directory.as_ref())?;
        return Ok(ExitCode::SUCCESS);
    }
    let (profiles, lasts) = if is_quick() { (PROFILES / 10, LASTS / 5) } else { (PROFILES, LASTS) };
    let mut rows = Vec::new();

    say(&format!("building an index of {profiles} profiles …"));
    let small = build(profiles)?;
    rows.push(Row::new(
        format!("full build, {profiles} profiles"),
        "profiles/s",
        small.profiles_per_second,
        None,
        Must::AtLeast(50_000.0),
    ));
    let postgres = Postgres::start(profiles)?;
    if postgres.is_none() {
        say("PostgreSQL 15 isn't installed (apt install postgresql-15), so there is no peer");
    }
    let key = measure(&small, profiles, Question::ById, lasts)?;
    let filters = measure(&small, profiles, Question::ByFilters, lasts)?;
    let peer_key = postgres.as_ref().map(|peer| peer.measure(profiles, Question::ById, RATE, lasts)).transpose()?;
    let peer_filters =
        postgres.as_ref().map(|peer| peer.measure(profiles, Question::ByFilters, RATE, lasts)).transpose()?;
    drop(postgres);
    let peer_of = |measured: &Option<Measured>, figure: fn(&Measured) -> f64| measured.as_ref().map(figure);
    rows.push(Row::new("by id at 1,000/s, p50", "ms", key.p50(), peer_of(&peer_key, Measured::p50), Must::Nothing));
    rows.push(Row::new("by id at 1,000/s, p99", "ms", key.p99(), peer_of(&peer_key, Measured::p99), Must::AtMost(5.0)));
    rows.push(Row::new(
        "by id, saturated",
        "requests/s",
        key.saturated,
        peer_of(&peer_key, |measured| measured.saturated),
        Must::AtLeast(10_000.0),
    ));
    rows.push(Row::new(
        "3 filters at 1,000/s, p50",
        "ms",
        filters.p50(),
        peer_of(&peer_filters, Measured::p50),
        Must::Nothing,
    ));
    rows.push(Row::new(
        "3 filters at 1,000/s, p99",
        "ms",
        filters.p99(),
        peer_of(&peer_filters, Measured::p99),
        Must::AtMost(2.0 * key.p99()),
    ));
    rows.push(Row::new(
        "3 filters, saturated",
        "requests/s",
        filters.saturated,
        peer_of(&peer_filters, |measured| measured.saturated),
        Must::Nothing,
    ));
    drop(small);

    let many = 10 * profiles;
    say(&format!("building an index of {many} profiles …"));
    let large = build(many)?;
    rows.push(Row::new(
        format!("full build, {many} profiles"),
        "profiles/s",
        large.profiles_per_second,
        None,
        Must::Nothing,
    ));
    let key_of_many = measure(&large, many, Question::ById, lasts)?;
    rows.push(Row::new(
        "10 times as many: by id, p50",
        "ms",
        key_of_many.p50(),
        Some(key.p50()),
        Must::AtMost(1.5 * key.p50()),
    ));
    rows.push(Row::new("10 times as many: by id, p99", "ms", key_of_many.p99(), Some(key.p99()), Must::Nothing));
    rows.push(Row::new(
        "10 times as many: by id, saturated",
        "requests/s",
        key_of_many.saturated,
        Some(key.saturated),
        Must::AtLeast(key.saturated / 1.5),
    ));
    Ok(if report("profile", &rows)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(served: &Served, profiles: u64, question: Question, lasts: Duration) -> anyhow::Result<Measured> {
    say(&format!("asking {} {question:?} …", served.address));
    let requests = served.requests(profiles, question);
    // Warm, as a server is that has run for a while: so long that all requests were made once, by the larger index, too. Otherwise what
    // is compared is the first reads of pages from a file that was just written.
    http_load(served.address, &requests, SATURATING, None, lasts)?;
    let at_rate = http_load(served.address, &requests, 4, Some(RATE), lasts)?;
    let saturated = http_load(served.address, &requests, SATURATING, None, lasts)?;
    Ok(Measured::of(&at_rate, saturated.len(), lasts))
}

impl Measured {
    fn of(latencies: &[f64], saturated: usize, lasts: Duration) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let saturated = saturated as f64 / lasts.as_secs_f64();
        Self { percentiles: (percentile(latencies, 50), percentile(latencies, 99)), saturated }
    }
}
