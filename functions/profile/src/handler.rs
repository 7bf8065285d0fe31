//! Indexes, and profiles by their ids.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequest, Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use freshet_http::{JsonBody, Problem};
use freshet_profile::{IndexRef, MAX_BATCH};
use jiff::Timestamp;
use metrics::{counter, histogram};
use serde::Deserialize;

use crate::answer::{IndexList, IndexView, ProfileList, ProfileView, fresh};
use crate::request::Asker;
use crate::{ProfileContext, error};

/// Records how a look-up went, and answers it.
pub(crate) async fn observed(call: &'static str, outcome: impl Future<Output = Result<Response, Problem>>) -> Response {
    let started = Instant::now();
    let outcome = outcome.await;
    histogram!("freshet_profile_seconds", "call" => call).record(started.elapsed());
    outcome.unwrap_or_else(|problem| {
        let status = problem.status().as_u16().to_string();
        counter!("freshet_profile_refusals_total", "call" => call, "status" => status).increment(1);
        problem.into_response()
    })
}

/// Lists the profile indexes that the caller may read
#[utoipa::path(
    get,
    path = "/api/indexes",
    tag = "profiles",
    params(("Api-Version" = Option<String>, Header, description = "2025-07-31, also where it is absent")),
    responses(
        (status = 200, body = IndexList, headers(("X-As-Of" = String, description = "the oldest time of what these indexes' profiles are made from: RFC 3339, UTC; the start of 1970 where one has not been built"))),
        (status = 400, description = "unknown Api-Version", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token lacks the scope profiles:read", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn indexes(State(context): State<Arc<ProfileContext>>, headers: HeaderMap) -> Response {
    observed("indexes", async {
        let asker = Asker::of(&context, &headers).await?;
        let places: Vec<IndexRef> = asker.granted().map(|index| asker.index_ref(index)).collect();
        let data = asker.granted().map(|index| IndexView::from(&**index)).collect();
        Ok(fresh(as_of(&context, places).await?, IndexList { data }))
    })
    .await
}

/// Shows a profile index
#[utoipa::path(
    get,
    path = "/api/indexes/{index_id}",
    tag = "profiles",
    params(
        ("index_id" = String, Path, example = "ix-5Kd0aB3xYz12"),
        ("Api-Version" = Option<String>, Header, description = "2025-07-31, also where it is absent"),
    ),
    responses(
        (status = 200, body = IndexView, headers(("X-As-Of" = String, description = "the time of what the index's profiles are made from: RFC 3339, UTC; the start of 1970 where it has not been built"))),
        (status = 400, description = "malformed id or unknown Api-Version", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token doesn't allow this index", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown index", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn index(
    State(context): State<Arc<ProfileContext>>,
    Path(index_id): Path<String>,
    headers: HeaderMap,
) -> Response {
    observed("index", async {
        let asker = Asker::of(&context, &headers).await?;
        let (index, of) = asker.index(&index_id)?;
        Ok(fresh(as_of(&context, vec![of]).await?, IndexView::from(index)))
    })
    .await
}

/// Up to which time accepted records are in all of some indexes. Of no indexes it is now: there is none that lacks any.
async fn as_of(context: &ProfileContext, indexes: Vec<IndexRef>) -> Result<Timestamp, Problem> {
    let oldest = context.indexes.as_of(indexes).await.map_err(|error| error::of_read(&error))?;
    Ok(oldest.unwrap_or_else(|| context.clock.now()))
}

/// Shows a profile
#[utoipa::path(
    get,
    path = "/api/indexes/{index_id}/profiles/{profile_id}",
    tag = "profiles",
    params(
        ("index_id" = String, Path, example = "ix-5Kd0aB3xYz12"),
        ("profile_id" = String, Path, description = "percent-encoded", example = "c-0001"),
        ("Api-Version" = Option<String>, Header, description = "2025-07-31, also where it is absent"),
    ),
    responses(
        (status = 200, body = ProfileView, headers(("X-As-Of" = String, description = "the time of what the profile is made from: RFC 3339, UTC"))),
        (status = 400, description = "malformed id or unknown Api-Version", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token doesn't allow this index", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown index or profile", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the index has not been built, or the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn profile(
    State(context): State<Arc<ProfileContext>>,
    Path((index_id, profile_id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    observed("profile", async {
        let asker = Asker::of(&context, &headers).await?;
        let (index, of) = asker.index(&index_id)?;
        let answer = context.indexes.get(&of, &profile_id).await.map_err(|error| error::of_read(&error))?;
        match &answer.value {
            Some(profile) => Ok(fresh(answer.as_of, ProfileView::of(index, profile))),
            None => Err(no_profile(index_id.as_str())),
        }
    })
    .await
}

/// What is said of a profile that is not there. Its id names a person, and is not repeated.
pub(crate) fn no_profile(index_id: &str) -> Problem {
    Problem::not_found(format!("profile index {index_id} has no such profile"))
}

/// Which profiles are asked for
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchRequest {
    /// At most 1,000.
    #[schema(example = json!(["c-0001", "c-0002"]))]
    ids: Vec<String>,
}

/// Shows many profiles
///
/// Those that are there, in the order of the ids; an id that comes twice is answered twice. Keeps ids out of URLs.
#[utoipa::path(
    post,
    path = "/api/indexes/{index_id}/profiles:batchGet",
    tag = "profiles",
    params(
        ("index_id" = String, Path, example = "ix-5Kd0aB3xYz12"),
        ("Api-Version" = Option<String>, Header, description = "2025-07-31, also where it is absent"),
    ),
    request_body = BatchRequest,
    responses(
        (status = 200, body = ProfileList, headers(("X-As-Of" = String, description = "the time of what the profiles are made from: RFC 3339, UTC"))),
        (status = 400, description = "malformed body, too many ids, or unknown Api-Version", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "no valid bearer token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "the token doesn't allow this index", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "unknown index", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "the body came too slowly", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "the body is too large, or the profiles are together", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "unsupported content", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "the index has not been built, or the store can't be reached", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn batch_get(
    State(context): State<Arc<ProfileContext>>,
    Path(index_id): Path<String>,
    request: Request,
) -> Response {
    observed("batch_get", async {
        let asker = Asker::of(&context, request.headers()).await?;
        let (index, of) = asker.index(&index_id)?;
        let JsonBody(BatchRequest { ids }) = JsonBody::<BatchRequest>::from_request(request, &()).await?;
        if ids.is_empty() {
            return Err(Problem::bad_request(format!("ids is empty; send 1 to {MAX_BATCH} ids")));
        }
        let answer = context.indexes.batch_get(&of, &ids).await.map_err(|error| error::of_read(&error))?;
        let data = answer.value.iter().flatten().map(|profile| ProfileView::of(index, profile)).collect();
        Ok(fresh(answer.as_of, ProfileList { data, next_token: None, total: None }))
    })
    .await
}
