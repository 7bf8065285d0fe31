//! Which format a caller prefers (RFC 9110, section 12.5.1).

use std::cmp::Reverse;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use freshet_http::Problem;
use freshet_query::Format;

/// Quality in thousandths, as finely as the header can tell it.
const FULL: u16 = 1_000;
/// How near a range is to one type: `text/csv` is nearer than `text/*`, and that is nearer than `*/*`.
const EXACT: u8 = 2;
const SUBTYPES: u8 = 1;
const ANYTHING: u8 = 0;

/// The format of the highest quality in `Accept`; among equals the one that is named the most exactly, then the first of
/// them in the header, then JSON before others. JSON where there is no header.
///
/// # Errors
/// 406 that lists the formats.
pub(crate) fn accepted(headers: &HeaderMap) -> Result<Format, Problem> {
    let values = headers.get_all(ACCEPT).iter().map(|value| value.to_str().unwrap_or("?"));
    let values: Vec<&str> = values.filter(|value| !value.trim().is_empty()).collect();
    if values.is_empty() {
        return Ok(Format::Json);
    }
    let ranges: Vec<Range> = values.iter().flat_map(|value| value.split(',')).filter_map(Range::parse).collect();
    let wanted = Format::ALL.into_iter().enumerate().filter_map(|(order, format)| {
        let (place, range) = nearest(format, &ranges)?;
        (range.quality > 0).then_some(((range.quality, range.nearness, Reverse(place), Reverse(order)), format))
    });
    let best = wanted.max_by_key(|(rank, _)| *rank).map(|(_, format)| format);
    best.ok_or_else(|| {
        let served = Format::ALL.map(Format::media_type).join(", ");
        Problem::not_acceptable(format!("the header Accept names no format of results; there are {served}"))
    })
}

/// One media range of the header.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    media_type: String,
    nearness: u8,
    quality: u16,
}

impl Range {
    /// None where it is no media range: it names nothing then. Parameters besides the quality distinguish none of the formats.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next()?.to_ascii_lowercase();
        let (main, sub) = media_type.split_once('/')?;
        if main.is_empty() || sub.is_empty() || (main == "*" && sub != "*") {
            return None;
        }
        let nearness = match (main, sub) {
            ("*", _) => ANYTHING,
            (_, "*") => SUBTYPES,
            _ => EXACT,
        };
        let mut quality = FULL;
        for parameter in parts {
            if let Some((name, value)) = parameter.split_once('=')
                && name.trim().eq_ignore_ascii_case("q")
            {
                quality = thousandths(value.trim())?;
            }
        }
        Some(Self { media_type, nearness, quality })
    }

    fn includes(&self, format: Format) -> bool {
        let (wanted, main) = (format.media_type(), format.media_type().split('/').next().unwrap_or_default());
        match self.nearness {
            ANYTHING => true,
            SUBTYPES => self.media_type.strip_suffix("/*") == Some(main),
            _ => self.media_type == wanted,
        }
    }
}

/// The range that decides on a format: the nearest one, and the first of these.
fn nearest(format: Format, ranges: &[Range]) -> Option<(usize, &Range)> {
    let including = ranges.iter().enumerate().filter(|(_, range)| range.includes(format));
    including.max_by_key(|(place, range)| (range.nearness, Reverse(*place)))
}

/// `0`, `1`, or one of these with up to three digits after a point, at most 1.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = match whole {
        "0" => 0,
        "1" => FULL,
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    (whole + fraction <= FULL).then_some(whole + fraction)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use rstest::rstest;

    use super::*;

    fn of(values: &[&str]) -> Result<Format, Problem> {
        let values = values.iter().map(|value| (ACCEPT, HeaderValue::from_str(value).unwrap()));
        accepted(&values.collect())
    }

    #[rstest]
    #[case(&[], Format::Json)]
    #[case(&[""], Format::Json)]
    #[case(&["*/*"], Format::Json)]
    #[case(&["application/*"], Format::Json)]
    #[case(&["application/json"], Format::Json)]
    #[case(&["text/csv"], Format::Csv)]
    #[case(&["TEXT/CSV; charset=utf-8"], Format::Csv)]
    #[case(&["text/*"], Format::Csv)]
    #[case(&["application/x-ndjson"], Format::NdJson)]
    #[case(&["application/vnd.apache.arrow.stream"], Format::ArrowStream)]
    #[case(&["application/vnd.apache.parquet"], Format::Parquet)]
    #[case(&["application/json;q=0.5, text/csv;q=0.8"], Format::Csv)]
    #[case(&["application/json;q=0.5", "text/csv ; Q=0.501"], Format::Csv)]
    #[case(&["*/*, text/csv"], Format::Csv)]
    #[case(&["text/csv, application/json"], Format::Csv)]
    #[case(&["application/json, text/csv"], Format::Json)]
    #[case(&["text/html, application/xhtml+xml, */*;q=0.8"], Format::Json)]
    #[case(&["application/json;q=0, */*;q=0.1"], Format::NdJson)]
    #[case(&["application/*;q=0, */*"], Format::Csv)]
    #[case(&["text/csv;q=1.000, application/json;q=0.999"], Format::Csv)]
    #[case(&["text/csv;q=2, application/json;q=0.1"], Format::Json)]
    #[case(&["nonsense, text/csv"], Format::Csv)]
    fn what_is_preferred(#[case] values: &[&str], #[case] format: Format) {
        assert_eq!(of(values).unwrap(), format);
    }

    #[rstest]
    #[case("text/html")]
    #[case("application/xml")]
    #[case("application/json;q=0")]
    #[case("*/*;q=0.000")]
    #[case("*/csv")]
    #[case("csv")]
    #[case("text/csv;q=high")]
    fn what_is_not_served(#[case] value: &str) {
        let refusal = of(&[value]).unwrap_err();
        assert_eq!(refusal.status(), 406);
        assert_eq!(
            refusal.detail(),
            "the header Accept names no format of results; there are application/json, application/x-ndjson, text/csv, application/vnd.apache.arrow.stream, application/vnd.apache.parquet"
        );
    }
}
