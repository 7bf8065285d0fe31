//! The older call, for clients that know no other: a profile's attributes by its key.

use std::sync::Arc;

use axum::extract::{FromRequest, Path, RawQuery, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use freshet_http::{JsonBody, Problem};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::form_urlencoded;

use crate::answer::fresh;
use crate::handler::{no_profile, observed};
use crate::request::{Asker, boolean, repeated};
use crate::{ProfileContext, error};

/// A key
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequest {
    /// The profile's id.
    #[schema(example = "c-0001")]
    key: String,
}

/// A profile's attributes
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AttributesView<'a> {
    /// The columns of the index's query, with their JSON types.
    #[schema(value_type = Object)]
    attributes: &'a RawValue,
}

/// All matches of a key
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MatchesView<'a> {
    /// One, or none: an index has one profile a key.
    matches: Vec<AttributesView<'a>>,
}

/// What a key finds
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(crate) enum FoundView<'a> {
    /// Without `all_matches`.
    One(AttributesView<'a>),
    /// With it.
    All(MatchesView<'a>),
}

/// Shows a profile's attributes, its key in the body
#[utoipa::path(
    post,
    path = "/api/attribute/v0/indexes/{index_id}",
    tag = "profiles",
    params(
        ("index_id" = String, Path, example = "ix-5Kd0aB3xYz12"),
        ("Api-Version" = Option<String>, Header, description = "2025-07-31, also where it is absent"),
    ),
    request_body = KeyRequest,
    responses(
        (status = 200, body = AttributesView, headers(("X-As-Of" = String, description = "the time of what the profile is made from: RFC 3339, UTC"))),
        (status = 400, description = "malformed body or id, or unknown Api-Version", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token doesn't allow this index", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown index or key", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "the body came too slowly", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "the body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "unsupported content", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the index has not been built, or the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn post(
    State(context): State<Arc<ProfileContext>>,
    Path(index_id): Path<String>,
    request: Request,
) -> Response {
    observed("attribute", async {
        let asker = Asker::of(&context, request.headers()).await?;
        asker.index(&index_id)?;
        let JsonBody(KeyRequest { key }) = JsonBody::<KeyRequest>::from_request(request, &()).await?;
        attributes(&context, &asker, &index_id, &key, false).await
    })
    .await
}

/// Shows a profile's attributes, its key in the URL
#[utoipa::path(
    get,
    path = "/api/attribute/v0/indexes/{index_id}",
    tag = "profiles",
    params(
        ("index_id" = String, Path, example = "ix-5Kd0aB3xYz12"),
        ("key" = String, Query, description = "the profile's id", example = "c-0001"),
        ("all_matches" = Option<bool>, Query, description = "true: answer a list of matches, which may be empty"),
        ("Api-Version" = Option<String>, Header, description = "2025-07-31, also where it is absent"),
    ),
    responses(
        (status = 200, body = FoundView, headers(("X-As-Of" = String, description = "the time of what the profile is made from: RFC 3339, UTC"))),
        (status = 400, description = "key is missing, all_matches is neither true nor false, malformed id, or unknown Api-Version", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token doesn't allow this index", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown index or key", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the index has not been built, or the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get(
    State(context): State<Arc<ProfileContext>>,
    Path(index_id): Path<String>,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Response {
    observed("attribute", async {
        let asker = Asker::of(&context, &headers).await?;
        asker.index(&index_id)?;
        let (mut key, mut all_matches) = (None, None);
        for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            let is_repeated = match name.as_ref() {
                "key" => key.replace(value.into_owned()).is_some(),
                "all_matches" => all_matches.replace(boolean("all_matches", &value)?).is_some(),
                // What an older client sends besides means nothing here.
                _ => false,
            };
            if is_repeated {
                return Err(repeated(&name));
            }
        }
        let key = key.ok_or_else(|| Problem::bad_request("key is missing; send ?key=, the profile's id"))?;
        attributes(&context, &asker, &index_id, &key, all_matches.unwrap_or_default()).await
    })
    .await
}

async fn attributes(
    context: &ProfileContext,
    asker: &Asker,
    index_id: &str,
    key: &str,
    all_matches: bool,
) -> Result<Response, Problem> {
    let (_, of) = asker.index(index_id)?;
    let answer = context.indexes.get(&of, key).await.map_err(|error| error::of_read(&error))?;
    let found = answer.value.as_ref().map(|profile| AttributesView { attributes: &profile.attributes });
    match found {
        found if all_matches => {
            let matches = found.into_iter().collect();
            Ok(fresh(answer.as_of, FoundView::All(MatchesView { matches })))
        }
        Some(found) => Ok(fresh(answer.as_of, FoundView::One(found))),
        None => Err(no_profile(index_id)),
    }
}
