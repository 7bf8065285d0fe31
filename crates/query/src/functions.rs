//! The functions of SQL that make much out of little, bounded: the values of an expression are not counted against the
//! memory of its query, and the server's memory is everybody's.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;

/// Most bytes that one call makes for one batch of rows, whatever it is given.
const MOST_BYTES: u64 = 1 << 30;
/// Above this, a call makes at most [`MOST_GROWTH`] times what it is given: batches of long texts pass, what makes texts
/// long does not.
const FREE_BYTES: u64 = 256 << 20;
const MOST_GROWTH: u64 = 4;

/// Left out: they make lists of any length, which no query over tables needs. `generate_series` and `range` in FROM make
/// rows, and stay.
const LEFT_OUT: [&str; 4] = ["array_repeat", "array_resize", "range", "generate_series"];

/// Bounded, by how much they make.
const BOUNDED: [(&str, Makes); 7] = [
    ("repeat", Makes::TextTimesCount),
    ("lpad", Makes::Count),
    ("rpad", Makes::Count),
    ("concat", Makes::Sum),
    ("concat_ws", Makes::Joined),
    ("replace", Makes::Replaced),
    ("regexp_replace", Makes::ReplacedAnywhere),
];

/// How much a function makes of its arguments, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Makes {
    /// The first argument as often as the second says.
    TextTimesCount,
    /// As many characters as the second argument says.
    Count,
    /// All arguments, one behind the other.
    Sum,
    /// All arguments but the first, with the first between them.
    Joined,
    /// The third argument in the place of each second one within the first.
    Replaced,
    /// The third argument between any two characters of the first.
    ReplacedAnywhere,
}

/// Leaves out and bounds what must be.
pub(crate) fn restrict(context: &SessionContext) {
    let known = |name: &str| context.state().scalar_functions().get(name).cloned();
    for name in LEFT_OUT {
        for alias in known(name).iter().flat_map(|function| function.aliases()) {
            context.deregister_udf(alias);
        }
        context.deregister_udf(name);
    }
    for (name, makes) in BOUNDED {
        if let Some(inner) = known(name) {
            context.register_udf(ScalarUDF::new_from_impl(Bounded { inner, makes }));
        }
    }
}

/// A function that first tells how much it would make.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    makes: Makes,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
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
        refuse_excess(self.name(), self.makes, &arguments)?;
        self.inner.invoke_with_args(arguments)
    }
}

/// Refuses a call that would make too much.
pub(crate) fn refuse_excess(name: &str, makes: Makes, arguments: &ScalarFunctionArgs) -> Result<()> {
    let constant = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
    // A constant is computed once for all rows.
    let rows = if constant { 1 } else { arguments.number_rows };
    let sizes: Vec<TextSize> =
        arguments.args.iter().map(|argument| TextSize::of(argument, rows)).collect::<Result<_>>()?;
    let size = |index: usize| sizes.get(index).copied().unwrap_or_default();
    let sum = sizes.iter().fold(0, |sum: u64, size| sum.saturating_add(size.all));
    let made = match makes {
        Makes::TextTimesCount => count(arguments, rows)?.saturating_mul(size(0).longest),
        Makes::Count => count(arguments, rows)?,
        Makes::Sum => sum,
        Makes::Joined => sum.saturating_add(size(0).all.saturating_mul(sizes.len() as u64)),
        Makes::Replaced => {
            let times = size(0).all / size(1).shortest.max(1);
            size(0).all.saturating_add(times.saturating_mul(size(2).longest))
        }
        Makes::ReplacedAnywhere => size(0).all.saturating_mul(size(2).longest.saturating_add(1)),
    };
    let given = sizes.iter().map(|size| size.all).max().unwrap_or(0);
    if made > MOST_BYTES || (made > FREE_BYTES && made > given.saturating_mul(MOST_GROWTH)) {
        return Err(DataFusionError::ResourcesExhausted(format!("{name} would make {made} bytes")));
    }
    Ok(())
}

/// The sum, over all rows, of the second argument.
fn count(arguments: &ScalarFunctionArgs, rows: usize) -> Result<u64> {
    let Some(counts) = arguments.args.get(1) else { return Ok(0) };
    let counts = cast(&counts.to_array(rows)?, &DataType::Int64)?;
    let positive = counts.as_primitive::<Int64Type>().iter().flatten().filter_map(|count| u64::try_from(count).ok());
    Ok(positive.fold(0, u64::saturating_add))
}

/// The bytes of an argument's texts.
#[derive(Debug, Clone, Copy, Default)]
struct TextSize {
    /// Of all rows.
    all: u64,
    longest: u64,
    shortest: u64,
}

impl TextSize {
    /// What is no text makes none worth counting.
    fn of(argument: &ColumnarValue, rows: usize) -> Result<Self> {
        match argument {
            ColumnarValue::Scalar(value) => {
                let one = value.try_as_str().flatten().map_or(0, |text| text.len() as u64);
                Ok(Self { all: one.saturating_mul(rows as u64), longest: one, shortest: one })
            }
            ColumnarValue::Array(texts) => Self::of_array(texts),
        }
    }

    fn of_array(texts: &ArrayRef) -> Result<Self> {
        if !texts.data_type().is_string() {
            return Ok(Self::default());
        }
        let texts = cast(texts, &DataType::Utf8View)?;
        let mut size = Self { shortest: u64::MAX, ..Self::default() };
        for bytes in texts.as_string_view().iter().flatten().map(|text| text.len() as u64) {
            size.all = size.all.saturating_add(bytes);
            size.longest = size.longest.max(bytes);
            size.shortest = size.shortest.min(bytes);
        }
        Ok(size)
    }
}
