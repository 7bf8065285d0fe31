//! Conditions over one record: what they hold for, and what is refused.

use std::collections::BTreeMap;

use freshet_sql::{Condition, Literal, MAX_CONDITION_BYTES, Predicate, SqlError, Test, parse_condition};
use proptest::prelude::*;
use rstest::rstest;

/// What a condition is for a record of texts, numbers and booleans; a name that isn't there is null.
fn evaluate(condition: &str, record: &[(&str, &str)]) -> Option<bool> {
    let record: BTreeMap<&str, &str> = record.iter().copied().collect();
    parse_condition(condition).unwrap().evaluate(&mut |Predicate { name, test }| {
        let value = record.get(name.as_str()).copied();
        match test {
            Test::Null => Some(value.is_none()),
            Test::Compare(comparison, Literal::Text(text)) => Some(comparison.holds(value?.cmp(text.as_str()))),
            Test::Compare(comparison, Literal::Number(number)) => {
                let (value, number): (f64, f64) = (value?.parse().ok()?, number.parse().unwrap());
                Some(comparison.holds(value.partial_cmp(&number)?))
            }
            Test::Compare(comparison, Literal::Boolean(boolean)) => {
                Some(comparison.holds(value?.parse::<bool>().ok()?.cmp(boolean)))
            }
        }
    })
}

#[rstest]
#[case("op = 'D'", Some(true))]
#[case("'D' = op", Some(true))]
#[case("op <> 'D'", Some(false))]
#[case("op != 'X'", Some(true))]
#[case("OP = 'D'", None)]
#[case("\"op\" = 'D'", Some(true))]
#[case("op IN ('X', 'D')", Some(true))]
#[case("op not in ('X', 'Y')", Some(true))]
#[case("op NOT IN ('X', 'D')", Some(false))]
#[case("lacking IN ('X')", None)]
#[case("lacking NOT IN ('X')", None)]
#[case("lacking = 'D'", None)]
#[case("NOT lacking = 'D'", None)]
#[case("lacking = 'D' OR op = 'D'", Some(true))]
#[case("lacking = 'D' OR op = 'X'", None)]
#[case("lacking = 'D' AND op = 'D'", None)]
#[case("lacking = 'D' AND op = 'X'", Some(false))]
#[case("lacking IS NULL", Some(true))]
#[case("op IS NULL", Some(false))]
#[case("op is not null", Some(true))]
#[case("deleted", Some(true))]
#[case("NOT deleted", Some(false))]
#[case("deleted = TRUE", Some(true))]
#[case("(deleted)", Some(true))]
#[case("false = deleted", Some(false))]
#[case("amount = -1.50", Some(true))]
#[case("amount < -1", Some(true))]
#[case("amount <= -1.5", Some(true))]
#[case("-1 > amount", Some(true))]
#[case("amount >= -1.5", Some(true))]
#[case("0 < amount", Some(false))]
#[case("0 >= amount", Some(true))]
#[case("amount > 1e3", Some(false))]
#[case("quoted = 'it''s'", Some(true))]
#[case("op = 'X' OR op = 'D' AND deleted", Some(true))]
#[case("op = 'D' OR op = 'X' AND op = 'Y'", Some(true))]
#[case("(op = 'D' OR op = 'X') AND op = 'Y'", Some(false))]
#[case("NOT (op = 'X' OR amount > 0) -- a comment", Some(true))]
#[case("NOT NOT op = 'D'", Some(true))]
#[case("not op = 'D' and deleted", Some(false))]
#[case("\"and\" = 'quoted words are names'", Some(true))]
#[case("delete", Some(true))]
fn a_condition_holds_as_sql_has_it(#[case] condition: &str, #[case] expected: Option<bool>) {
    let record = [
        ("op", "D"),
        ("deleted", "true"),
        ("delete", "true"),
        ("amount", "-1.5"),
        ("quoted", "it's"),
        ("and", "quoted words are names"),
    ];
    assert_eq!(evaluate(condition, &record), expected, "{condition}");
}

#[rstest]
#[case("", "found the end, expected a name")]
#[case("op = ", "found the end, expected a name, a text, a number, TRUE or FALSE; a condition is made of")]
#[case("op = 'D' AND", "found the end")]
#[case("op LIKE 'D%'", "found LIKE, expected =, <>, <, <=, >, >=, IN or IS; a condition is made of")]
#[case("amount BETWEEN 1 AND 2", "found BETWEEN")]
#[case("amount + 1 = 2", "found +")]
#[case("lower(op) = 'd'", "lower is called as a function")]
#[case("op = lower('D')", "lower is called as a function")]
#[case("meta.op = 'D'", "declare a column with a path")]
#[case("op = code", "found code, expected a text in single quotes")]
#[case("op = \"D\"", "found \"D\", expected a text in single quotes")]
#[case("1 = 1", "two constants are compared")]
#[case("TRUE", "found the end, expected =")]
#[case("op = NULL", "write IS NULL")]
#[case("NULL = op", "write IS NULL")]
#[case("op IN ('D', NULL)", "write IS NULL")]
#[case("op IN ()", "found )")]
#[case("op IN ('D'", "found the end, expected , or )")]
#[case("op IN 'D'", "found 'D', expected (")]
#[case("op IN (SELECT 1)", "found SELECT, expected a text in single quotes")]
#[case("op IS 'D'", "expected NULL")]
#[case("op IS TRUE", "found TRUE, expected NULL")]
#[case("op NOT LIKE 'D'", "found LIKE, expected IN")]
#[case("op = 'D';", "found ;, expected AND, OR or the end")]
#[case("op = 'D' op = 'X'", "found op, expected AND, OR or the end")]
#[case("(op = 'D'", "found the end, expected AND, OR or )")]
#[case("op = $op", "found $op")]
#[case("op == 'D'", "found ==")]
#[case("op = 'D", "unterminated string literal")]
#[case("a = 1e999", "found 1e999")]
#[case("a = -'D'", "found 'D'")]
#[case("a = b'1'", "found")]
#[case("AND = 1", "found AND, expected a name")]
#[case("CASE WHEN a THEN b END", "found WHEN")]
fn everything_else_is_refused_and_says_what_is_allowed(#[case] condition: &str, #[case] says: &str) {
    match parse_condition(condition) {
        Err(SqlError::Syntax { message, .. }) => assert!(message.contains(says), "{message}"),
        other => panic!("{condition}: {other:?}"),
    }
}

#[test]
fn a_refusal_names_its_place() {
    let refusal = parse_condition("op = 'D' AND\n  kind LIKE 'x'").unwrap_err();
    assert!(refusal.to_string().ends_with("at line 2, column 8"), "{refusal}");
}

#[test]
fn length_and_depth_are_bounded() {
    let codes: Vec<String> = (0..600).map(|code| format!("{code}")).collect();
    let long = format!("code IN ({})", codes.join(","));
    assert!(long.len() < MAX_CONDITION_BYTES && parse_condition(&long).is_ok());
    let refusal = parse_condition(&format!("code IN ({long}, {long})")).unwrap_err();
    assert!(matches!(refusal, SqlError::ConditionTooLong { most: MAX_CONDITION_BYTES, .. }), "{refusal}");

    let nested = |levels: usize| format!("{}op = 'D'{}", "(".repeat(levels), ")".repeat(levels));
    assert!(parse_condition(&nested(16)).is_ok());
    for deep in [nested(17), nested(1_900), format!("{}op", "NOT ".repeat(17)), format!("{}op", "NOT (".repeat(700))] {
        let refusal = parse_condition(&deep).unwrap_err();
        assert!(refusal.to_string().contains("nested deeper than 16 levels at line 1, column"), "{refusal}");
    }
    let chain = vec!["a"; 700].join(" OR ");
    assert!(parse_condition(&chain).is_ok());
}

#[test]
fn tests_are_changed_in_place_and_the_first_error_ends_it() {
    let condition = parse_condition("a = 'x' AND NOT (b OR c IS NULL)").unwrap();
    let names = condition.try_map(&mut |predicate| Ok::<_, ()>(predicate.name.clone())).unwrap();
    let test = |name: &str| Condition::Test(name.to_owned());
    let expected =
        Condition::All(vec![test("a"), Condition::Not(Box::new(Condition::Any(vec![test("b"), test("c")])))]);
    assert_eq!(names, expected);
    let refused = condition.try_map(&mut |predicate: &Predicate| {
        if predicate.name == "a" { Ok(()) } else { Err(predicate.name.clone()) }
    });
    assert_eq!(refused, Err("b".to_owned()));
}

/// Words of conditions, in any order.
fn any_words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        prop::sample::select(vec![
            "op",
            "\"op\"",
            "'D'",
            "1",
            "-2.5",
            "TRUE",
            "NULL",
            "AND",
            "OR",
            "NOT",
            "IN",
            "IS",
            "(",
            ")",
            ",",
            "=",
            "<>",
            "<=",
            ">",
            "NOT (",
            "IN (1)",
            "IS NOT NULL",
            "a = 1",
        ])
        .prop_map(str::to_owned),
        ".{0,3}",
    ];
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_or_refused_at_a_place(text in any_words()) {
        match parse_condition(&text) {
            Ok(condition) => {
                // Where every test is unknown there is only one thing that it can be.
                prop_assert_eq!(condition.evaluate(&mut |_| None), None);
                prop_assert_eq!(condition.try_map(&mut |test| Ok::<_, ()>(test.clone())), Ok(condition));
            }
            Err(SqlError::Syntax { position, .. }) => prop_assert!(position.line >= 1 && position.column >= 1),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
