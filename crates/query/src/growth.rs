//! How large a plan's expressions become when it is optimized.
//!
//! The optimizer puts the expressions of a subquery's columns in the place of their names, in filters and projections
//! above it. Where each level of subqueries uses the column below it twice (`x + x AS x`), twenty levels make a million
//! copies, in a time that nothing interrupts. So the size that expressions come to is told, and limited, before.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::QueryError;
use crate::error::too_complex;
use crate::functions::grows;
use crate::sizes::bytes_of_constant;

/// Most parts of an expression, names of columns counted as what they stand for: optimizing one that large takes about
/// half a second.
const MAX_PARTS: u64 = 10_000;
/// What a part weighs, and what a value does: lists of thousands of values are usual and cost little.
const PART: u64 = 20;
const VALUE: u64 = 1;

/// Most calls of functions that make more than they are given: each may make some megabytes for the rows on their way.
const MAX_GROWING_CALLS: usize = 50;
/// Most bytes of the constants that are written to rows, or may be: a batch has 8,192 of them.
const MAX_CONSTANTS_BYTES: u64 = 64 << 10;

/// Refuses a plan, after it is optimized, whose rows may grow too large on their way. Lists of IN and VALUES don't count:
/// none of their values goes to every row.
pub(crate) fn refuse_large_rows(plan: &LogicalPlan) -> Result<(), QueryError> {
    let (mut calls, mut bytes) = (0_usize, 0_u64);
    let mut count = |part: &Expr| {
        match part {
            Expr::InList(_) => return Ok(TreeNodeRecursion::Jump),
            Expr::ScalarFunction(call) if grows(call.func.name()) => calls += 1,
            Expr::Literal(value, _) => bytes = bytes.saturating_add(bytes_of_constant(value)?),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    };
    let counted = plan.apply_with_subqueries(|node| match node {
        LogicalPlan::Values(_) => Ok(TreeNodeRecursion::Continue),
        node => node.apply_expressions(|expression| expression.apply(&mut count)),
    });
    counted.map_err(|source| QueryError::Internal { source })?;
    if calls > MAX_GROWING_CALLS {
        return Err(too_complex(format!(
            "it comes to more than {MAX_GROWING_CALLS} calls of functions that make texts or lists longer, as concat, replace and lpad"
        )));
    }
    if bytes > MAX_CONSTANTS_BYTES {
        return Err(too_complex(format!(
            "the constants in it come to more than {MAX_CONSTANTS_BYTES} bytes; values in IN (…) and VALUES don't count"
        )));
    }
    Ok(())
}

/// How many rows a batch of an optimized plan may have, of `usual` ones: where values that functions made come to a join,
/// or to the unnesting of lists, each may be repeated for all rows of a batch, in each of its columns.
pub(crate) fn rows_at_once(plan: &LogicalPlan, usual: usize) -> Result<usize, QueryError> {
    let mut most = 1_usize;
    let walked = plan.apply_with_subqueries(|node| {
        if matches!(node, LogicalPlan::Join(_) | LogicalPlan::Unnest(_)) {
            most = most.max(growing_calls(node)?.saturating_mul(node.schema().fields().len()));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(|source| QueryError::Internal { source })?;
    Ok((usual / most).max(1))
}

fn growing_calls(plan: &LogicalPlan) -> Result<usize, DataFusionError> {
    let mut calls = 0;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                calls += usize::from(matches!(part, Expr::ScalarFunction(call) if grows(call.func.name())));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(calls)
}

/// Refuses a plan of which an expression grows too large.
pub(crate) fn refuse_growth(plan: &LogicalPlan) -> Result<(), QueryError> {
    columns(plan).map(|_weights| ())
}

/// For each column of a plan's output, the weight of the expression that it stands for.
fn columns(plan: &LogicalPlan) -> Result<Vec<u64>, QueryError> {
    let mut inputs = Vec::new();
    for input in plan.inputs() {
        inputs.push(Input { schema: input.schema(), weights: columns(input)? });
    }
    let computed: Vec<u64> =
        plan.expressions().iter().map(|expression| weight_of(expression, &inputs)).collect::<Result<_, _>>()?;
    let passed = inputs.iter().flat_map(|input| input.weights.iter().copied());
    let mut output: Vec<u64> = match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) => computed,
        LogicalPlan::Window(_) => passed.chain(computed).collect(),
        LogicalPlan::Union(_) => largest(&inputs),
        _ => passed.collect(),
    };
    // Where a node's output has other columns than its inputs and expressions, each may be any of these.
    let fields = plan.schema().fields().len();
    if output.len() != fields {
        let largest = output.iter().copied().max().unwrap_or(PART);
        output = vec![largest; fields];
    }
    Ok(output)
}

struct Input<'a> {
    schema: &'a DFSchema,
    weights: Vec<u64>,
}

/// Of each column of a union, the largest of its inputs'.
fn largest(inputs: &[Input<'_>]) -> Vec<u64> {
    let mut largest: Vec<u64> = Vec::new();
    for input in inputs {
        largest.resize(input.weights.len().max(largest.len()), 0);
        for (most, weight) in largest.iter_mut().zip(&input.weights) {
            *most = (*most).max(*weight);
        }
    }
    largest
}

fn weight_of(expression: &Expr, inputs: &[Input<'_>]) -> Result<u64, QueryError> {
    let mut weight = 0_u64;
    let mut refused = None;
    let walked = expression.apply(|part| {
        let subquery = match part {
            Expr::ScalarSubquery(subquery) => Some(subquery),
            Expr::InSubquery(within) => Some(&within.subquery),
            Expr::Exists(exists) => Some(&exists.subquery),
            Expr::SetComparison(comparison) => Some(&comparison.subquery),
            _ => None,
        };
        weight = weight.saturating_add(match part {
            Expr::Column(column) => {
                let of_input = |input: &Input<'_>| {
                    let index = input.schema.maybe_index_of_column(column)?;
                    input.weights.get(index).copied()
                };
                inputs.iter().find_map(of_input).unwrap_or(PART)
            }
            Expr::Literal(..) => VALUE,
            _ => PART,
        });
        refused = match subquery.map(|subquery| refuse_growth(&subquery.subquery)) {
            Some(Err(refusal)) => Some(refusal),
            _ if weight > MAX_PARTS * PART => Some(too_complex(format!(
                "an expression comes to more than {MAX_PARTS} parts, the columns of subqueries counted as what they stand for"
            ))),
            _ => None,
        };
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    match (refused, walked) {
        (Some(refusal), _) => Err(refusal),
        (None, Err(source)) => Err(QueryError::Internal { source }),
        (None, Ok(_)) => Ok(weight),
    }
}
