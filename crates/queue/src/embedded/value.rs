//! How a record is stored: a version byte, the fixed headers, three short texts with their lengths, then the payload.

use bytes::Bytes;
use freshet_model::{PayloadFormat, Record, RecordHeaders, RequestId, StreamId, TenantId};
use jiff::Timestamp;

/// The layout below. A file that holds another one was written by a newer version.
const VERSION: u8 = 1;
const JSON: u8 = 0;
const XML: u8 = 1;

/// Writes a record into `buffer`, which is cleared first.
pub(super) fn encode(record: &Record, buffer: &mut Vec<u8>) {
    let headers = &record.headers;
    let format = match headers.format {
        PayloadFormat::Json => JSON,
        PayloadFormat::Xml => XML,
    };
    buffer.clear();
    buffer.push(VERSION);
    buffer.extend_from_slice(&headers.received_at.as_microsecond().to_be_bytes());
    buffer.extend_from_slice(&headers.index.to_be_bytes());
    buffer.push(format);
    for text in [headers.tenant.as_str(), headers.stream.as_str(), headers.request_id.as_str()] {
        // Identifiers are at most 128 bytes long; were one longer, `decode` would refuse what is left of it.
        let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
        buffer.push(length);
        buffer.extend(text.bytes().take(usize::from(length)));
    }
    buffer.extend_from_slice(&record.payload);
}

/// Reads what [`encode`] wrote, or says what is wrong with it.
pub(super) fn decode(value: &[u8]) -> Result<Record, String> {
    const SHORT: &str = "it ends too early";
    let (version, rest) = value.split_first().ok_or(SHORT)?;
    if *version != VERSION {
        return Err(format!("it has layout {version}, and this program knows layout {VERSION}"));
    }
    let (received_at, rest) = rest.split_first_chunk().ok_or(SHORT)?;
    let (index, rest) = rest.split_first_chunk().ok_or(SHORT)?;
    let (format, rest) = rest.split_first().ok_or(SHORT)?;
    let format = match *format {
        JSON => PayloadFormat::Json,
        XML => PayloadFormat::Xml,
        other => return Err(format!("{other} is not a payload format")),
    };
    let (tenant, rest) = text(rest).ok_or(SHORT)?;
    let (stream, rest) = text(rest).ok_or(SHORT)?;
    let (request_id, payload) = text(rest).ok_or(SHORT)?;
    let headers = RecordHeaders {
        tenant: TenantId::parse(tenant).map_err(|error| error.to_string())?,
        stream: StreamId::parse(stream).map_err(|error| error.to_string())?,
        received_at: Timestamp::from_microsecond(i64::from_be_bytes(*received_at))
            .map_err(|error| error.to_string())?,
        request_id: RequestId::parse(request_id).map_err(|error| error.to_string())?,
        index: u32::from_be_bytes(*index),
        format,
    };
    Ok(Record { headers, payload: Bytes::copy_from_slice(payload) })
}

fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_and_a_part_of_it_never_panics(
            microseconds in -1_000_000..253_402_207_200_000_000_i64,
            index: u32,
            id in "[A-Za-z0-9._-]{1,128}",
            payload: Vec<u8>,
            format in prop::sample::select(&PayloadFormat::ALL[..]),
            cut: prop::sample::Index,
        ) {
            let headers = RecordHeaders {
                tenant: TenantId::parse("acme").unwrap(),
                stream: StreamId::parse("is-2hzqsgX1E").unwrap(),
                received_at: Timestamp::from_microsecond(microseconds).unwrap(),
                request_id: RequestId::parse(&id).unwrap(),
                index,
                format,
            };
            let record = Record { headers, payload: payload.into() };
            let mut buffer = vec![9; 40];
            encode(&record, &mut buffer);
            prop_assert_eq!(decode(&buffer).unwrap(), record);
            let part = &buffer[..cut.index(buffer.len())];
            if let Ok(decoded) = decode(part) {
                prop_assert_eq!(&decoded.headers.request_id.as_str(), &id.as_str());
            }
        }
    }

    #[test]
    fn a_later_layout_is_named() {
        assert_eq!(decode(&[2, 0]).unwrap_err(), "it has layout 2, and this program knows layout 1");
        assert_eq!(decode(&[]).unwrap_err(), "it ends too early");
    }
}
