//! Functions that make much out of little, told beforehand how much that would be.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::sizes::{bytes_of, bytes_of_constant, row_bytes};

/// Most bytes of one value that a call makes: a record, the largest value that comes into a table, has less.
const MAX_VALUE_BYTES: u64 = 1 << 20;
/// Most bytes by which a value exceeds the longest of a call's arguments: a join may repeat it for each row of a batch.
const MAX_ADDED_TO_VALUE_BYTES: u64 = 64 << 10;
/// Most bytes of a value that is made of constants: it is copied with the plan, and for each row it goes to.
pub(crate) const MAX_CONSTANT_BYTES: u64 = freshet_sql::MAX_CONSTANT_BYTES as u64;
/// Most bytes by which what a call makes for one batch of rows exceeds the largest of its arguments.
const MAX_ADDED_BYTES: u64 = 16 << 20;
/// Bytes that are made at once; a batch that may come to more is taken in slices of its rows.
const SLICE_BYTES: u64 = 8 << 20;
/// Most steps of a quadratic function for one batch of rows, about a second: nothing interrupts it.
const MAX_STEPS: u64 = 1 << 28;
/// Most bytes that `to_char` makes of one byte of its format: the names of months and zones are shorter.
const FORMATTED: u64 = 64;

/// How much a function makes of its arguments, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Makes {
    /// The first argument as often as the second says.
    TextTimesCount,
    /// As many characters as the second argument says.
    Count,
    /// All arguments, one behind the other.
    Sum,
    /// All arguments, with the first between them.
    Joined,
    /// The third argument in the place of each second one within the first.
    Replaced,
    /// The third argument between any two characters of the first.
    ReplacedAnywhere,
    /// The first argument for each group of the second, a pattern.
    Captured,
    /// Some bytes for each byte of its first argument.
    Multiple,
    /// A date by the format in its second argument.
    Formatted,
    /// The elements of the first argument, with the second between them, or the third in the place of missing ones.
    JoinedElements,
    /// Nothing worth counting, but in a time that grows with the product of the lengths of its arguments.
    LittleSlowly,
}

/// A function that is called only where it doesn't make, or take, too much.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bounded {
    pub inner: Arc<ScalarUDF>,
    pub makes: Makes,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String> {
        self.inner.schema_name(arguments)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        // A constant is computed once for all rows.
        let constant = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        if self.makes == Makes::LittleSlowly {
            self.refuse_long_work(&arguments, if constant { 1 } else { rows })?;
            return self.inner.invoke_with_args(arguments);
        }
        let sizes: Vec<Size> = arguments.args.iter().map(Size::of).collect::<Result<_>>()?;
        let longest = self.longest(&arguments, &sizes)?;
        let given = sizes.iter().map(|size| size.all).max().unwrap_or(0);
        let longest_given = sizes.iter().map(|size| size.longest).max().unwrap_or(0);
        let most = longest_given.saturating_add(MAX_ADDED_TO_VALUE_BYTES).min(MAX_VALUE_BYTES);
        if longest > most.max(longest_given) {
            return Err(self.excess(longest));
        }
        if constant {
            let made = self.inner.invoke_with_args(arguments)?;
            let bytes = Size::of(&made)?.all;
            return if bytes > MAX_CONSTANT_BYTES { Err(self.excess(bytes)) } else { Ok(made) };
        }
        let at_once = usize::try_from(SLICE_BYTES / longest.max(1)).unwrap_or(usize::MAX).max(1);
        if at_once >= rows {
            return self.inner.invoke_with_args(arguments);
        }
        let mut made: Vec<ArrayRef> = Vec::new();
        let mut bytes = 0_u64;
        for from in (0..rows).step_by(at_once) {
            let slice = slice(&arguments, from, at_once.min(rows - from));
            let part = self.inner.invoke_with_args(slice)?.into_array(at_once.min(rows - from))?;
            bytes = bytes.saturating_add(bytes_of(&part)?);
            if bytes > given.saturating_add(MAX_ADDED_BYTES) {
                return Err(self.excess(bytes));
            }
            made.push(part);
        }
        let parts: Vec<&dyn Array> = made.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&parts)?))
    }
}

impl Bounded {
    fn excess(&self, bytes: u64) -> DataFusionError {
        DataFusionError::ResourcesExhausted(format!("{} would make {bytes} bytes", self.name()))
    }

    /// Most bytes of one value that a call makes.
    fn longest(&self, arguments: &ScalarFunctionArgs, sizes: &[Size]) -> Result<u64> {
        let longest = |index: usize| sizes.get(index).map_or(0, |size| size.longest);
        let sum = sizes.iter().fold(0, |sum: u64, size| sum.saturating_add(size.longest));
        Ok(match self.makes {
            Makes::TextTimesCount => longest(0).saturating_mul(highest(arguments)?),
            // A character has up to four bytes.
            Makes::Count => longest(0).max(highest(arguments)?.saturating_mul(4)),
            Makes::Sum => sum,
            Makes::Joined => sum.saturating_add(longest(0).saturating_mul(sizes.len() as u64)),
            Makes::Replaced => {
                let times = longest(0) / sizes.get(1).map_or(1, |size| size.shortest.max(1));
                longest(0).saturating_add(times.saturating_add(1).saturating_mul(longest(2)))
            }
            Makes::ReplacedAnywhere => longest(0).saturating_add(1).saturating_mul(longest(2).saturating_add(1)),
            Makes::Captured => longest(0).saturating_mul(groups(arguments, longest(1)).saturating_add(1)),
            Makes::Multiple => longest(0).saturating_mul(4),
            Makes::Formatted => longest(1).saturating_mul(FORMATTED),
            Makes::JoinedElements => {
                let with_each = longest(1).saturating_add(longest(2)).saturating_add(4);
                longest(0).saturating_mul(with_each)
            }
            Makes::LittleSlowly => 0,
        })
    }

    fn refuse_long_work(&self, arguments: &ScalarFunctionArgs, rows: usize) -> Result<()> {
        let [first, second, ..] = arguments.args.as_slice() else { return Ok(()) };
        let lengths = |argument: &ColumnarValue| -> Result<Vec<u64>> { Ok(row_bytes(&argument.to_array(rows)?)?) };
        let steps = lengths(first)?
            .into_iter()
            .zip(lengths(second)?)
            .fold(0_u64, |steps, (left, right)| steps.saturating_add(left.saturating_mul(right)));
        if steps > MAX_STEPS {
            return Err(DataFusionError::Execution(format!(
                "{} would compare values that are too long: it takes the product of their lengths in steps, {steps} for some rows, at most {MAX_STEPS}",
                self.name()
            )));
        }
        Ok(())
    }
}

fn slice(arguments: &ScalarFunctionArgs, from: usize, rows: usize) -> ScalarFunctionArgs {
    let args = arguments.args.iter().map(|argument| match argument {
        ColumnarValue::Array(values) => ColumnarValue::Array(values.slice(from, rows)),
        ColumnarValue::Scalar(value) => ColumnarValue::Scalar(value.clone()),
    });
    ScalarFunctionArgs {
        args: args.collect(),
        arg_fields: arguments.arg_fields.clone(),
        number_rows: rows,
        return_field: Arc::clone(&arguments.return_field),
        config_options: Arc::clone(&arguments.config_options),
    }
}

/// The largest second argument.
fn highest(arguments: &ScalarFunctionArgs) -> Result<u64> {
    let Some(counts) = arguments.args.get(1) else { return Ok(0) };
    let counts = match counts {
        ColumnarValue::Array(counts) => Arc::clone(counts),
        ColumnarValue::Scalar(count) => count.to_array()?,
    };
    let counts = cast(&counts, &DataType::Int64)?;
    let highest = counts.as_primitive::<Int64Type>().iter().flatten().max().unwrap_or(0);
    Ok(u64::try_from(highest).unwrap_or(0))
}

/// How many groups a pattern has, at most.
fn groups(arguments: &ScalarFunctionArgs, longest: u64) -> u64 {
    match arguments.args.get(1) {
        Some(ColumnarValue::Scalar(pattern)) => {
            pattern.try_as_str().flatten().map_or(0, |pattern| pattern.matches('(').count() as u64)
        }
        _ => longest,
    }
}

/// The bytes of an argument.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    /// As it lies in memory: a constant once.
    all: u64,
    longest: u64,
    shortest: u64,
}

impl Size {
    fn of(argument: &ColumnarValue) -> Result<Self> {
        let bytes = match argument {
            ColumnarValue::Scalar(value) => vec![bytes_of_constant(value)?],
            ColumnarValue::Array(values) => row_bytes(values)?,
        };
        Ok(Self {
            all: bytes.iter().fold(0, |all, bytes| all.saturating_add(*bytes)),
            longest: bytes.iter().copied().max().unwrap_or(0),
            shortest: bytes.iter().copied().min().unwrap_or(0),
        })
    }
}
