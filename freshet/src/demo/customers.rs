//! The demo's customers: the batch table joined to what streams in, and a profile index of both.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::form_urlencoded;

use super::cents;
use super::figures::{Asked, ask};
use crate::client::Client;
use crate::commands::{profile, runs};
use crate::error::CommandError;
use crate::output::thousands;

/// The index.
const INDEX: &str = "customers";
/// Facts of the data: customers, and the best one's purchases, dollars and last purchase.
const PROFILES: u64 = 23_570;
const BEST: &str = "07592";
const BEST_PROFILE: (u64, &str, &str) = (201, "13990.93", "1998-06-29");
/// Those who bought first in March 1997 and last in June 1998, and what they spent in all.
const FILTERS: [(&str, &str); 2] = [("cohort", "1997-03"), ("last_month", "1998-06")];
const FOUND: (u64, &str) = (457, "152730.40");
/// What each cohort spent in its first quarter, and until the end.
const COHORTS: [[&str; 4]; 3] = [
    ["1997-01", "7846", "410785.61", "887157.56"],
    ["1997-02", "8476", "381135.37", "886611.81"],
    ["1997-03", "7248", "279884.49", "726546.26"],
];
/// Look-ups that are timed, one after the other.
const LOOK_UPS: u64 = 1_000;
/// Profiles of a page.
const PAGE: usize = 1_000;

const QUESTION: &str = "What did each cohort spend, in its first quarter (batch) and since (as it streamed in)?";
const JOIN: &str = "SELECT c.cohort, count(*) AS customers, sum(c.q1_dollars) AS first_quarter, sum(p.dollars) AS in_all\n\
     FROM customer360 c JOIN (SELECT customer_id, sum(amount) AS dollars FROM purchases GROUP BY customer_id) p ON p.customer_id = c.customer_id\n\
     GROUP BY c.cohort ORDER BY c.cohort";

/// What was found of the customers.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Customers {
    pub(super) joined: Asked,
    profiles: u64,
    refresh_ms: u128,
    /// The best customer's profile.
    best: Box<RawValue>,
    look_up: LookUps,
    filtered: Filtered,
}

/// How long look-ups by id took over HTTP, in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
struct LookUps {
    count: u64,
    p50_us: u128,
    p99_us: u128,
}

/// Profiles found by filters.
#[derive(Debug, Clone, Serialize)]
struct Filtered {
    profiles: u64,
    dollars: String,
    took_ms: u128,
}

/// What is read of a profile.
#[derive(Deserialize)]
struct Profile {
    attributes: Box<RawValue>,
}

#[derive(Deserialize)]
struct Attributes {
    orders: u64,
    spend: Box<RawValue>,
    last_purchase: String,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Profile>,
    next_token: Option<String>,
}

/// Joins, refreshes the index, and looks profiles up.
///
/// # Errors
/// The server doesn't answer or refuses, or the refresh fails.
pub(super) async fn look(client: &Client) -> Result<Customers, CommandError> {
    let joined = Asked { question: QUESTION, sql: JOIN, answer: ask(client, JOIN, &[]).await? };
    let started = Instant::now();
    let run = runs::start_and_wait(client, "indexes", INDEX, true).await?;
    let refresh_ms = started.elapsed().as_millis();
    let index = profile::index_id(client, INDEX).await?;
    let best: Profile = client.json(Method::GET, &format!("/api/indexes/{index}/profiles/{BEST}"), None).await?;
    let look_up = time_look_ups(client, &index).await?;
    let filtered = filtered(client, &index).await?;
    Ok(Customers { joined, profiles: run.count("profiles"), refresh_ms, best: best.attributes, look_up, filtered })
}

/// Looks customers up by their ids, one after the other.
async fn time_look_ups(client: &Client, index: &str) -> Result<LookUps, CommandError> {
    let mut took = Vec::new();
    for number in (1..=PROFILES).step_by(usize::try_from(PROFILES / LOOK_UPS).unwrap_or(1)).take(1_000) {
        let started = Instant::now();
        let _profile: Profile =
            client.json(Method::GET, &format!("/api/indexes/{index}/profiles/{number:05}"), None).await?;
        took.push(started.elapsed());
    }
    took.sort_unstable();
    let at = |percent: usize| took.get(took.len() * percent / 100).map_or(0, Duration::as_micros);
    Ok(LookUps { count: took.len() as u64, p50_us: at(50), p99_us: at(99) })
}

/// Finds customers by filters, page after page, and adds up what they spent.
async fn filtered(client: &Client, index: &str) -> Result<Filtered, CommandError> {
    let started = Instant::now();
    let (mut profiles, mut spent) = (0, 0);
    let mut token: Option<String> = None;
    loop {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (field, value) in FILTERS {
            query.append_pair(&format!("filter[{field}]"), value);
        }
        query.append_pair("limit", &PAGE.to_string());
        if let Some(token) = &token {
            query.append_pair("next_token", token);
        }
        let path = format!("/api/indexes/{index}/profiles?{}", query.finish());
        let page: Page = client.json(Method::GET, &path, None).await?;
        for profile in &page.data {
            spent += cents(text_of(&attributes(&profile.attributes)?.spend))?;
            profiles += 1;
        }
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    let dollars = format!("{}.{:02}", spent / 100, spent % 100);
    Ok(Filtered { profiles, dollars, took_ms: started.elapsed().as_millis() })
}

fn attributes(json: &RawValue) -> Result<Attributes, CommandError> {
    serde_json::from_str(json.get()).map_err(|source| CommandError::Failed(format!("a profile of {INDEX}: {source}")))
}

/// A number's digits, whether it came as a number or as a text.
fn text_of(number: &RawValue) -> &str {
    number.get().trim_matches('"')
}

impl Customers {
    /// Every figure that is not what it must be.
    pub(super) fn differences(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut check = |what: &str, found: String, must_be: String| {
            if found != must_be {
                wrong.push(format!("customers: {what} is {found} and must be {must_be}"));
            }
        };
        let cohorts: Vec<Vec<String>> = self.joined.answer.texts().collect();
        check("what the cohorts spent", format!("{cohorts:?}"), format!("{COHORTS:?}"));
        check("the number of profiles", self.profiles.to_string(), PROFILES.to_string());
        let best = attributes(&self.best).map_or_else(
            |error| error.to_string(),
            |best| format!("{:?}", (best.orders, text_of(&best.spend), best.last_purchase.as_str())),
        );
        check("the best customer", best, format!("{BEST_PROFILE:?}"));
        let found = (self.filtered.profiles, self.filtered.dollars.as_str());
        check("what the filters find", format!("{found:?}"), format!("{FOUND:?}"));
        wrong
    }

    /// The figures for people, after the question about both tables.
    pub(super) fn text(&self) -> String {
        let LookUps { count, p50_us, p99_us } = self.look_up;
        let Filtered { profiles, dollars, took_ms } = &self.filtered;
        let filters = FILTERS.map(|(field, value)| format!("{field} = {value}")).join(", ");
        format!(
            "\nProfile index {INDEX}: {} profiles, refreshed in {:.1} s\n\
             by id:      {BEST} -> {}\n\
             by filters: {filters} -> {profiles} customers who spent {dollars}, in {took_ms} ms\n\
             {count} look-ups by id over HTTP, one after the other: p50 {}, p99 {}",
            thousands(self.profiles),
            Duration::from_millis(u64::try_from(self.refresh_ms).unwrap_or(u64::MAX)).as_secs_f64(),
            self.best.get(),
            milliseconds(p50_us),
            milliseconds(p99_us),
        )
    }
}

fn milliseconds(micros: u128) -> String {
    format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100)
}
