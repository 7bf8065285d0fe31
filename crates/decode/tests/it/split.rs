//! Bodies into records.

use bytes::Bytes;
use freshet_decode::{BodyForm, SplitError, SplitLimits, split_records};
use rstest::rstest;

use BodyForm::{Json, NdJson};

fn split(form: BodyForm, body: &[u8]) -> Result<Vec<String>, SplitError> {
    split_within(form, body, SplitLimits::default())
}

fn split_within(form: BodyForm, body: &[u8], limits: SplitLimits) -> Result<Vec<String>, SplitError> {
    let records = split_records(&Bytes::copy_from_slice(body), form, limits)?;
    Ok(records.iter().map(|record| String::from_utf8(record.to_vec()).unwrap()).collect())
}

#[rstest]
#[case::one(Json, r#"{"a": 1}"#, &[r#"{"a": 1}"#])]
#[case::one_among_blanks(Json, " \r\n\t{\"a\": [1,\n2]}\n", &["{\"a\": [1,\n2]}"])]
#[case::array(Json, r#"[{"a": 1}, {} ,{"b": {"c": "]}"}}]"#, &[r#"{"a": 1}"#, "{}", r#"{"b": {"c": "]}"}}"#])]
#[case::byte_order_mark(Json, "\u{feff}[{}]", &["{}"])]
#[case::same_field_twice(Json, r#"{"a": 1, "a": 2}"#, &[r#"{"a": 1, "a": 2}"#])]
#[case::lines(NdJson, "{\"a\":1}\n{\"b\":2}\n", &["{\"a\":1}", "{\"b\":2}"])]
#[case::lines_without_a_last_end(NdJson, "{\"a\":1}\n{\"b\":2}", &["{\"a\":1}", "{\"b\":2}"])]
#[case::blank_lines(NdJson, "\n \t\r\n{\"a\":1} \r\n\r\n  {\"b\":2}\n\n", &["{\"a\":1}", "{\"b\":2}"])]
#[case::lines_after_a_byte_order_mark(NdJson, "\u{feff}{}\n{}", &["{}", "{}"])]
fn records_are_slices_of_the_body(#[case] form: BodyForm, #[case] body: &str, #[case] expected: &[&str]) {
    assert_eq!(split(form, body.as_bytes()).unwrap(), expected);
}

#[test]
fn records_share_the_memory_of_the_body() {
    let body = Bytes::from_static(br#"[{"a": 1}, {"b": 2}]"#);
    let records = split_records(&body, Json, SplitLimits::default()).unwrap();
    assert_eq!(records[1].as_ptr(), body[11..].as_ptr());
}

#[rstest]
fn a_body_without_records_is_empty(
    #[values(Json, NdJson)] form: BodyForm,
    #[values("", " \r\n\t ", "\u{feff}", "\u{feff}\n")] body: &str,
) {
    let error = split(form, body.as_bytes()).unwrap_err();
    assert_eq!(error, SplitError::Empty { form });
    assert!(error.to_string().contains("holds no records"));
    assert!(!error.is_too_large());
}

#[test]
fn an_empty_array_is_empty() {
    assert_eq!(split(Json, b"[ ]"), Err(SplitError::Empty { form: Json }));
}

#[rstest]
#[case::cut(Json, b"{\"a\": 1", "record 0 is not valid JSON at line 1, column 7: EOF while parsing an object")]
#[case::no_json(Json, b"a=1", "record 0 is not valid JSON at line 1, column 1: expected value")]
#[case::second_line(Json, b"{\n\"a\": tru}", "record 0 is not valid JSON at line 2, column 9: expected ident")]
#[case::within_an_array(Json, b"[{}, {}, {\"a\" 1}]", "record 2 is not valid JSON at line 1, column 15: expected `:`")]
#[case::open_array(Json, b"[{}", "record 1 is not valid JSON at line 1, column 3: EOF while parsing a list")]
#[case::trailing_comma(Json, b"[{},]", "record 1 is not valid JSON at line 1, column 5: trailing comma")]
#[case::two_documents(
    Json,
    b"{}{}",
    "record 1 is not valid JSON at line 1, column 3: something follows the end; send several objects in an array"
)]
#[case::lines_said_to_be_json(
    Json,
    b"{}\n{}",
    "record 1 is not valid JSON at line 2, column 1: something follows the end"
)]
#[case::number(Json, b"7", "record 0 is a number, expected a JSON object")]
#[case::not_an_object(
    Json,
    b"[{}, [], \"a\", null, true]",
    "record 1 is an array, expected a JSON object; record 2 is a text, expected a JSON object; record 3 is null, expected a JSON object; record 4 is a boolean, expected a JSON object"
)]
#[case::not_utf8(Json, b"[{},\n{\"a\": \"\xff\"}]", "record 0 is not valid JSON at line 2, column 8: not UTF-8")]
#[case::control_character(
    Json,
    b"{\"a\": \"\x01\"}",
    "record 0 is not valid JSON at line 1, column 7: control character"
)]
#[case::lines(
    NdJson,
    b"{}\n\n{\"a\":}\n[]\n{}\n\"\xff\"\n{} {}",
    "record 1 is not valid JSON at line 3, column 6: expected value; record 2 is an array, expected a JSON object; record 4 is not valid JSON at line 6, column 2: not UTF-8; record 5 is not valid JSON at line 7, column 4: trailing characters"
)]
fn every_bad_record_is_listed(#[case] form: BodyForm, #[case] body: &[u8], #[case] says: &str) {
    let error = split(form, body).unwrap_err();
    assert!(error.to_string().starts_with(says), "{error}");
    assert!(!error.is_too_large());
}

#[rstest]
#[case(Json, "[", ",", "]")]
#[case(NdJson, "", "\n", "")]
fn the_list_ends_at_100(#[case] form: BodyForm, #[case] open: &str, #[case] between: &str, #[case] close: &str) {
    let body = format!("{open}{{}}{between}{}{close}", vec!["7"; 250].join(between));
    let SplitError::BadRecords(bad) = split(form, body.as_bytes()).unwrap_err() else { panic!("expected bad records") };
    assert_eq!((bad.listed.len(), bad.more), (100, 150));
    assert_eq!(bad.listed.iter().map(|bad| bad.index).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    assert!(bad.to_string().ends_with("; and 150 more"), "{bad}");
}

#[rstest]
#[case(Json, "[{\"a\":1},{\"aa\":1},{\"aaa\":1}]")]
#[case(NdJson, "{\"a\":1}\n   {\"aa\":1} \n{\"aaa\":1}")]
fn a_record_may_have_so_many_bytes(#[case] form: BodyForm, #[case] body: &str) {
    let limits = |record_bytes| SplitLimits { record_bytes, ..SplitLimits::default() };
    assert_eq!(split_within(form, body.as_bytes(), limits(9)).unwrap().len(), 3);
    let error = split_within(form, body.as_bytes(), limits(7)).unwrap_err();
    assert!(error.is_too_large());
    assert_eq!(
        error.to_string(),
        "record 1 has 8 bytes, a record may have 7; record 2 has 9 bytes, a record may have 7"
    );
}

#[rstest]
#[case(Json, "[{},{},{}]")]
#[case(NdJson, "{}\n{}\n\n{}\n\n")]
fn a_body_may_have_so_many_records(#[case] form: BodyForm, #[case] body: &str) {
    let limits = |records| SplitLimits { records, ..SplitLimits::default() };
    assert_eq!(split_within(form, body.as_bytes(), limits(3)).unwrap().len(), 3);
    let error = split_within(form, body.as_bytes(), limits(2)).unwrap_err();
    assert_eq!(error, SplitError::TooManyRecords { limit: 2 });
    assert!(error.is_too_large());
    assert!(error.to_string().contains("more than 2 records"), "{error}");
}

#[test]
fn as_many_records_as_allowed_and_then_a_mistake_is_a_mistake() {
    let limits = SplitLimits { records: 2, ..SplitLimits::default() };
    let error = split_within(Json, b"[{},{}", limits).unwrap_err();
    assert!(error.to_string().contains("EOF while parsing a list"), "{error}");
}

/// As deep as the body allows: no stack may overflow, whatever comes after the brackets.
#[rstest]
fn nesting_ends_at_100(
    #[values(Json, NdJson)] form: BodyForm,
    #[values("[", "{\"a\":", "[{\"a\":")] level: &str,
    #[values(true, false)] is_closed: bool,
) {
    let close: String = level
        .chars()
        .rev()
        .filter_map(|open| match open {
            '[' => Some(']'),
            '{' => Some('}'),
            _ => None,
        })
        .collect();
    let levels = 2_000_000;
    let closing = if is_closed { close.repeat(levels) } else { String::new() };
    let body = format!("{{\"a\":{}1{closing}}}", level.repeat(levels));
    let limits = SplitLimits { record_bytes: usize::MAX, ..SplitLimits::default() };
    let error = split_within(form, body.as_bytes(), limits).unwrap_err();
    let says = if is_closed { "is nested more than 100 levels deep" } else { "is not valid JSON" };
    assert!(error.to_string().contains(says), "{error}");
}

#[rstest]
#[case(100, true)]
#[case(101, false)]
fn the_record_itself_is_the_first_level(#[case] levels: usize, #[case] holds: bool) {
    let body = format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert_eq!(split(Json, body.as_bytes()).is_ok(), holds);
}

#[test]
fn brackets_in_texts_and_side_by_side_are_not_nesting() {
    let flat = format!("{{\"a\":[{}[]], \"b\": \"{}\", \"\\\"{{\": {{}}}}", "[],".repeat(500), "[{\\\"".repeat(500));
    assert_eq!(split(Json, flat.as_bytes()).unwrap(), [flat]);
}
