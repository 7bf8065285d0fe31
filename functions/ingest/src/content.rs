//! What a body is said to be: its form and its encoding.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use freshet_decode::{BodyForm, ContentEncoding, UnknownEncoding};
use freshet_http::{Problem, media_type};

const SUPPORTED: &str =
    "supported are application/json, application/x-ndjson, application/jsonl and application/x-json-stream";

/// What a body is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) form: BodyForm,
    pub(crate) encoding: ContentEncoding,
}

impl Content {
    /// As the headers say.
    ///
    /// # Errors
    /// 415 that names what is supported.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self { form: form(headers)?, encoding: encoding(headers)? })
    }
}

fn form(headers: &HeaderMap) -> Result<BodyForm, Problem> {
    let Some(found) = media_type(headers)? else {
        return Err(Problem::unsupported_media_type(format!("the header Content-Type is missing; {SUPPORTED}")));
    };
    match found.as_str() {
        "application/json" => Ok(BodyForm::Json),
        "application/x-ndjson" | "application/jsonl" | "application/x-json-stream" => Ok(BodyForm::NdJson),
        _ => Err(Problem::unsupported_media_type(format!("the content type is {found:?}; {SUPPORTED}"))),
    }
}

fn encoding(headers: &HeaderMap) -> Result<ContentEncoding, Problem> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let Some(first) = values.next() else {
        return Ok(ContentEncoding::Identity);
    };
    if values.next().is_some() {
        return Err(Problem::unsupported_media_type(
            "the header Content-Encoding is there more than once; encode once",
        ));
    }
    let text = String::from_utf8_lossy(first.as_bytes());
    text.parse().map_err(|error: UnknownEncoding| Problem::unsupported_media_type(error.to_string()))
}
