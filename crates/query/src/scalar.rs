//! From a parameter's JSON value to a value of SQL.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use freshet_sql::read_timestamp;
use jiff::civil::Date;

use crate::ParameterValue;

/// Most digits that a 128-bit decimal holds.
const MAX_DIGITS: usize = 38;
/// From which dates count.
const EPOCH: Date = Date::constant(1970, 1, 1);

/// The value to bind, of the `planned` type where that loses nothing; else what is expected, to be said after the
/// parameter's name.
pub(crate) fn scalar(value: &ParameterValue, planned: Option<&DataType>) -> Result<ScalarValue, String> {
    match (value, planned) {
        (ParameterValue::Null, None) => Ok(ScalarValue::Null),
        (ParameterValue::Null, Some(planned)) => Ok(ScalarValue::try_from(planned).unwrap_or(ScalarValue::Null)),
        (value, Some(DataType::Dictionary(_, planned))) => scalar(value, Some(planned)),
        (value, Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)) => Ok(text(value)),
        (value, Some(DataType::Boolean)) => boolean(value),
        (value, Some(planned)) if planned.is_floating() => double(value),
        (value, Some(planned)) if planned.is_numeric() => number(value),
        (value, Some(DataType::Date32 | DataType::Date64)) => date(value),
        (value, Some(DataType::Timestamp(_, zone))) => timestamp(value, zone.as_deref()),
        (value, _) => untyped(value),
    }
}

fn untyped(value: &ParameterValue) -> Result<ScalarValue, String> {
    match value {
        ParameterValue::Null => Ok(ScalarValue::Null),
        ParameterValue::Boolean(value) => Ok(ScalarValue::from(*value)),
        ParameterValue::Number(_) => number(value),
        ParameterValue::Text(value) => Ok(ScalarValue::from(value.as_str())),
    }
}

fn text(value: &ParameterValue) -> ScalarValue {
    match value {
        ParameterValue::Text(value) | ParameterValue::Number(value) => ScalarValue::from(value.as_str()),
        ParameterValue::Boolean(value) => ScalarValue::from(value.to_string()),
        ParameterValue::Null => ScalarValue::Utf8(None),
    }
}

fn boolean(value: &ParameterValue) -> Result<ScalarValue, String> {
    match value {
        ParameterValue::Boolean(value) => Ok(ScalarValue::from(*value)),
        ParameterValue::Text(text) if text.eq_ignore_ascii_case("true") => Ok(ScalarValue::from(true)),
        ParameterValue::Text(text) if text.eq_ignore_ascii_case("false") => Ok(ScalarValue::from(false)),
        _ => Err("stands where the query has a boolean: send true or false".to_owned()),
    }
}

fn double(value: &ParameterValue) -> Result<ScalarValue, String> {
    let parsed = digits(value).and_then(|digits| digits.parse::<f64>().ok()).filter(|number| number.is_finite());
    parsed.map(ScalarValue::from).ok_or_else(not_a_number)
}

/// Exactly the number that was sent, whatever the precision of the column that it meets: the comparison widens both.
fn number(value: &ParameterValue) -> Result<ScalarValue, String> {
    digits(value).and_then(exact).ok_or_else(not_a_number)
}

fn digits(value: &ParameterValue) -> Option<&str> {
    match value {
        ParameterValue::Number(text) | ParameterValue::Text(text) => Some(text.trim()),
        _ => None,
    }
}

fn not_a_number() -> String {
    "stands where the query has a number: send a number".to_owned()
}

/// A number's text as an integer, as a decimal of at most 38 digits, or, beyond these, as a double.
fn exact(text: &str) -> Option<ScalarValue> {
    if let Ok(integer) = text.parse::<i64>() {
        return Some(ScalarValue::from(integer));
    }
    decimal(text).or_else(|| text.parse::<f64>().ok().filter(|number| number.is_finite()).map(ScalarValue::from))
}

fn decimal(text: &str) -> Option<ScalarValue> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (sign, unsigned) = mantissa.strip_prefix('-').map_or(("", mantissa), |unsigned| ("-", unsigned));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut scale = i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    if scale < 0 {
        let zeros = usize::try_from(scale.unsigned_abs()).ok().filter(|zeros| *zeros <= MAX_DIGITS)?;
        digits.push_str(&"0".repeat(zeros));
        scale = 0;
    }
    let significant = digits.trim_start_matches('0');
    let precision = significant.len().max(usize::try_from(scale).ok()?).max(1);
    if precision > MAX_DIGITS {
        return None;
    }
    let unscaled: i128 = format!("{sign}{}", if significant.is_empty() { "0" } else { significant }).parse().ok()?;
    Some(ScalarValue::Decimal128(Some(unscaled), u8::try_from(precision).ok()?, i8::try_from(scale).ok()?))
}

fn date(value: &ParameterValue) -> Result<ScalarValue, String> {
    let expected = || "stands where the query has a date: send a string such as \"2026-06-14\"".to_owned();
    let ParameterValue::Text(text) = value else { return Err(expected()) };
    // The parser of dates takes the date of a time, too: only what is short enough is a date alone.
    if text.trim().len() <= "-009999-01-01".len()
        && let Ok(day) = text.trim().parse::<Date>()
    {
        let since = day.since(EPOCH).map_err(|_error| expected())?;
        return Ok(ScalarValue::Date32(Some(since.get_days())));
    }
    // A time of day compares with a date as midnight does.
    timestamp(value, Some("UTC")).map_err(|_error| expected())
}

fn timestamp(value: &ParameterValue, zone: Option<&str>) -> Result<ScalarValue, String> {
    let expected =
        || "stands where the query has a timestamp: send a string such as \"2026-06-14T00:24:16Z\"".to_owned();
    let ParameterValue::Text(text) = value else { return Err(expected()) };
    let instant = read_timestamp(text.trim()).ok_or_else(expected)?;
    Ok(ScalarValue::TimestampMicrosecond(Some(instant.as_microsecond()), zone.map(Into::into)))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;
    use rstest::rstest;

    use super::*;

    fn sent(text: &str) -> ParameterValue {
        ParameterValue::Number(text.to_owned())
    }

    #[rstest]
    #[case("5", ScalarValue::Int64(Some(5)))]
    #[case("-9223372036854775808", ScalarValue::Int64(Some(i64::MIN)))]
    #[case("9223372036854775808", ScalarValue::Decimal128(Some(9_223_372_036_854_775_808), 19, 0))]
    #[case("10.125", ScalarValue::Decimal128(Some(10_125), 5, 3))]
    #[case("-0.05", ScalarValue::Decimal128(Some(-5), 2, 2))]
    #[case("0.0", ScalarValue::Decimal128(Some(0), 1, 1))]
    #[case("12.5e3", ScalarValue::Decimal128(Some(12_500), 5, 0))]
    #[case("1E-7", ScalarValue::Decimal128(Some(1), 7, 7))]
    #[case("1e39", ScalarValue::Float64(Some(1e39)))]
    #[case(
        "79228162514264337593543950335.00000001",
        ScalarValue::Decimal128(Some(7_922_816_251_426_433_759_354_395_033_500_000_001), 37, 8)
    )]
    fn a_number_keeps_every_digit(#[case] text: &str, #[case] expected: ScalarValue) {
        assert_eq!(scalar(&sent(text), None), Ok(expected.clone()));
        assert_eq!(scalar(&sent(text), Some(&DataType::Decimal128(18, 2))), Ok(expected));
    }

    #[rstest]
    #[case(sent("5"), DataType::Utf8, ScalarValue::from("5"))]
    #[case(sent("0.1"), DataType::Float64, ScalarValue::from(0.1))]
    #[case(ParameterValue::Text("12".into()), DataType::Int64, ScalarValue::Int64(Some(12)))]
    #[case(ParameterValue::Text("TRUE".into()), DataType::Boolean, ScalarValue::from(true))]
    #[case(ParameterValue::Text("1970-01-03".into()), DataType::Date32, ScalarValue::Date32(Some(2)))]
    #[case(ParameterValue::Text("1969-12-31".into()), DataType::Date32, ScalarValue::Date32(Some(-1)))]
    #[case(ParameterValue::Null, DataType::Int64, ScalarValue::Int64(None))]
    fn a_value_takes_the_planned_type(
        #[case] value: ParameterValue,
        #[case] planned: DataType,
        #[case] expected: ScalarValue,
    ) {
        assert_eq!(scalar(&value, Some(&planned)), Ok(expected));
    }

    #[rstest]
    #[case("1970-01-01T00:00:01Z")]
    #[case("1970-01-01T01:00:01+01:00")]
    #[case("1970-01-01 00:00:01")]
    #[case("1970-01-01T00:00:01.000000")]
    fn a_time_is_read_in_utc(#[case] text: &str) {
        let planned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let expected = ScalarValue::TimestampMicrosecond(Some(1_000_000), Some("UTC".into()));
        assert_eq!(scalar(&ParameterValue::Text(text.into()), Some(&planned)), Ok(expected));
    }

    #[rstest]
    #[case(ParameterValue::Text("soon".into()), DataType::Int64, "send a number")]
    #[case(ParameterValue::Boolean(true), DataType::Float64, "send a number")]
    #[case(sent("1"), DataType::Boolean, "send true or false")]
    #[case(sent("1"), DataType::Date32, "2026-06-14")]
    #[case(ParameterValue::Text("14.6.2026".into()), DataType::Date32, "2026-06-14")]
    #[case(ParameterValue::Text("now".into()), DataType::Timestamp(TimeUnit::Microsecond, None), "00:24:16Z")]
    fn a_value_of_another_kind_is_refused(
        #[case] value: ParameterValue,
        #[case] planned: DataType,
        #[case] says: &str,
    ) {
        let refusal = scalar(&value, Some(&planned)).unwrap_err();
        assert!(refusal.contains(says), "{refusal}");
    }
}
