//! One value into one column: every row of the table of conversions.

use jiff::Timestamp;
use jiff::civil::Date;
use rstest::rstest;

use crate::support::{Cell, decode_value};

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn micros(time: &str) -> Cell {
    Cell::Micros(time.parse::<Timestamp>().unwrap().as_microsecond())
}

fn days(day: &str) -> Cell {
    let since = day.parse::<Date>().unwrap().duration_since(Date::constant(1970, 1, 1));
    Cell::Days(i32::try_from(since.as_hours() / 24).unwrap())
}

#[rstest]
#[case(r#""as it is ""#, text("as it is "))]
#[case(r#""""#, text(""))]
#[case(r#""tab\tquote\" \u00e9 \ud83d\ude00""#, text("tab\tquote\" é 😀"))]
#[case("79.990", text("79.990"))]
#[case("-1E+5", text("-1E+5"))]
#[case("123456789012345678901234567890.10", text("123456789012345678901234567890.10"))]
#[case("true", text("true"))]
#[case("false", text("false"))]
#[case("null", Cell::Null)]
#[case("{ \"a\" : [1,  2] }", text("{ \"a\" : [1,  2] }"))]
#[case("[ 1, \"\\u00e9\" ]", text("[ 1, \"\\u00e9\" ]"))]
fn strings(#[case] incoming: &str, #[case] expected: Cell) {
    assert_eq!(decode_value("string", incoming), Ok(expected));
}

#[rstest]
#[case(r#""a\u00e9""#, text(r#""a\u00e9""#))]
#[case("12.50", text("12.50"))]
#[case("true", text("true"))]
#[case("{ \"a\" : null }", text("{ \"a\" : null }"))]
#[case("[]", text("[]"))]
#[case("null", Cell::Null)]
#[case(r#""""#, Cell::Null)]
fn json_values(#[case] incoming: &str, #[case] expected: Cell) {
    assert_eq!(decode_value("json", incoming), Ok(expected));
}

#[rstest]
#[case("true", true)]
#[case("false", false)]
#[case("0", false)]
#[case("1", true)]
#[case(r#""true""#, true)]
#[case(r#"" FALSE ""#, false)]
#[case(r#""True""#, true)]
#[case(r#""0""#, false)]
#[case(r#""1""#, true)]
fn booleans(#[case] incoming: &str, #[case] expected: bool) {
    assert_eq!(decode_value("boolean", incoming), Ok(Cell::Boolean(expected)));
}

#[rstest]
#[case("42", 42)]
#[case("-0", 0)]
#[case("42.0", 42)]
#[case("4.2e1", 42)]
#[case("420e-1", 42)]
#[case(r#"" 42 ""#, 42)]
#[case(r#""+42""#, 42)]
#[case(r#""42.000""#, 42)]
#[case("9223372036854775807", i64::MAX)]
#[case("-9223372036854775808", i64::MIN)]
#[case("-9223372036854775808.0", i64::MIN)]
#[case(r#""9223372036854775807""#, i64::MAX)]
#[case("0e999999999999999999999", 0)]
fn integers(#[case] incoming: &str, #[case] expected: i64) {
    assert_eq!(decode_value("integer", incoming), Ok(Cell::Integer(expected)));
}

#[rstest]
#[case("79.99", 79.99)]
#[case(r#"" 79.99 ""#, 79.99)]
#[case("42", 42.0)]
#[case("1e3", 1000.0)]
#[case("-0.0", -0.0)]
#[case("9007199254740992", 9_007_199_254_740_992.0)]
#[case("1000000000000000000000", 1e21)]
#[case::as_javascript_writes_it("123456789012345680000", 123_456_789_012_345_680_000.0)]
#[case::and_exactly("123456789012345683968", 123_456_789_012_345_680_000.0)]
#[case("1.7976931348623157e308", f64::MAX)]
#[case("5e-324", 5e-324)]
#[case("0e-999", 0.0)]
fn doubles(#[case] incoming: &str, #[case] expected: f64) {
    assert_eq!(decode_value("double", incoming), Ok(Cell::Double(expected)));
    assert_eq!(decode_value("float", incoming), Ok(Cell::Double(expected)));
}

#[rstest]
#[case("decimal(9,2)", "79.99", 7_999)]
#[case("decimal(9,2)", r#""79.99""#, 7_999)]
#[case("decimal(9,2)", r#""\t 79.9 ""#, 7_990)]
#[case("decimal(9,2)", r#"" -79.9 ""#, -7_990)]
#[case("decimal(9,2)", r#""+.5""#, 50)]
#[case("decimal(9,2)", r#""5.""#, 500)]
#[case("decimal(9,2)", "79.99000", 7_999)]
#[case("decimal(9,2)", "1e3", 100_000)]
#[case("decimal(9,2)", "12345E-2", 12_345)]
#[case("decimal(9,2)", "9999999.99", 999_999_999)]
#[case("decimal(9,2)", "-9999999.99", -999_999_999)]
#[case("decimal(9,2)", "0.00000000000000000000000000000000000000000000000000", 0)]
#[case("decimal(9,2)", r#""0000000000000000000000000000000000000000000000000001.5""#, 150)]
#[case("decimal(18,0)", "42", 42)]
#[case("decimal(38,0)", "99999999999999999999999999999999999999", 10_i128.pow(38) - 1)]
#[case("decimal(38,38)", "-0.99999999999999999999999999999999999999", 1 - 10_i128.pow(38))]
#[case("decimal(38,2)", "0.1e36", 10_i128.pow(37))]
#[case::not_through_binary("decimal(38,20)", "0.10000000000000000001", 10_000_000_000_000_000_001)]
fn decimals(#[case] column_type: &str, #[case] incoming: &str, #[case] expected: i128) {
    assert_eq!(decode_value(column_type, incoming), Ok(Cell::Decimal(expected)));
}

#[rstest]
#[case(r#""2026-06-14T00:24:16Z""#, "2026-06-14T00:24:16Z")]
#[case(r#""2026-06-14t00:24:16z""#, "2026-06-14T00:24:16Z")]
#[case(r#""2026-06-14T00:24:16+02:00""#, "2026-06-13T22:24:16Z")]
#[case(r#""2026-06-14T00:24:16.123456-07:30""#, "2026-06-14T07:54:16.123456Z")]
#[case(r#""2026-06-14T00:24:16-00:00""#, "2026-06-14T00:24:16Z")]
#[case(r#""2026-06-14 00:24""#, "2026-06-14T00:24:00Z")]
#[case(r#""2026-06-14T00:24Z""#, "2026-06-14T00:24:00Z")]
#[case(r#""2026-06-14 00:24+0100""#, "2026-06-13T23:24:00Z")]
#[case(r#""2026-06-14 00:24:16""#, "2026-06-14T00:24:16Z")]
#[case(r#""2026-06-14 00:24:16.5""#, "2026-06-14T00:24:16.5Z")]
#[case(r#"" 2026-06-14T00:24:16.000001 ""#, "2026-06-14T00:24:16.000001Z")]
#[case(r#""2026-06-14 00:24:16 UTC""#, "2026-06-14T00:24:16Z")]
#[case(r#""2026-06-14 00:24:16 +01""#, "2026-06-13T23:24:16Z")]
#[case::finer_than_a_microsecond(r#""2026-06-14T00:24:16.123456789Z""#, "2026-06-14T00:24:16.123456Z")]
#[case::also_before_1970(r#""1969-12-31T23:59:59.9999999Z""#, "1969-12-31T23:59:59.999999Z")]
#[case::midnight_of_a_day(r#""2026-06-14""#, "2026-06-14T00:00:00Z")]
#[case::leap_second(r#""2016-12-31T23:59:60Z""#, "2017-01-01T00:00:00Z")]
#[case::leap_day(r#""2024-02-29T00:00:00Z""#, "2024-02-29T00:00:00Z")]
#[case::first(r#""0001-01-01T00:00:00Z""#, "0001-01-01T00:00:00Z")]
#[case::seconds("1781396656", "2026-06-14T00:24:16Z")]
#[case::milliseconds("1781396656123", "2026-06-14T00:24:16.123Z")]
#[case::microseconds("1781396656123456", "2026-06-14T00:24:16.123456Z")]
#[case::greatest_seconds("99999999999", "5138-11-16T09:46:39Z")]
#[case::least_milliseconds("100000000000", "1973-03-03T09:46:40Z")]
#[case::greatest_milliseconds("99999999999999", "5138-11-16T09:46:39.999Z")]
#[case::least_microseconds("100000000000000", "1973-03-03T09:46:40Z")]
#[case::zero("0", "1970-01-01T00:00:00Z")]
#[case::before_1970("-86400", "1969-12-31T00:00:00Z")]
#[case::as_a_float("1781396656.0", "2026-06-14T00:24:16Z")]
#[case::as_text(r#""1781396656""#, "2026-06-14T00:24:16Z")]
#[case::signed_text(r#""-1234567""#, "1969-12-17T17:03:53Z")]
#[case::milliseconds_as_text(r#"" 1781396656123 ""#, "2026-06-14T00:24:16.123Z")]
fn timestamps(#[case] incoming: &str, #[case] expected: &str) {
    assert_eq!(decode_value("timestamp", incoming), Ok(micros(expected)));
    assert_eq!(decode_value("datetime", incoming), Ok(micros(expected)));
}

/// jiff's own timestamps end a day before this one, which is in wide use for "never".
#[test]
fn the_last_microsecond_of_9999_is_a_timestamp() {
    let expected = Ok(Cell::Micros(253_402_300_799_999_999));
    assert_eq!(decode_value("timestamp", r#""9999-12-31T23:59:59.999999Z""#), expected);
    assert_eq!(decode_value("timestamp", "253402300799999999"), expected);
    assert_eq!(decode_value("date", r#""9999-12-31""#), Ok(days("9999-12-31")));
}

#[rstest]
#[case(r#""2026-06-14""#, "2026-06-14")]
#[case(r#"" 2026-06-14 ""#, "2026-06-14")]
#[case(r#""2026-06-14T23:59:59.999999Z""#, "2026-06-14")]
#[case(r#""2026-06-14T23:30:00-01:00""#, "2026-06-15")]
#[case(r#""1969-12-31 12:00""#, "1969-12-31")]
#[case(r#""0001-01-01""#, "0001-01-01")]
#[case("1781396656", "2026-06-14")]
#[case("-1", "1969-12-31")]
fn dates(#[case] incoming: &str, #[case] expected: &str) {
    assert_eq!(decode_value("date", incoming), Ok(days(expected)));
}

#[rstest]
fn null_and_empty_texts_are_null_in_every_type_but_string(
    #[values("boolean", "integer", "double", "decimal(9,2)", "date", "timestamp", "json")] column_type: &str,
    #[values("null", r#""""#)] incoming: &str,
) {
    assert_eq!(decode_value(column_type, incoming), Ok(Cell::Null));
}

#[rstest]
fn blanks_alone_are_an_empty_text(
    #[values("boolean", "integer", "double", "decimal(9,2)", "date", "timestamp")] column_type: &str,
) {
    assert_eq!(decode_value(column_type, r#""  ""#), Ok(Cell::Null));
}

#[rstest]
#[case("boolean", "2", "2 is not true or false; expected true, false, 0 or 1")]
#[case("boolean", r#""yes""#, r#""yes" is not true or false"#)]
#[case("boolean", "[true]", "[true] is an array")]
#[case("integer", "42.5", "42.5 is not a whole number")]
#[case("integer", "1e-1", "1e-1 is not a whole number")]
#[case("integer", "9223372036854775808", "9223372036854775808 is too large; expected a whole number from -9223")]
#[case("integer", "-9223372036854775809", "is too large")]
#[case("integer", "1e99999999999999999999", "is too large")]
#[case("integer", r#""1,000""#, r#""1,000" is not a number"#)]
#[case("integer", r#""4 2""#, "is not a number")]
#[case("integer", r#""0x10""#, "is not a number")]
#[case("integer", r#""--1""#, "is not a number")]
#[case("integer", "true", "true is a boolean")]
#[case("integer", "{}", "{} is an object")]
#[case("double", r#""NaN""#, r#""NaN" is not a number"#)]
#[case("double", r#""Infinity""#, "is not a number")]
#[case("double", r#""-inf""#, "is not a number")]
#[case("double", r#"".""#, "is not a number")]
#[case("double", r#""1e""#, "is not a number")]
#[case("double", r#""1e+""#, "is not a number")]
#[case("double", "1e309", "is too large")]
#[case("double", "1e-400", "is too near to zero")]
#[case("double", "9007199254740993", "9007199254740993 would be changed by rounding")]
#[case("double", r#""9007199254740993.0""#, "would be changed by rounding")]
#[case("double", "false", "is a boolean")]
#[case("decimal(9,2)", r#""79.991""#, r#"value, decimal(9,2): "79.991" has more digits after the point than the column keeps; expected a number with at most 7 digits before the point and 2 after it"#)]
#[case("decimal(9,2)", "1e-3", "more digits after the point")]
#[case("decimal(9,2)", "10000000.00", "is too large")]
#[case("decimal(9,2)", "1e7", "is too large")]
#[case("decimal(38,0)", "100000000000000000000000000000000000000", "is too large")]
#[case("decimal(38,38)", "1", "is too large")]
#[case("decimal(9,2)", "1e-99999999999999999999", "more digits after the point")]
#[case("decimal(9,2)", r#""$5""#, "is not a number")]
#[case("decimal(9,2)", r#""1.2.3""#, "is not a number")]
#[case("decimal(9,2)", r#""٣""#, "is not a number")]
#[case("timestamp", r#""yesterday""#, r#""yesterday" is not a time; expected a time as 2026-06-14T00:24:16Z"#)]
#[case("timestamp", r#""2026-06-14T""#, "is not a time")]
#[case("timestamp", r#""2026-06-14T00""#, "is not a time")]
#[case("timestamp", r#""2026-6-14T00:00:00Z""#, "is not a time")]
#[case("timestamp", r#""2026-06-14T00:00:00.Z""#, "is not a time")]
#[case("timestamp", r#""2026-06-14T00:00:00+2""#, "is not a time")]
#[case("timestamp", r#""2026-06-14T00:00:00+24:00""#, "is not a time")]
#[case("timestamp", r#""2026-06-14T00:00:00+02:""#, "is not a time")]
#[case("timestamp", r#""2026-06-14T00:00:00[Europe/Berlin]""#, "is not a time")]
#[case("timestamp", r#""06/14/2026""#, "is not a time")]
#[case("timestamp", r#""2026-02-30T00:00:00Z""#, "names a day or a time of day that does not exist")]
#[case("timestamp", r#""2026-13-01T00:00:00Z""#, "does not exist")]
#[case("timestamp", r#""2026-06-14T24:00:00Z""#, "does not exist")]
#[case("timestamp", r#""2026-06-14T23:60:00Z""#, "does not exist")]
#[case("timestamp", r#""2026-06-14T23:59:61Z""#, "does not exist")]
#[case("timestamp", r#""2023-02-29""#, "does not exist")]
#[case("timestamp", r#""0000-12-31T23:00:00Z""#, "lies outside the years 0001 to 9999")]
#[case("timestamp", r#""0001-01-01T00:00:00+01:00""#, "lies outside the years")]
#[case("timestamp", r#""9999-12-31T23:59:59-01:00""#, "lies outside the years")]
#[case("timestamp", r#""9999-12-31T23:59:60Z""#, "lies outside the years")]
#[case("timestamp", r#""10000-01-01T00:00:00Z""#, "is not a time")]
#[case::nanoseconds("timestamp", "1781396656123456789", "lies outside the years")]
#[case("timestamp", "-9223372036854775808", "lies outside the years")]
#[case("timestamp", "1781396656.5", "is not a whole number")]
#[case("timestamp", r#""20260614""#, "may be a count of seconds or milliseconds as well as a day without dashes")]
#[case("timestamp", r#""20260614002416""#, "a day without dashes")]
#[case("timestamp", "true", "is a boolean")]
#[case("date", "[]", "[] is an array; expected a day as 2026-06-14")]
#[case("date", r#""2026-06""#, "is not a time")]
#[case("string", r#""\ud800""#, "half of a surrogate pair")]
fn refusals(#[case] column_type: &str, #[case] incoming: &str, #[case] says: &str) {
    let reason = decode_value(column_type, incoming).unwrap_err();
    assert!(reason.contains(says), "{reason}");
    assert!(reason.starts_with("value, "), "{reason}");
    assert!(reason.contains("; expected "), "{reason}");
}

#[test]
fn a_reason_repeats_the_first_100_characters_of_a_value() {
    let long = format!("\"{}\"", "ü".repeat(900_000));
    let reason = decode_value("integer", &long).unwrap_err();
    assert!(reason.contains(&format!("\"{}… is not a number", "ü".repeat(99))), "{reason}");
}
