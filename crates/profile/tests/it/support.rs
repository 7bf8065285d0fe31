//! Indexes, rows and readers of tests.

use std::convert::Infallible;
use std::sync::Arc;

use freshet_model::{IndexId, TenantId};
use freshet_profile::{
    IndexRef, Page, Profile, ProfileIndexes, ProfileRow, RefreshError, RefreshReport, Shape, refresh,
};
use freshet_store::Store;
use futures::stream;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub(crate) fn index() -> IndexRef {
    IndexRef { tenant: TenantId::parse("acme").unwrap(), id: IndexId::parse("ix-buyers").unwrap() }
}

/// A definition whose query says `query`, filtered by city and tier.
pub(crate) fn shape(query: &str) -> Shape {
    Shape::of("retail", query, "id", ["city", "tier"]).unwrap()
}

pub(crate) fn row(id: &str, attributes: &Value) -> ProfileRow {
    ProfileRow { id: Some(id.to_owned()), attributes: attributes.to_string() }
}

/// So many seconds after some moment.
pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-06-14T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub(crate) async fn try_refresh(
    store: &dyn Store,
    shape: &Shape,
    rows: Vec<ProfileRow>,
    now: Timestamp,
) -> Result<RefreshReport, RefreshError<Infallible>> {
    refresh(store, &index(), shape, stream::iter(rows.into_iter().map(Ok)), now, &move || now).await
}

/// Refreshes the index with the shape of query `"1"`.
pub(crate) async fn refresh_with(store: &dyn Store, rows: Vec<ProfileRow>) -> RefreshReport {
    try_refresh(store, &shape("1"), rows, at(0)).await.unwrap()
}

/// A reader that knows nothing yet.
pub(crate) fn reader(store: &Arc<dyn Store>) -> ProfileIndexes {
    ProfileIndexes::new(Arc::clone(store))
}

/// The attributes of a profile as a reader that knows nothing yet gets them.
pub(crate) async fn attributes(store: &Arc<dyn Store>, id: &str) -> Option<String> {
    let answer = reader(store).get(&index(), id).await.unwrap();
    answer.value.map(|profile| profile.attributes.get().to_owned())
}

pub(crate) fn filters(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect()
}

/// Every page of a walk.
pub(crate) async fn walk(indexes: &ProfileIndexes, filters: &[(String, String)], limit: usize) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = indexes.page(&index(), filters, after.as_deref(), limit).await.unwrap().value;
        assert!(page.profiles.len() <= limit);
        after.clone_from(&page.next);
        pages.push(page);
        if after.is_none() {
            return pages;
        }
    }
}

/// The ids of a walk's profiles.
pub(crate) async fn ids(indexes: &ProfileIndexes, pairs: &[(&str, &str)], limit: usize) -> Vec<String> {
    profiles(walk(indexes, &filters(pairs), limit).await).into_iter().map(|profile| profile.id).collect()
}

pub(crate) fn profiles(pages: Vec<Page>) -> Vec<Profile> {
    pages.into_iter().flat_map(|page| page.profiles).collect()
}
