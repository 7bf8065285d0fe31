//! Which records delete the row of their key.

use freshet_sql::{Condition, Literal, Predicate, Test, parse_condition, read_timestamp};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

use crate::column::is_reserved;
use crate::{ColumnDefinition, ColumnName, ColumnType};

/// An SQL condition over a record, as `op = 'D'`: the records that it is true for delete the row of their key. Each name in it
/// is a column of the table, or else a field of the record, both matched exactly first, then ignoring case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteWhen {
    text: String,
    condition: Box<Condition<RecordTest>>,
}

/// What is asked of one value of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordTest {
    /// Of which.
    pub of: Tested,
    /// What. A column's constant is one of its type.
    pub test: Test<Constant>,
}

/// Which value of a record is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tested {
    /// What the record has for a column of the table.
    Column(ColumnName),
    /// A field of the record itself that no column is named after.
    Field(String),
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constant {
    /// A text, by its bytes.
    Text(String),
    /// A decimal number, as written.
    Number(String),
    /// True or false.
    Boolean(bool),
    /// A time in microseconds since 1970, UTC.
    Time(i64),
    /// A day, counted from 1970-01-01.
    Day(i32),
}

impl DeleteWhen {
    /// Reads a condition over the records of a table with these columns.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str, columns: &[ColumnDefinition]) -> Result<Self, String> {
        let condition = parse_condition(text).map_err(|refusal| refusal.to_string())?;
        let condition = condition.try_map(&mut |predicate| record_test(predicate, columns))?;
        Ok(Self { text: text.to_owned(), condition: Box::new(condition) })
    }

    /// The condition as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The condition.
    #[must_use]
    pub fn condition(&self) -> &Condition<RecordTest> {
        &self.condition
    }
}

impl Serialize for DeleteWhen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

fn record_test(predicate: &Predicate, columns: &[ColumnDefinition]) -> Result<RecordTest, String> {
    let Predicate { name, test } = predicate;
    // Names of columns differ by more than case, so that at most one is meant.
    if let Some(column) = columns.iter().find(|column| column.name.as_str().eq_ignore_ascii_case(name)) {
        let test = match test {
            Test::Null => Test::Null,
            Test::Compare(comparison, literal) => Test::Compare(*comparison, constant_of(column, literal)?),
        };
        return Ok(RecordTest { of: Tested::Column(column.name.clone()), test });
    }
    if is_reserved(name) {
        return Err(format!(
            "{name} is a column of Freshet's own, which no record has; declare a column with path = \"{name}\" to ask for that field"
        ));
    }
    let test = match test {
        Test::Null => Test::Null,
        Test::Compare(comparison, literal) => Test::Compare(*comparison, constant(literal)),
    };
    Ok(RecordTest { of: Tested::Field(name.clone()), test })
}

fn constant(literal: &Literal) -> Constant {
    match literal {
        Literal::Text(text) => Constant::Text(text.clone()),
        Literal::Number(number) => Constant::Number(number.clone()),
        Literal::Boolean(value) => Constant::Boolean(*value),
    }
}

/// What a literal is to a column; refuses one that its values can't be compared with.
fn constant_of(column: &ColumnDefinition, literal: &Literal) -> Result<Constant, String> {
    use ColumnType::{Boolean, Date, Decimal, Double, Integer, Json, String, Timestamp};
    let constant = match (column.column_type, literal) {
        (String, Literal::Text(_))
        | (Integer | Double | Decimal { .. }, Literal::Number(_))
        | (Boolean, Literal::Boolean(_)) => Some(constant(literal)),
        (Date, Literal::Text(text)) => day(text).map(Constant::Day),
        (Timestamp, Literal::Text(text)) => microseconds(text).map(Constant::Time),
        _ => None,
    };
    constant.ok_or_else(|| {
        let ColumnDefinition { name, column_type, .. } = column;
        let right = match column_type {
            String => format!("compare it with a text, as {name} = 'D'"),
            Integer | Double | Decimal { .. } => format!("compare it with a number, as {name} < 0"),
            Boolean => format!("compare it with TRUE or FALSE, as {name} = TRUE, or write {name} alone"),
            Date => format!("compare it with a day, as {name} < '2026-06-14'"),
            Timestamp => format!("compare it with a time, as {name} < '2026-06-14T00:24:16Z'"),
            Json => {
                format!("it can only be asked whether {name} IS NULL; declare a column with a path for what is in it")
            }
        };
        let found = match literal {
            Literal::Text(text) => format!("'{text}'"),
            Literal::Number(number) => number.clone(),
            Literal::Boolean(value) => value.to_string().to_uppercase(),
        };
        format!("column {name} is a {column_type} and can't be compared with {found}; {right}")
    })
}

/// A day as `2026-06-14`, counted from 1970-01-01.
fn day(text: &str) -> Option<i32> {
    let day: Date = text.parse().ok().filter(|_| text.len() == "2026-06-14".len())?;
    let epoch = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC).date();
    Some(epoch.until(day).ok()?.get_days())
}

/// A time in RFC 3339, or without a zone in UTC, or a day for its midnight; to microseconds since 1970.
fn microseconds(text: &str) -> Option<i64> {
    Some(read_timestamp(text)?.as_microsecond())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::Problems;

    fn columns() -> Vec<ColumnDefinition> {
        let mut problems = Problems::default();
        let columns = [
            ("id", "string"),
            ("gone", "boolean"),
            ("count", "integer"),
            ("price", "decimal(9,2)"),
            ("ratio", "double"),
            ("day", "date"),
            ("at", "timestamp"),
            ("body", "json"),
        ];
        let columns = columns
            .iter()
            .map(|(name, of)| ColumnDefinition::read("", &json!({"name": name, "type": of}), &mut problems).unwrap())
            .collect();
        assert!(problems.is_empty());
        columns
    }

    fn only_test(text: &str) -> RecordTest {
        match DeleteWhen::parse(text, &columns()).unwrap().condition() {
            Condition::Test(only) => only.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case("id = 'x'", Constant::Text("x".to_owned()))]
    #[case("gone", Constant::Boolean(true))]
    #[case("count > 1.5", Constant::Number("1.5".to_owned()))]
    #[case("price > -1e3", Constant::Number("-1e3".to_owned()))]
    #[case("ratio > 0", Constant::Number("0".to_owned()))]
    #[case("day > '1970-01-02'", Constant::Day(1))]
    #[case("day > '1969-12-31'", Constant::Day(-1))]
    #[case("day > '9999-12-31'", Constant::Day(2_932_896))]
    #[case("at > '1970-01-02'", Constant::Time(86_400_000_000))]
    #[case("at > '1970-01-01 00:00:01.5'", Constant::Time(1_500_000))]
    #[case("at > '1970-01-01T00:00:01Z'", Constant::Time(1_000_000))]
    #[case("at > '1970-01-01T01:00:01+01:00'", Constant::Time(1_000_000))]
    #[case("op = 'D'", Constant::Text("D".to_owned()))]
    #[case("op = 1", Constant::Number("1".to_owned()))]
    #[case("op = FALSE", Constant::Boolean(false))]
    fn a_constant_is_of_its_columns_type(#[case] text: &str, #[case] expected: Constant) {
        match only_test(text).test {
            Test::Compare(_, constant) => assert_eq!(constant, expected),
            Test::Null => panic!("{text} compares nothing"),
        }
    }

    #[rstest]
    #[case("id IS NULL", Tested::Column("id".parse().unwrap()))]
    #[case("ID IS NULL", Tested::Column("id".parse().unwrap()))]
    #[case("\"Id\" IS NULL", Tested::Column("id".parse().unwrap()))]
    #[case("body IS NULL", Tested::Column("body".parse().unwrap()))]
    #[case("Op IS NULL", Tested::Field("Op".to_owned()))]
    #[case("\"@op.code\" IS NULL", Tested::Field("@op.code".to_owned()))]
    fn a_name_is_a_column_or_else_a_field(#[case] text: &str, #[case] expected: Tested) {
        assert_eq!(only_test(text).of, expected);
    }

    #[rstest]
    #[case("id = 1", "column id is a string and can't be compared with 1; compare it with a text, as id = 'D'")]
    #[case("gone = 'true'", "compare it with TRUE or FALSE")]
    #[case("id", "column id is a string and can't be compared with TRUE")]
    #[case(
        "price IN (1, 'x')",
        "column price is a decimal(9,2) and can't be compared with 'x'; compare it with a number"
    )]
    #[case("day = '2026-02-30'", "compare it with a day")]
    #[case("day = '2026-02-03T10:00'", "compare it with a day")]
    #[case("at = 'yesterday'", "compare it with a time")]
    #[case("at = 0", "compare it with a time")]
    #[case("body = '{}'", "declare a column with a path")]
    #[case("op = 'D' AND Received_At IS NULL", "declare a column with path = \"Received_At\"")]
    #[case("op LIKE 'D'", "found LIKE")]
    fn what_does_not_fit_is_refused(#[case] text: &str, #[case] says: &str) {
        let message = DeleteWhen::parse(text, &columns()).unwrap_err();
        assert!(message.contains(says), "{message}");
    }
}
