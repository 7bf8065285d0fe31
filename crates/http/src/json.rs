//! JSON bodies as typed values, refused with line and column.

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use crate::{Problem, read_body};

/// Most bytes of a JSON body that [`JsonBody`] takes: what fits through a Lambda event in any encoding (6 MB, of which base64 takes a
/// third).
pub const MAX_JSON_BYTES: usize = 4 * 1_024 * 1_024;

/// Longest message of the parser that is told whole, in characters.
const LONGEST_TOLD: usize = 500;

/// A JSON body as a typed value. Refusals are problems: 415 for another content type, 400 with line and column.
#[derive(Debug, Clone, Copy)]
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let body = read_body(request.into_body(), MAX_JSON_BYTES).await?;
        parse_json(&body).map(Self)
    }
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    match media_type(headers)? {
        Some(found) if found == "application/json" => Ok(()),
        Some(found) => Err(Problem::unsupported_media_type(format!(
            "the content type is {found:?}; supported is application/json"
        ))),
        None => {
            Err(Problem::unsupported_media_type("the header Content-Type is missing; supported is application/json"))
        }
    }
}

/// The media type of `Content-Type`, in lower case and without its parameters; none where the header is absent.
///
/// # Errors
/// 415 where the header is there more than once or isn't text.
pub fn media_type(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::unsupported_media_type("the header Content-Type is there more than once; send it once"));
    }
    let text = first.to_str().map_err(|_not_text| {
        Problem::unsupported_media_type("the header Content-Type holds more than visible ASCII")
    })?;
    let essence = text.split(';').next().unwrap_or_default().trim();
    Ok(Some(essence.chars().take(127).collect::<String>().to_ascii_lowercase()))
}

/// Parses a JSON body.
///
/// # Errors
/// 400: empty, or what is wrong at which line and column.
pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::bad_request("the body is empty; expected a JSON document"));
    }
    serde_json::from_slice(body).map_err(|error| {
        Problem::bad_request(format!("the body is not the JSON that is expected here: {}", told(&error)))
    })
}

/// What a parser says, with the place. It may repeat a name or a value of the body, as long as that is.
fn told(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.char_indices().nth(LONGEST_TOLD) {
        // The message itself ends in the place.
        None => message,
        Some((end, _)) => {
            let start = message.get(..end).unwrap_or_default();
            format!("{start}… at line {} column {}", error.line(), error.column())
        }
    }
}
