//! Whether the rows of a result come from one table, each from one row and from nothing else.
//!
//! What is known to keep to that is listed; whatever else a plan holds, and what a new version of `DataFusion` brings, makes it another.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, Volatility};

use crate::QueryTable;

/// Where the rows of a result come from: each from one row of a table, which is left out or made into one row of the result by that
/// row's values alone, the same whenever it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    /// The table.
    pub table: String,
    /// For each column of the result, the column of the table whose value it is, unchanged; none: it is computed.
    pub columns: Vec<Option<String>>,
}

/// The origins of a plan's rows, as it was made from SQL. None: its rows may depend on several rows, on several tables, or on when the query
/// is run.
pub(crate) fn origins(plan: &LogicalPlan, tables: &[QueryTable]) -> Option<Origins> {
    match plan {
        LogicalPlan::TableScan(scan) => of_scan(scan, tables),
        LogicalPlan::SubqueryAlias(alias) => origins(&alias.input, tables),
        LogicalPlan::Filter(filter) => is_of_its_row(&filter.predicate).then(|| origins(&filter.input, tables))?,
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
            let is_of_rows = sort.expr.iter().all(|by| is_of_its_row(&by.expr));
            is_of_rows.then(|| origins(&sort.input, tables))?
        }
        LogicalPlan::Projection(projection) => {
            let input = origins(&projection.input, tables)?;
            if !projection.expr.iter().all(is_of_its_row) {
                return None;
            }
            let unchanged = |expression: &Expr| {
                let mut value = expression;
                while let Expr::Alias(alias) = value {
                    value = &alias.expr;
                }
                let Expr::Column(column) = value else { return None };
                let place = projection.input.schema().maybe_index_of_column(column)?;
                input.columns.get(place).cloned().flatten()
            };
            let columns = projection.expr.iter().map(unchanged).collect();
            Some(Origins { columns, ..input })
        }
        _ => None,
    }
}

fn of_scan(scan: &TableScan, tables: &[QueryTable]) -> Option<Origins> {
    if !scan.filters.iter().all(is_of_its_row) || scan.fetch.is_some() {
        return None;
    }
    // By what is read and not by a name, which a function that makes rows may have too.
    let read = source_as_provider(&scan.source).ok()?;
    let table = tables.iter().find(|table| std::ptr::addr_eq(Arc::as_ptr(&table.provider), Arc::as_ptr(&read)))?;
    let columns = scan.projected_schema.fields().iter().map(|field| Some(field.name().clone())).collect();
    Some(Origins { table: table.name.clone(), columns })
}

/// Whether an expression's value is decided by the row that it is computed for, whenever that is done.
fn is_of_its_row(expression: &Expr) -> bool {
    let mut is_so = true;
    let walked = expression.apply(|part| {
        is_so &= match part {
            Expr::Alias(_)
            | Expr::Column(_)
            | Expr::Literal(..)
            | Expr::BinaryExpr(_)
            | Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Not(_)
            | Expr::IsNotNull(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::InList(_) => true,
            Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
            _ => false,
        };
        Ok(if is_so { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    is_so && walked.is_ok()
}
