//! Names ignoring case where that is not ambiguous.

use std::collections::{BTreeMap, BTreeSet};

use crate::QueryError;
use freshet_sql::capped;

/// How the names of a query's tables and columns are spelt, in the tables and in the plan.
///
/// The planner lower-cases what is not quoted, so names are planned in lower case; but names of one kind in one place
/// that differ by case alone are planned as they are spelt, or they couldn't be told apart.
#[derive(Debug, Default)]
pub(crate) struct Spellings {
    /// From a spelling to the planned name, where they differ.
    planned: BTreeMap<String, String>,
    /// From a column's planned name to the one spelling that it has in all tables, where they differ.
    columns: BTreeMap<String, String>,
}

impl Spellings {
    /// Of tables' names and the names of each table's columns.
    pub(crate) fn of<'a>(tables: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>) -> Self {
        let (mut names, columns): (Vec<&str>, Vec<Vec<&str>>) = tables.into_iter().unzip();
        // A table is there once for each version that is read.
        names.sort_unstable();
        names.dedup();
        let mut ambiguous = BTreeSet::new();
        ambiguous.extend(differing_by_case(&names));
        for of_table in &columns {
            ambiguous.extend(differing_by_case(of_table));
        }
        let mut spellings = Self::default();
        let mut contested = BTreeSet::new();
        for column in columns.into_iter().flatten() {
            let lower = column.to_ascii_lowercase();
            let known = spellings.columns.entry(lower.clone()).or_insert_with(|| column.to_owned());
            if known != column {
                contested.insert(lower);
            }
            spellings.plan(column, &ambiguous);
        }
        for name in names {
            spellings.plan(name, &ambiguous);
        }
        spellings.columns.retain(|lower, column| lower != column && !contested.contains(lower));
        spellings
    }

    fn plan(&mut self, name: &str, ambiguous: &BTreeSet<String>) {
        let lower = name.to_ascii_lowercase();
        if lower != name && !ambiguous.contains(&lower) {
            self.planned.insert(name.to_owned(), lower);
        }
    }

    /// The planned name of a table or column, where it differs from its spelling.
    pub(crate) fn planned(&self, spelling: &str) -> Option<&str> {
        self.planned.get(spelling).map(String::as_str)
    }

    /// A planned column's spelling in its tables.
    pub(crate) fn of_column(&self, planned: &str) -> String {
        self.columns.get(planned).map_or(planned, String::as_str).to_owned()
    }
}

/// The names, in lower case, that several of these have.
fn differing_by_case(names: &[&str]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    names.iter().map(|name| name.to_ascii_lowercase()).filter(|lower| !seen.insert(lower.clone())).collect()
}

/// Longest name for which a near one is looked for: longer ones are no slips, and looking takes a time that grows with them.
const LONGEST_SLIP: usize = 256;

/// The known name that `given` was probably meant to be.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > LONGEST_SLIP { None } else { freshet_model::nearest(given, known) }
}

/// Which of the `known` tables a query means by `name`.
pub(crate) fn find_table<'a>(name: &str, known: &'a [String]) -> Result<&'a String, QueryError> {
    if let Some(found) = freshet_sql::find_table(name, known) {
        return Ok(found);
    }
    let last_part = name.rsplit('.').next().unwrap_or(name);
    let nearest = nearest(last_part, known.iter().map(String::as_str)).map(str::to_owned);
    Err(QueryError::UnknownTable { name: capped(name), nearest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_planned_in_lower_case_unless_that_would_merge_two() {
        let spellings =
            Spellings::of([("Orders", vec!["Order_ID", "email"]), ("people", vec!["Email", "Name", "name"])]);
        assert_eq!(spellings.planned("Orders"), Some("orders"));
        assert_eq!(spellings.planned("Order_ID"), Some("order_id"));
        assert_eq!(spellings.planned("Email"), Some("email"));
        assert_eq!(spellings.planned("Name"), None);
        assert_eq!(spellings.planned("elsewhere"), None);
    }

    #[test]
    fn a_column_is_shown_as_spelt_where_all_tables_agree() {
        let spellings = Spellings::of([("a", vec!["Order_ID", "email", "City"]), ("b", vec!["Email", "City"])]);
        assert_eq!(spellings.of_column("order_id"), "Order_ID");
        assert_eq!(spellings.of_column("city"), "City");
        assert_eq!(spellings.of_column("email"), "email");
        assert_eq!(spellings.of_column("sum(x)"), "sum(x)");
    }

    #[test]
    fn an_unknown_table_is_told_with_the_nearest() {
        let known = ["Orders", "people"].map(str::to_owned);
        let unknown = find_table("retail.order", &known).unwrap_err();
        assert_eq!(unknown.to_string(), "unknown table \"retail.order\"; did you mean \"Orders\"?");
    }
}
