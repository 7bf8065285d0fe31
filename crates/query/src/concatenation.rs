//! The operator `||` between texts, as a function of all links of a chain: bounded as the others that make texts longer.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::nullif;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::bounded::{Bounded, Makes};

/// Plans `||` between anything but lists.
#[derive(Debug)]
pub(crate) struct ConcatenationPlanner {
    operator: Arc<ScalarUDF>,
}

impl ConcatenationPlanner {
    pub(crate) fn new() -> Self {
        let concat = datafusion::functions::string::concat();
        let inner = Arc::new(ScalarUDF::new_from_impl(Concatenation { concat }));
        Self { operator: Arc::new(ScalarUDF::new_from_impl(Bounded { inner, makes: Makes::Sum })) }
    }
}

impl ExprPlanner for ConcatenationPlanner {
    fn plan_binary_op(&self, operation: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let is_list = |side: &Expr| side.get_type(schema).is_ok_and(|data_type| data_type.is_nested());
        if operation.op != BinaryOperator::StringConcat || is_list(&operation.left) || is_list(&operation.right) {
            return Ok(PlannerResult::Original(operation));
        }
        // A chain becomes one call: as a tree, each link would copy all before it, and planning would walk it again and
        // again.
        let call = match operation.left {
            Expr::ScalarFunction(mut call) if call.func == self.operator => {
                call.args.push(operation.right);
                call
            }
            left => ScalarFunction::new_udf(Arc::clone(&self.operator), vec![left, operation.right]),
        };
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}

/// `concat`, but NULL where any part is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Concatenation {
    concat: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Concatenation {
    fn name(&self) -> &'static str {
        "||"
    }

    fn schema_name(&self, parts: &[Expr]) -> Result<String> {
        Ok(parts.iter().map(|part| part.schema_name().to_string()).collect::<Vec<_>>().join(" || "))
    }

    fn signature(&self) -> &Signature {
        self.concat.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.concat.return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.concat.coerce_types(types)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut nulls: Option<NullBuffer> = None;
        for part in &arguments.args {
            match part {
                ColumnarValue::Scalar(value) if value.is_null() => {
                    return ScalarValue::try_from(arguments.return_type()).map(ColumnarValue::Scalar);
                }
                ColumnarValue::Scalar(_) => {}
                ColumnarValue::Array(values) => {
                    nulls = NullBuffer::union(nulls.as_ref(), values.logical_nulls().as_ref());
                }
            }
        }
        match (self.concat.invoke_with_args(arguments)?, nulls) {
            (ColumnarValue::Array(values), Some(nulls)) => {
                let missing = BooleanArray::new(!nulls.inner(), None);
                Ok(ColumnarValue::Array(nullif(&values, &missing)?))
            }
            (made, _) => Ok(made),
        }
    }
}
