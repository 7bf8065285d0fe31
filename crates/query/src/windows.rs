//! Window functions, which take what they hold from no memory pool.
//!
//! `DataFusion` gathers all rows of a window whose frame has no end, and the values of functions such as `median` for every frame, without
//! counting them: a sum over a long series would take gigabytes. So the rows on their way to such a window are counted for it.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

use crate::QueryError;
use crate::error::too_complex;

/// What a row takes of memory beside itself: what the functions make of it.
const TIMES: usize = 2;
/// Functions that gather values into one: over a window each row would have a copy of all before it.
const GATHERING: [&str; 2] = ["array_agg", "string_agg"];
/// Functions whose state does not grow with the rows of their frame.
const CONSTANT: [&str; 24] = [
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
    "sum",
    "count",
    "min",
    "max",
    "avg",
    "mean",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "var_pop",
    "var_samp",
    "bool_and",
    "bool_or",
];

/// Refuses window functions that gather values.
pub(crate) fn refuse_gathering(plan: &LogicalPlan) -> std::result::Result<(), QueryError> {
    let mut found = None;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::WindowFunction(window) = part {
                    let name = window.fun.name();
                    found = found.take().or(GATHERING.into_iter().find(|gathering| *gathering == name));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    walked.map_err(|source| QueryError::Internal { source })?;
    match found {
        Some(name) => Err(too_complex(format!(
            "{name} over a window gives each row a copy of all before it; use {name} with GROUP BY and join its result"
        ))),
        None => Ok(()),
    }
}

/// Has the rows counted that go to windows which hold them.
pub(crate) fn accounted(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let transformed = plan.transform_up(|node| {
        let holds = node.is::<WindowAggExec>()
            || node
                .downcast_ref::<BoundedWindowAggExec>()
                .is_some_and(|window| window.window_expr().iter().any(|function| !has_constant_state(function.name())));
        if !holds {
            return Ok(Transformed::no(node));
        }
        let inputs = node
            .children()
            .into_iter()
            .map(|input| Arc::new(Accounted::new(Arc::clone(input))) as Arc<dyn ExecutionPlan>);
        let inputs = inputs.collect();
        Ok(Transformed::yes(replace_children_if_necessary(node, inputs)?))
    })?;
    Ok(transformed.data)
}

/// Of a function as it is shown: `sum(orders.revenue) …`.
fn has_constant_state(shown: &str) -> bool {
    let name = shown.split('(').next().unwrap_or_default().to_ascii_lowercase();
    CONSTANT.contains(&name.as_str()) && !shown.to_ascii_uppercase().contains("(DISTINCT ")
}

/// Passes rows on and counts them, until whoever takes them lets go.
#[derive(Debug)]
struct Accounted {
    input: Arc<dyn ExecutionPlan>,
}

impl Accounted {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input }
    }
}

impl DisplayAs for Accounted {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounted")
    }
}

impl ExecutionPlan for Accounted {
    fn name(&self) -> &'static str {
        "Accounted"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input }))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let reservation = MemoryConsumer::new("window").register(context.memory_pool());
        let rows = self.input.execute(partition, context)?;
        let counted = rows.map(move |batch| {
            let batch = batch?;
            reservation.try_grow(bytes_of(&batch).saturating_mul(TIMES))?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), counted)))
    }
}

/// What the rows take, without what else lies in the same memory.
fn bytes_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum()
}
