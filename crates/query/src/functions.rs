//! Which functions of SQL there are, and how much they may make: the values of an expression are not counted against
//! the memory of its query, and the server's memory is everybody's.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, ScalarUDF};
use datafusion::prelude::SessionContext;

use crate::bounded::{Bounded, Makes};

/// Reviewed: what each makes is of a fixed size, or at most a small multiple of what it is given that does not multiply
/// again when it is called on its own result. A function that is in neither list isn't there: one that a new version of
/// `DataFusion` brings waits for its review. What is missing makes lists of any length (`array_repeat`,
/// `array_resize`, `array_replace`; `generate_series` and `range` in FROM make rows, and stay), casts to types of any
/// width (`arrow_cast`), or tells of files (`input_file_name`).
const KEPT: &str = "abs acos acosh array_add array_any_value array_avg array_compact array_dims array_distance \
    array_distinct array_element array_except array_has array_has_any array_intersect array_length array_max array_min \
    array_ndims array_normalize array_pop_back array_pop_front array_position array_positions array_product \
    array_remove array_remove_all array_remove_n array_reverse array_scale array_slice array_sort array_subtract \
    array_sum arrow_typeof ascii asin asinh atan atan2 atanh bit_length btrim cardinality cbrt ceil character_length \
    chr coalesce contains cos cosh cosine_distance cot current_date current_time date_bin date_part date_trunc decode \
    degrees digest empty ends_with exp factorial find_in_set flatten floor from_unixtime gcd get_field greatest initcap \
    inner_product isnan iszero lcm least left ln log log10 log2 lower ltrim make_date make_time map_entries map_extract \
    map_keys map_values md5 nanvl now nullif nvl nvl2 octet_length pi power radians random regexp_count regexp_instr \
    regexp_like reverse right round rtrim sha224 sha256 sha384 sha512 signum sin sinh split_part sqrt starts_with strpos \
    substr substr_index tan tanh to_date to_hex to_local_time to_time to_timestamp to_timestamp_micros \
    to_timestamp_millis to_timestamp_nanos to_timestamp_seconds to_unixtime trunc union_extract union_tag upper uuid";

/// Bounded, by how much they make.
const BOUNDED: [(&str, Makes); 23] = [
    ("repeat", Makes::TextTimesCount),
    ("lpad", Makes::Count),
    ("rpad", Makes::Count),
    ("concat", Makes::Sum),
    ("concat_ws", Makes::Joined),
    ("overlay", Makes::Sum),
    ("replace", Makes::Replaced),
    ("regexp_replace", Makes::ReplacedAnywhere),
    ("regexp_match", Makes::Captured),
    ("translate", Makes::Multiple),
    ("encode", Makes::Multiple),
    ("string_to_array", Makes::Multiple),
    ("to_char", Makes::Formatted),
    ("array_to_string", Makes::JoinedElements),
    ("array_append", Makes::Sum),
    ("array_prepend", Makes::Sum),
    ("array_concat", Makes::Sum),
    ("array_union", Makes::Sum),
    ("arrays_zip", Makes::Sum),
    ("make_array", Makes::Sum),
    ("struct", Makes::Sum),
    ("named_struct", Makes::Sum),
    ("map", Makes::Sum),
];

/// Of which the work, not the result, grows with the product of the lengths of its first two arguments.
const QUADRATIC: [&str; 2] = ["levenshtein", "array_has_all"];

/// Whether a function makes more than it is given.
pub(crate) fn grows(name: &str) -> bool {
    name == "||" || BOUNDED.iter().any(|(bounded, _)| *bounded == name)
}

/// Leaves out and bounds what must be.
pub(crate) fn restrict(context: &SessionContext) {
    let kept: Vec<&str> = KEPT.split_whitespace().collect();
    let functions: Vec<Arc<ScalarUDF>> = context.state().scalar_functions().values().cloned().collect();
    for function in functions {
        let name = function.name();
        let bounded = BOUNDED.iter().find(|(bounded, _)| *bounded == name).map(|(_, makes)| *makes);
        let makes = bounded.or_else(|| QUADRATIC.contains(&name).then_some(Makes::LittleSlowly));
        if let Some(makes) = makes {
            context.register_udf(ScalarUDF::new_from_impl(Bounded { inner: function, makes }));
        } else if !kept.contains(&name) {
            for alias in function.aliases() {
                context.deregister_udf(alias);
            }
            context.deregister_udf(name);
        }
    }
}

/// The planner writes some operators as functions of its own (`[1, 2]`, `||` between lists): the session's take their
/// place.
pub(crate) fn bound(plan: LogicalPlan, session: &SessionState) -> Result<LogicalPlan> {
    let bounded = |expression: Expr| {
        Ok(match expression {
            Expr::ScalarFunction(call) => match session.scalar_functions().get(call.func.name()) {
                Some(ours) if *ours != call.func => {
                    Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(ours), call.args)))
                }
                _ => Transformed::no(Expr::ScalarFunction(call)),
            },
            other => Transformed::no(other),
        })
    };
    let of_node = |node: LogicalPlan| node.map_expressions(|expression| expression.transform_up(bounded));
    plan.transform_down_with_subqueries(of_node).map(|transformed| transformed.data)
}
