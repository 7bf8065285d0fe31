//! Whether a record deletes the row of its key.

use std::cmp::Ordering;
use std::convert::Infallible;

use freshet_model::{ColumnDefinition, ColumnType, Constant, DeleteWhen, RecordTest, Tested};
use freshet_sql::{Condition, Test};

use crate::column_values::ColumnValues;
use crate::number;
use crate::value::{Incoming, to_boolean, to_date, to_decimal, to_double, to_integer, to_timestamp};

/// The condition of a table, to be asked of records. A value counts as what it is in its column; one that its column can't hold
/// is neither null nor equal to anything, so that nothing is deleted for it. A field that is no column counts as a text, or,
/// where it is compared with a number or a boolean, as that, and as null where it is none.
#[derive(Debug)]
pub(crate) struct DeleteTest {
    condition: Condition<CellTest>,
    /// The fields that it asks for besides columns.
    fields: Vec<String>,
}

/// What is asked of one cell.
#[derive(Debug)]
struct CellTest {
    place: usize,
    /// The type of its column; none: it is a field that is no column.
    holds: Option<ColumnType>,
    test: Test<Constant>,
}

impl DeleteTest {
    pub(crate) fn new(delete_when: &DeleteWhen, columns: &[ColumnDefinition]) -> Self {
        let mut fields: Vec<String> = Vec::new();
        let mut cell_test = |RecordTest { of, test }: &RecordTest| {
            let (name, is_column) = match of {
                Tested::Column(name) => (name.as_str(), true),
                Tested::Field(name) => (name.as_str(), false),
            };
            let column = columns.iter().enumerate().find(|(_, column)| is_column && column.name.as_str() == name);
            let place = match column {
                Some((place, _)) => place,
                None => columns.len() + place_of(name, &mut fields),
            };
            let holds = column.map(|(_, column)| column.column_type);
            Ok::<_, Infallible>(CellTest { place, holds, test: test.clone() })
        };
        let Ok(condition) = delete_when.condition().try_map(&mut cell_test);
        Self { condition, fields }
    }

    /// The fields that it asks for besides columns; their places come after those of the columns.
    pub(crate) fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Whether a record with these cells deletes.
    pub(crate) fn holds<'a, V: Incoming<'a>>(&self, cell: &impl Fn(usize) -> Option<V>) -> bool {
        let mut test = |CellTest { place, holds, test }: &CellTest| match (cell(*place), test) {
            (None, Test::Null) => Some(true),
            (None, Test::Compare(..)) => None,
            (Some(value), Test::Null) => is_null(&value, *holds),
            (Some(value), Test::Compare(comparison, constant)) => {
                Some(comparison.holds(compare(&value, *holds, constant)?))
            }
        };
        self.condition.evaluate(&mut test) == Some(true)
    }
}

/// The place of a field among those asked for, of which it is one from now on.
fn place_of(name: &str, fields: &mut Vec<String>) -> usize {
    let known = fields.iter().position(|known| known == name);
    known.unwrap_or_else(|| {
        fields.push(name.to_owned());
        fields.len() - 1
    })
}

/// None: it is not what its column holds.
fn is_null<'a>(value: &impl Incoming<'a>, holds: Option<ColumnType>) -> Option<bool> {
    let mut as_column = ColumnValues::new(holds.unwrap_or(ColumnType::String), 1);
    as_column.push(value).ok().map(|is_more_than_null| !is_more_than_null)
}

/// How a value compares with a constant; none: it is null, or not what its column holds.
fn compare<'a>(value: &impl Incoming<'a>, holds: Option<ColumnType>, constant: &Constant) -> Option<Ordering> {
    let scalar = || value.scalar().ok();
    match constant {
        Constant::Text(text) => Some(value.text().ok()??.as_ref().cmp(text.as_str())),
        Constant::Boolean(boolean) => Some(to_boolean(scalar()?).ok()??.cmp(boolean)),
        Constant::Time(microseconds) => Some(to_timestamp(scalar()?).ok()??.cmp(microseconds)),
        Constant::Day(day) => Some(to_date(scalar()?).ok()??.cmp(day)),
        Constant::Number(number) => {
            match holds {
                Some(ColumnType::Double) => return to_double(scalar()?).ok()??.partial_cmp(&number.parse().ok()?),
                Some(ColumnType::Integer) => {
                    to_integer(scalar()?).ok()??;
                }
                Some(ColumnType::Decimal { precision, scale }) => {
                    to_decimal(scalar()?, precision, scale).ok()??;
                }
                _ => {}
            }
            number::compare(&scalar()?.into_number().ok()??, number)
        }
    }
}
