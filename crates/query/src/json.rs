//! Rows as JSON objects.

use std::collections::HashSet;

use arrow::array::RecordBatch;
use freshet_sql::capped;

use crate::cells::{Cells, Separator, write_text};
use crate::{QueryError, ResultColumn};

/// Writes the rows of one result as JSON objects, the columns' names their keys, values as an answer in JSON has them.
#[derive(Debug)]
pub struct JsonObjects {
    /// `"name":` for each column.
    keys: Vec<Vec<u8>>,
}

/// The rows of a batch, ready to be written.
#[derive(Debug)]
pub struct JsonRows<'a> {
    keys: &'a [Vec<u8>],
    columns: Vec<Cells>,
}

impl JsonObjects {
    /// Of a result's columns.
    ///
    /// # Errors
    /// [`QueryError::Invalid`]: two columns have the same name.
    pub fn of(columns: &[ResultColumn]) -> Result<Self, QueryError> {
        refuse_equal_names(columns)?;
        let key = |column: &ResultColumn| {
            let mut key = Vec::new();
            write_text(&column.name, &mut key)?;
            key.push(b':');
            Ok(key)
        };
        Ok(Self { keys: columns.iter().map(key).collect::<Result<_, QueryError>>()? })
    }

    /// The rows of a batch of the result.
    #[must_use]
    pub fn rows(&self, batch: &RecordBatch) -> JsonRows<'_> {
        JsonRows { keys: &self.keys, columns: batch.columns().iter().map(Cells::of).collect() }
    }
}

impl JsonRows<'_> {
    /// Appends a row as an object.
    ///
    /// # Errors
    /// [`QueryError::Data`]: a date or timestamp is outside of the years -9999 to 9999.
    pub fn write(&self, row: usize, body: &mut Vec<u8>) -> Result<(), QueryError> {
        body.push(b'{');
        let mut separator = Separator::default();
        for (key, column) in self.keys.iter().zip(&self.columns) {
            separator.write(body);
            body.extend_from_slice(key);
            column.write_json(row, body)?;
        }
        body.push(b'}');
        Ok(())
    }
}

/// Readers of objects, and of files whose columns are found by name, would see one of two columns of a name.
pub(crate) fn refuse_equal_names(columns: &[ResultColumn]) -> Result<(), QueryError> {
    let mut seen = HashSet::new();
    match columns.iter().find(|column| !seen.insert(column.name.as_str())) {
        Some(second) => Err(QueryError::Invalid {
            message: format!(
                "the result has two columns {:?}, which this format tells apart by name: give each a name of its own with AS",
                capped(&second.name)
            ),
        }),
        None => Ok(()),
    }
}
