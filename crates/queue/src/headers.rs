//! Record headers: what stands beside a payload in a Kafka record, as text.

use freshet_model::{PayloadFormat, RecordHeaders, RequestId, StreamId, TenantId};
use jiff::Timestamp;

use crate::QueueError;

const TENANT: &str = "tenant";
const STREAM: &str = "stream";
const RECEIVED_AT: &str = "received_at";
const REQUEST_ID: &str = "request_id";
const INDEX: &str = "index";
const CONTENT_TYPE: &str = "content_type";

/// The headers of a Kafka record: name and UTF-8 text. `received_at` is microseconds since 1970 in decimal, `index` decimal.
#[must_use]
pub fn encode_headers(headers: &RecordHeaders) -> [(&'static str, String); 6] {
    [
        (TENANT, headers.tenant.to_string()),
        (STREAM, headers.stream.to_string()),
        (RECEIVED_AT, headers.received_at.as_microsecond().to_string()),
        (REQUEST_ID, headers.request_id.to_string()),
        (INDEX, headers.index.to_string()),
        (CONTENT_TYPE, headers.format.content_type().to_owned()),
    ]
}

/// Reads what [`encode_headers`] wrote, in any order. Headers of other names are ignored; of a name that comes twice the
/// last one counts, as in Kafka's own `lastHeader`.
///
/// # Errors
/// [`QueueError::Corrupt`] that names the header which is missing or can't be read: another producer wrote the record.
pub fn decode_headers<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<RecordHeaders, QueueError> {
    let (mut tenant, mut stream, mut received_at, mut request_id, mut index, mut content_type) =
        (None, None, None, None, None, None);
    for (name, value) in headers {
        let slot = match name {
            TENANT => &mut tenant,
            STREAM => &mut stream,
            RECEIVED_AT => &mut received_at,
            REQUEST_ID => &mut request_id,
            INDEX => &mut index,
            CONTENT_TYPE => &mut content_type,
            _ => continue,
        };
        *slot = Some(value);
    }
    Ok(RecordHeaders {
        tenant: parse(TENANT, tenant, TenantId::parse)?,
        stream: parse(STREAM, stream, StreamId::parse)?,
        received_at: parse(RECEIVED_AT, received_at, parse_microseconds)?,
        request_id: parse(REQUEST_ID, request_id, RequestId::parse)?,
        index: parse(INDEX, index, str::parse::<u32>)?,
        format: parse(CONTENT_TYPE, content_type, parse_format)?,
    })
}

fn parse<T, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    name: &str,
    value: Option<&[u8]>,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, QueueError> {
    let Some(bytes) = value else {
        return Err(QueueError::Corrupt { context: format!("a record has no header {name}"), source: None });
    };
    let unreadable = |source| QueueError::Corrupt {
        context: format!("the header {name} of a record can't be read"),
        source: Some(source),
    };
    let text = std::str::from_utf8(bytes).map_err(|error| unreadable(error.into()))?;
    read(text).map_err(|error| unreadable(error.into()))
}

fn parse_microseconds(text: &str) -> Result<Timestamp, String> {
    let microseconds: i64 =
        text.parse().map_err(|_| "expected microseconds since 1970, as 1781396656000000".to_owned())?;
    Timestamp::from_microsecond(microseconds)
        .map_err(|_| format!("{microseconds} is beyond the years that a time can have"))
}

fn parse_format(text: &str) -> Result<PayloadFormat, &'static str> {
    PayloadFormat::from_content_type(text).ok_or("expected application/json or application/xml")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn headers() -> RecordHeaders {
        RecordHeaders {
            tenant: TenantId::parse("acme").unwrap(),
            stream: StreamId::parse("is-2hzqsgX1E").unwrap(),
            received_at: Timestamp::from_microsecond(1_781_396_656_123_456).unwrap(),
            request_id: RequestId::parse("r-1").unwrap(),
            index: 7,
            format: PayloadFormat::Json,
        }
    }

    fn decode(encoded: &[(&'static str, String)]) -> Result<RecordHeaders, QueueError> {
        decode_headers(encoded.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    #[test]
    fn the_text_is_what_other_consumers_may_rely_on() {
        let expected = [
            ("tenant", "acme"),
            ("stream", "is-2hzqsgX1E"),
            ("received_at", "1781396656123456"),
            ("request_id", "r-1"),
            ("index", "7"),
            ("content_type", "application/json"),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        assert_eq!(encode_headers(&headers()), expected);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(microseconds in 0..253_402_207_200_000_000_i64, index: u32, id in "[A-Za-z0-9._-]{1,128}", format in prop::sample::select(&PayloadFormat::ALL[..])) {
            let mut expected = headers();
            expected.received_at = Timestamp::from_microsecond(microseconds).unwrap();
            expected.index = index;
            expected.format = format;
            expected.request_id = RequestId::parse(&id).unwrap();
            let mut encoded = encode_headers(&expected).to_vec();
            encoded.reverse();
            encoded.push(("traceparent", "00-1".to_owned()));
            prop_assert_eq!(decode(&encoded).unwrap(), expected);
        }
    }

    #[rstest]
    #[case("tenant", Some("ACME"), "the header tenant of a record can't be read")]
    #[case("stream", Some("orders"), "the header stream of a record can't be read")]
    #[case("received_at", Some("2026-06-14T00:24:16Z"), "the header received_at of a record can't be read")]
    #[case("received_at", Some("9223372036854775807"), "the header received_at of a record can't be read")]
    #[case("index", Some("-1"), "the header index of a record can't be read")]
    #[case("content_type", Some("text/csv"), "the header content_type of a record can't be read")]
    #[case("request_id", None, "a record has no header request_id")]
    fn a_foreign_record_is_told_by_the_header(#[case] name: &str, #[case] value: Option<&str>, #[case] message: &str) {
        let mut encoded = encode_headers(&headers()).to_vec();
        encoded.retain(|(present, _)| *present != name);
        let wrong: Vec<(&str, &[u8])> = encoded
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .chain(value.map(|value| (name, value.as_bytes())))
            .collect();
        let error = decode_headers(wrong).unwrap_err();
        assert!(matches!(&error, QueueError::Corrupt { context, .. } if context == message), "{error}");
    }
}
