//! The one error answer: `application/problem+json` (RFC 9457).

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use freshet_model::RequestId;
use serde::{Serialize, Serializer};

/// What went wrong, by meaning. It decides the status, the title and the type `urn:freshet:problem:<name>`, which is
/// stable: clients may branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// 400 `bad-request`: the request can't succeed as it is.
    BadRequest,
    /// 401 `unauthorized`: there is no valid bearer token.
    Unauthorized,
    /// 403 `forbidden`: the token is valid and doesn't allow this.
    Forbidden,
    /// 404 `not-found`
    NotFound,
    /// 405 `method-not-allowed`
    MethodNotAllowed,
    /// 406 `not-acceptable`: `Accept` names nothing that is served.
    NotAcceptable,
    /// 408 `timeout`: the request's body came too slowly, or what it asked for took too long.
    Timeout,
    /// 409 `conflict`: what is there contradicts the request.
    Conflict,
    /// 412 `precondition-failed`: `If-Match` names another version.
    PreconditionFailed,
    /// 413 `too-large`: a limit of size or count; the detail names it.
    TooLarge,
    /// 415 `unsupported-media-type`
    UnsupportedMediaType,
    /// 429 `too-many-requests`
    TooManyRequests,
    /// 500 `internal`: a fault of ours; the log tells more under the request id.
    Internal,
    /// 503 `unavailable`: something that we need can't be reached; the same request may succeed later.
    Unavailable,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::Timeout,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The kind for a status that a framework chose.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let exact = Self::ALL.into_iter().find(|kind| kind.status() == status);
        exact.unwrap_or(if status.is_client_error() { Self::BadRequest } else { Self::Internal })
    }

    /// Its name, the end of the type: `too-large`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::NotAcceptable => "not-acceptable",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
            Self::PreconditionFailed => "precondition-failed",
            Self::TooLarge => "too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::TooManyRequests => "too-many-requests",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "the request is not right",
            Self::Unauthorized => "a valid bearer token is needed",
            Self::Forbidden => "the token doesn't allow this",
            Self::NotFound => "there is no such thing",
            Self::MethodNotAllowed => "the method is not allowed here",
            Self::NotAcceptable => "there is no such format here",
            Self::Timeout => "it took too long",
            Self::Conflict => "the request contradicts what is there",
            Self::PreconditionFailed => "it has changed since",
            Self::TooLarge => "a limit is exceeded",
            Self::UnsupportedMediaType => "the content's type or encoding is not supported",
            Self::TooManyRequests => "too much at once",
            Self::Internal => "something went wrong on our side",
            Self::Unavailable => "not available at the moment",
        }
    }
}

/// One of several things that are wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ProblemItem {
    /// Which record of the request, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Which field, as a path in the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

/// An error answer. Turned into a response it is `application/problem+json`; the common layers add the request id.
///
/// Details are for the caller: they say what was wrong, where, and what would be right, and never repeat a secret or the
/// message of an internal error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "type": "urn:freshet:problem:not-found",
    "title": "there is no such thing",
    "status": 404,
    "detail": "there is no stream is-2hzqsgX1E",
    "request_id": "0190a3b4-0000-7000-8000-000000000000",
}))]
pub struct Problem {
    /// What kind of problem, a stable URI: `urn:freshet:problem:too-large`.
    #[serde(rename = "type", serialize_with = "type_uri")]
    #[schema(value_type = String)]
    kind: ProblemKind,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// This occurrence: what was wrong, where, and what would be right.
    detail: String,
    /// The request, as in the header `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true)]
    request_id: Option<RequestId>,
    /// Everything that is wrong, where it is several things.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<ProblemItem>,
    #[serde(skip)]
    advice: Advice,
}

/// What a problem says in a header besides.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Advice {
    Nothing,
    /// `WWW-Authenticate: Bearer`
    Bearer,
    /// `Retry-After`
    RetryAfter(Duration),
    /// `Allow`: methods, as `GET, PUT`.
    Allow(String),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn type_uri<S: Serializer>(kind: &ProblemKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("urn:freshet:problem:{}", kind.as_str()))
}

impl Problem {
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            request_id: None,
            errors: Vec::new(),
            advice: Advice::Nothing,
        }
    }

    fn with_advice(mut self, advice: Advice) -> Self {
        self.advice = advice;
        self
    }

    /// 400: the request can't succeed as it is.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::BadRequest, detail)
    }

    /// 401, with `WWW-Authenticate: Bearer`.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::Unauthorized, detail).with_advice(Advice::Bearer)
    }

    /// 403: the token is valid and doesn't allow this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::Forbidden, detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::NotFound, detail)
    }

    /// 405, with `Allow`: the methods that are allowed, as `GET, PUT`.
    pub fn method_not_allowed(allow: impl Into<String>) -> Self {
        let methods: String = allow.into();
        let detail = format!("the methods allowed here are {methods}");
        Self::new(ProblemKind::MethodNotAllowed, detail).with_advice(Advice::Allow(methods))
    }

    /// 406; the detail names what is served.
    pub fn not_acceptable(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::NotAcceptable, detail)
    }

    /// 408: the request's body came too slowly, or what it asked for took too long.
    pub fn timeout(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::Timeout, detail)
    }

    /// 409: what is there contradicts the request.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::Conflict, detail)
    }

    /// 412: `If-Match` names another version.
    pub fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::PreconditionFailed, detail)
    }

    /// 413; the detail names the limit.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::TooLarge, detail)
    }

    /// 415; the detail names what is supported.
    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::UnsupportedMediaType, detail)
    }

    /// 429, with `Retry-After`.
    pub fn too_many_requests(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(ProblemKind::TooManyRequests, detail).with_advice(Advice::RetryAfter(retry_after))
    }

    /// 500. It takes no detail on purpose: the cause goes to the log (log it before), the caller gets the request id.
    pub fn internal() -> Self {
        Self::new(ProblemKind::Internal, "the log has the cause under this request id")
    }

    /// 503, with `Retry-After`: something that we need can't be reached; the cause goes to the log.
    pub fn unavailable(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(ProblemKind::Unavailable, detail).with_advice(Advice::RetryAfter(retry_after))
    }

    /// With everything that is wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<ProblemItem>) -> Self {
        self.errors = errors;
        self
    }

    /// With the request's id.
    #[must_use]
    pub(crate) fn with_request_id(mut self, request_id: RequestId) -> Self {
        self.request_id = Some(request_id);
        self
    }

    /// What kind of problem this is.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// This occurrence in words.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Everything that is wrong, where it is several things.
    pub fn errors(&self) -> &[ProblemItem] {
        &self.errors
    }

    /// When the same request may succeed.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.advice {
            Advice::RetryAfter(retry_after) => Some(retry_after),
            Advice::Nothing | Advice::Bearer | Advice::Allow(_) => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.title, self.detail)
    }
}

impl std::error::Error for Problem {}

/// `Retry-After` is whole seconds (RFC 9110); rounded up, since earlier would be refused again, and at least 1.
fn whole_seconds(duration: Duration) -> u64 {
    let part = u64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(part).max(1)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // A problem is numbers, text and lists of text: what serde_json can't refuse.
        let json = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(json));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match &self.advice {
            Advice::Nothing => {}
            Advice::Bearer => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Advice::RetryAfter(retry_after) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(*retry_after)));
            }
            Advice::Allow(methods) => {
                if let Ok(value) = HeaderValue::from_str(methods) {
                    headers.insert(ALLOW, value);
                }
            }
        }
        // The common layers find it here, and write the body again with the request id.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, 1)]
    #[case(1, 1)]
    #[case(1_000, 1)]
    #[case(1_001, 2)]
    #[case(59_900, 60)]
    fn retry_after_is_rounded_up(#[case] milliseconds: u64, #[case] seconds: u64) {
        assert_eq!(whole_seconds(Duration::from_millis(milliseconds)), seconds);
    }

    #[rstest]
    #[case(StatusCode::NOT_FOUND, ProblemKind::NotFound)]
    #[case(StatusCode::UNPROCESSABLE_ENTITY, ProblemKind::BadRequest)]
    #[case(StatusCode::BAD_GATEWAY, ProblemKind::Internal)]
    fn a_framework_status_has_a_kind(#[case] status: StatusCode, #[case] kind: ProblemKind) {
        assert_eq!(ProblemKind::of_status(status), kind);
    }
}
