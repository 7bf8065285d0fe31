//! What rows of a table are checked against.

use freshet_model::{ColumnDefinition, ColumnName, ColumnType, TableDefinition, TableMerge};

use crate::column_values::ColumnValues;
use crate::delete_when::DeleteTest;
use crate::value::{Incoming, Unfit, expected, shown};

/// What makes a row of a record.
#[derive(Debug)]
pub(crate) struct RowRules {
    /// The columns of the table.
    pub(crate) columns: Vec<Column>,
    /// Which records delete; none: none does.
    pub(crate) delete_test: Option<DeleteTest>,
    /// Whether it matters which fields a record lacks.
    pub(crate) notes_absent: bool,
}

impl RowRules {
    pub(crate) fn new(table: &TableDefinition) -> Self {
        Self {
            columns: table.columns.iter().map(|column| Column::new(column, table)).collect(),
            delete_test: table.delete_when.as_ref().map(|delete_when| DeleteTest::new(delete_when, &table.columns)),
            notes_absent: table.merge == TableMerge::Patch,
        }
    }
}

/// A column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    name: ColumnName,
    pub(crate) holds: ColumnType,
    /// Why a row needs a value here, if it does.
    needed: Option<&'static str>,
    /// Whether it says which row of the table a record is for, and in which order: all that a record that deletes needs.
    pub(crate) places: bool,
    /// Whether a record needs the field. Of a table that merges by patch, other records may have it.
    may_be_lacked: bool,
}

/// Why a record makes no row.
pub(crate) struct Failure {
    pub(crate) column: Option<ColumnName>,
    pub(crate) reason: String,
}

impl Failure {
    /// The record as a whole can't be read.
    pub(crate) fn of_record(reason: String) -> Self {
        Self { column: None, reason }
    }
}

impl Column {
    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    fn new(column: &ColumnDefinition, table: &TableDefinition) -> Self {
        let is_key = table.key.contains(&column.name);
        let needed = if is_key {
            Some("the column is part of the key")
        } else {
            column.required.then_some("the column is required")
        };
        let places = is_key || table.order_by.as_ref() == Some(&column.name);
        Self {
            name: column.name.clone(),
            holds: column.column_type,
            needed,
            places,
            may_be_lacked: needed.is_none() || (table.merge == TableMerge::Patch && !places),
        }
    }

    /// Adds a value, or the lack of one. Where it fails, what was added is to be taken back.
    pub(crate) fn push<'a>(
        &self,
        values: &mut ColumnValues<'a>,
        cell: Option<&impl Incoming<'a>>,
    ) -> Result<(), Failure> {
        let Some(value) = cell else {
            values.push_null();
            return if self.may_be_lacked { Ok(()) } else { self.take_null("the field is missing") };
        };
        match values.push(value) {
            Ok(true) => Ok(()),
            Ok(false) if value.is_null() => self.take_null("the value is null"),
            Ok(false) => self.take_null("the value is an empty text, which counts as null,"),
            Err(unfit) => Err(self.refuse(&value.to_shown(), unfit)),
        }
    }

    /// Adds a value where it fits, and else null.
    pub(crate) fn push_if_it_fits<'a>(values: &mut ColumnValues<'a>, cell: Option<&impl Incoming<'a>>) {
        if cell.is_none_or(|value| values.push(value).is_err()) {
            values.push_null();
        }
    }

    fn take_null(&self, found: &str) -> Result<(), Failure> {
        let Some(needed) = self.needed else { return Ok(()) };
        Err(self.failure(&format!("{found} and {needed}")))
    }

    fn refuse(&self, json: &str, unfit: Unfit) -> Failure {
        self.failure(&format!("{} {unfit}", shown(json)))
    }

    fn failure(&self, what: &str) -> Failure {
        let Self { name, holds, .. } = self;
        let reason = format!("{name}, {holds}: {what}; expected {}", expected(*holds));
        Failure { column: Some(name.clone()), reason }
    }
}
