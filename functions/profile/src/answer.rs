//! What is answered.

use axum::Json;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use freshet_catalog::Index;
use freshet_profile::Profile;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

/// The header that says up to which time accepted records are in an answer.
const AS_OF: HeaderName = HeaderName::from_static("x-as-of");

/// A profile index
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct IndexView<'a> {
    #[schema(example = "ix-5Kd0aB3xYz12")]
    id: &'a str,
    #[schema(example = "recent_buyers")]
    name: &'a str,
    description: &'a str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl<'a> From<&'a Index> for IndexView<'a> {
    fn from(index: &'a Index) -> Self {
        Self {
            id: index.id.as_str(),
            name: index.name.as_str(),
            description: &index.definition.description,
            created_at: index.created_at,
            updated_at: index.updated_at,
        }
    }
}

/// Profile indexes
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct IndexList<'a> {
    /// By name.
    pub(crate) data: Vec<IndexView<'a>>,
}

/// A profile
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ProfileView<'a> {
    #[schema(example = "c-0001")]
    pub(crate) id: &'a str,
    #[schema(example = "ix-5Kd0aB3xYz12")]
    pub(crate) index_id: &'a str,
    /// The columns of the index's query, with their JSON types.
    #[schema(value_type = Object)]
    pub(crate) attributes: &'a RawValue,
}

impl<'a> ProfileView<'a> {
    pub(crate) fn of(index: &'a Index, profile: &'a Profile) -> Self {
        Self { id: &profile.id, index_id: index.id.as_str(), attributes: &profile.attributes }
    }
}

/// Some profiles
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ProfileList<'a> {
    /// In the order of their ids' bytes.
    pub(crate) data: Vec<ProfileView<'a>>,
    /// What to send for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
    /// How many there are, where `with_total` asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<u64>,
}

/// A body with how fresh it is.
pub(crate) fn fresh(as_of: Timestamp, body: impl Serialize) -> Response {
    let mut response = Json(body).into_response();
    if let Ok(value) = HeaderValue::from_str(&as_of.to_string()) {
        response.headers_mut().insert(AS_OF, value);
    }
    response
}
