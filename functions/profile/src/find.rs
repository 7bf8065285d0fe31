//! Profiles by filters, page by page.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use freshet_http::Problem;
use freshet_model::did_you_mean;
use freshet_profile::{IndexRef, MAX_FILTERS, MAX_PAGE};
use url::form_urlencoded;

use crate::answer::{ProfileList, ProfileView, fresh};
use crate::handler::observed;
use crate::request::{Asker, boolean, repeated, shown};
use crate::{ProfileContext, error};

/// Profiles of a page where the caller doesn't say.
const DEFAULT_LIMIT: usize = 25;

/// Finds profiles
///
/// Those that have all the values of the filters, each exactly, in the order of their ids. Who goes from page to page sees every profile
/// that stays, once, whatever is refreshed meanwhile; a page may hold fewer than asked for, or none, and have a next one.
#[utoipa::path(
    get,
    path = "/api/indexes/{index_id}/profiles",
    tag = "profiles",
    params(
        ("index_id" = String, Path, example = "ix-5Kd0aB3xYz12"),
        ("filter[field]" = Option<String>, Query, description = "the value of a filter field, any number of fields; a string's characters, any other value's JSON text"),
        ("limit" = Option<usize>, Query, description = "most profiles of the page, 1 to 1,000; 25 if left out"),
        ("next_token" = Option<String>, Query, description = "of the page before, with the same filters"),
        ("with_total" = Option<bool>, Query, description = "true: also say how many there are"),
        ("Api-Version" = Option<String>, Header, description = "2025-07-31, also where it is absent"),
    ),
    responses(
        (status = 200, body = ProfileList, headers(("X-As-Of" = String, description = "the time of what the profiles are made from: RFC 3339, UTC"))),
        (status = 400, description = "an unknown filter, a token of something else, or unknown Api-Version", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token doesn't allow this index", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown index", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the index has not been built, or the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn profiles(
    State(context): State<Arc<ProfileContext>>,
    Path(index_id): Path<String>,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Response {
    observed("profiles", async {
        let asker = Asker::of(&context, &headers).await?;
        let (index, of) = asker.index(&index_id)?;
        let wanted = Asked::read(text.as_deref().unwrap_or_default())?;
        let sealed_for = wanted.context(&of);
        let sealed_for: Vec<&str> = sealed_for.iter().map(String::as_str).collect();
        let after = wanted.next_token.as_deref().map(|token| open(&context, token, &sealed_for)).transpose()?;
        let page = context.indexes.page(&of, &wanted.filters, after.as_deref(), wanted.limit);
        let answer = page.await.map_err(|error| error::of_read(&error))?;
        let total = if wanted.with_total {
            let total = context.indexes.total(&of, &wanted.filters).await.map_err(|error| error::of_read(&error))?;
            Some(total.value.count)
        } else {
            None
        };
        let sealed = |next: &String| context.pages.seal(next.as_bytes(), &sealed_for);
        let next_token = answer.value.next.as_ref().map(sealed).transpose();
        let next_token = next_token.map_err(|error| error::of_failure(&error, false))?;
        let data = answer.value.profiles.iter().map(|profile| ProfileView::of(index, profile)).collect();
        Ok(fresh(answer.as_of, ProfileList { data, next_token, total }))
    })
    .await
}

/// The id after which a page begins, from its token.
fn open(context: &ProfileContext, token: &str, sealed_for: &[&str]) -> Result<String, Problem> {
    let wrong = || {
        Problem::bad_request(
            "next_token is not of a page of this index with these filters; send the one of the page before, with its filters",
        )
    };
    let opened = context.pages.open(token, sealed_for).map_err(|_| wrong())?;
    String::from_utf8(opened).map_err(|_| wrong())
}

/// What a page is asked for with.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// In the order of the fields.
    filters: Vec<(String, String)>,
    limit: usize,
    next_token: Option<String>,
    with_total: bool,
}

impl Asked {
    fn read(text: &str) -> Result<Self, Problem> {
        let mut asked = Self { filters: Vec::new(), limit: DEFAULT_LIMIT, next_token: None, with_total: false };
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if seen.iter().any(|known| *known == name) {
                return Err(repeated(&name));
            }
            seen.push(name.clone().into_owned());
            if seen.len() > MAX_FILTERS + 3 {
                return Err(Problem::bad_request(format!("at most {MAX_FILTERS} filters are allowed")));
            }
            match name.as_ref() {
                "limit" => asked.limit = limit(&value)?,
                "next_token" => asked.next_token = Some(value.into_owned()),
                // Its name alone asks for it, too.
                "with_total" => asked.with_total = value.is_empty() || boolean("with_total", &value)?,
                other => match other.strip_prefix("filter[").and_then(|rest| rest.strip_suffix(']')) {
                    Some(field) => asked.filters.push((field.to_owned(), value.into_owned())),
                    None => return Err(unknown(other)),
                },
            }
        }
        asked.filters.sort();
        Ok(asked)
    }

    /// What a page's token holds for: the tenant, the index, and the filters.
    fn context(&self, of: &IndexRef) -> Vec<String> {
        let mut context = vec![of.tenant.to_string(), of.id.to_string()];
        context.extend(self.filters.iter().flat_map(|(field, value)| [field.clone(), value.clone()]));
        context
    }
}

fn unknown(name: &str) -> Problem {
    let name = shown(name);
    let hint = did_you_mean(&name, ["limit", "next_token", "with_total"]);
    Problem::bad_request(format!(
        "{name:?} is not known here; there are filter[field], limit, next_token and with_total{hint}"
    ))
}

fn limit(text: &str) -> Result<usize, Problem> {
    let limit = text.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
    limit.ok_or_else(|| Problem::bad_request(format!("limit is {:?}; it is 1 to {MAX_PAGE} profiles", shown(text))))
}
