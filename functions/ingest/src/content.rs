//! What a body is said to be: its form and its encoding.

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use freshet_decode::{BodyForm, ContentEncoding, UnknownEncoding, is_utf8};
use freshet_http::{Problem, media_type};
use freshet_model::PayloadFormat;

/// What a body is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) form: BodyForm,
    pub(crate) encoding: ContentEncoding,
}

impl Content {
    /// As the headers say, of a body for a stream of a format.
    ///
    /// # Errors
    /// 415 that names what the stream takes.
    pub(crate) fn of(headers: &HeaderMap, format: PayloadFormat) -> Result<Self, Problem> {
        Ok(Self { form: form(headers, format)?, encoding: encoding(headers)? })
    }
}

fn form(headers: &HeaderMap, format: PayloadFormat) -> Result<BodyForm, Problem> {
    let takes = match format {
        PayloadFormat::Json => {
            "the stream takes JSON: application/json, application/x-ndjson, application/jsonl or application/x-json-stream"
        }
        PayloadFormat::Xml => "the stream takes XML: application/xml or text/xml",
    };
    let Some(found) = media_type(headers)? else {
        return Err(Problem::unsupported_media_type(format!("the header Content-Type is missing; {takes}")));
    };
    match (format, found.as_str()) {
        (PayloadFormat::Json, "application/json") => Ok(BodyForm::Json),
        (PayloadFormat::Json, "application/x-ndjson" | "application/jsonl" | "application/x-json-stream") => {
            Ok(BodyForm::NdJson)
        }
        (PayloadFormat::Xml, "application/xml" | "text/xml") => {
            check_charset(headers)?;
            Ok(BodyForm::Xml)
        }
        _ => Err(Problem::unsupported_media_type(format!("the content type is {found:?}; {takes}"))),
    }
}

/// Of XML the header's charset counts, whatever the document declares (RFC 7303).
fn check_charset(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let charset = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    match charset.filter(|charset| !is_utf8(charset)) {
        None => Ok(()),
        Some(charset) => {
            let shown: String = charset.chars().take(64).collect();
            Err(Problem::unsupported_media_type(format!("the charset is {shown:?}; send XML in UTF-8")))
        }
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
