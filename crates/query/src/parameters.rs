//! Parameters: values that a query is given beside its text.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan};
use freshet_model::{ColumnType, ParameterName};
use freshet_sql::capped;
use serde_json::value::RawValue;

use crate::bounded::MAX_CONSTANT_BYTES;
use crate::error::hint;
use crate::names::nearest;
use crate::scalar::scalar;
use crate::{QueryError, SqlError};

/// A value as JSON has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterValue {
    /// `null`.
    Null,
    /// `true`, `false`.
    Boolean(bool),
    /// A number's text: every digit that was sent.
    Number(String),
    /// A string.
    Text(String),
}

/// The parameters of one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameters {
    /// For `$1`, `$2` … or for each `?` in turn.
    Positional(Vec<ParameterValue>),
    /// For `$name`.
    Named(BTreeMap<String, ParameterValue>),
    /// For `$name`, each of a declared type.
    Declared(BTreeMap<String, (ParameterValue, ColumnType)>),
}

impl Default for Parameters {
    fn default() -> Self {
        Self::Positional(Vec::new())
    }
}

impl Parameters {
    /// Reads an object of named values.
    ///
    /// # Errors
    /// As [`Parameters::read`].
    pub fn read_named(json: &RawValue) -> Result<BTreeMap<String, ParameterValue>, QueryError> {
        match Self::read(json)? {
            Self::Named(values) => Ok(values),
            Self::Positional(values) if values.is_empty() => Ok(BTreeMap::new()),
            _ => Err(wrong("parameters is not an object, as {\"name\": 1}")),
        }
    }

    /// Reads an array of positional or an object of named values.
    ///
    /// # Errors
    /// [`SqlError::Parameter`]: it is neither, or a value is itself an array or an object.
    pub fn read(json: &RawValue) -> Result<Self, QueryError> {
        let text = json.get().trim_start();
        let malformed =
            |_error| wrong("parameters is neither an array, as [1, \"a\"], nor an object, as {\"name\": 1}");
        if text.starts_with('{') {
            let named: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(malformed)?;
            let values = named.into_iter().map(|(name, value)| Ok((name.clone(), read_value(&name, value)?)));
            values.collect::<Result<_, _>>().map(Self::Named)
        } else {
            let positional: Vec<&RawValue> = serde_json::from_str(text).map_err(malformed)?;
            let values = (1_usize..).zip(positional).map(|(number, value)| read_value(&number.to_string(), value));
            values.collect::<Result<_, _>>().map(Self::Positional)
        }
    }

    /// The values of a saved query's parameters: each that is declared, in its type, and no other.
    ///
    /// # Errors
    /// [`SqlError::Parameter`]: one has no value, has one that its type doesn't take, or is not declared.
    pub fn declared(
        declared: &BTreeMap<ParameterName, ColumnType>,
        mut given: BTreeMap<String, ParameterValue>,
    ) -> Result<Self, QueryError> {
        let mut values = BTreeMap::new();
        for (name, column_type) in declared {
            let value = given.remove(name.as_str());
            let value = value.ok_or_else(|| wrong(format!("parameter {name} is missing; it is a {column_type}")))?;
            let value = typed(value, *column_type).map_err(|why| wrong(format!("parameter {name} {why}")))?;
            values.insert(name.to_string(), (value, *column_type));
        }
        if let Some(superfluous) = given.keys().next() {
            let hint = hint(nearest(superfluous, declared.keys().map(ParameterName::as_str)));
            return Err(wrong(format!("the query has no parameter {:?}{hint}", capped(superfluous))));
        }
        Ok(Self::Declared(values))
    }

    fn by_name(&self) -> BTreeMap<String, &ParameterValue> {
        match self {
            Self::Positional(values) => (1_usize..).map(|number| number.to_string()).zip(values).collect(),
            Self::Named(values) => values.iter().map(|(name, value)| (name.clone(), value)).collect(),
            Self::Declared(values) => values.iter().map(|(name, (value, _))| (name.clone(), value)).collect(),
        }
    }

    /// The type that a value is declared to have.
    fn declared_type(&self, name: &str) -> Option<DataType> {
        match self {
            Self::Declared(values) => values.get(name).map(|(_, column_type)| data_type(*column_type)),
            Self::Positional(_) | Self::Named(_) => None,
        }
    }

    /// That there is a value for each of the query's parameters, and no other.
    fn check(&self, used: &BTreeSet<String>) -> Result<(), QueryError> {
        let positional = used.iter().all(|name| name.starts_with(|first: char| first.is_ascii_digit()));
        let example = used.iter().next().map(String::as_str).unwrap_or_default();
        match self {
            Self::Named(values) if positional && !used.is_empty() && !values.is_empty() => {
                return Err(wrong(
                    "the query's parameters are positional: send their values as an array, as [\"a\", 2]",
                ));
            }
            Self::Positional(values) if !positional && !values.is_empty() => {
                return Err(wrong(format!(
                    "the query's parameters are named: send their values as an object, as {{\"{example}\": …}}"
                )));
            }
            _ => {}
        }
        let given = self.by_name();
        if let Some(missing) = used.iter().find(|name| !given.contains_key(*name)) {
            return Err(wrong(format!("the query's parameter ${missing} has no value in parameters")));
        }
        if let Some(superfluous) = given.keys().find(|name| !used.contains(*name)) {
            let meant = if positional { None } else { nearest(superfluous, used.iter().map(String::as_str)) };
            let hint = hint(meant);
            return Err(wrong(format!(
                "parameters has a value for ${}, which the query does not use{hint}",
                capped(superfluous)
            )));
        }
        Ok(())
    }

    /// Puts the values in the place of a plan's placeholders. A value takes the type that its placeholder is planned
    /// with where that loses nothing; the comparison then is the one of SQL's types.
    pub(crate) fn bind(&self, plan: LogicalPlan, used: &BTreeSet<String>) -> Result<BoundPlan, QueryError> {
        self.check(used)?;
        if used.is_empty() {
            return Ok(Ok(plan));
        }
        let planned = match planned_types(&plan) {
            Ok(planned) => planned,
            Err(error) => return Ok(Err(error)),
        };
        let mut values: HashMap<String, ScalarValue> = HashMap::new();
        for (name, value) in self.by_name() {
            let declared = self.declared_type(&name);
            let only_type = planned.get(&name).filter(|types| types.len() == 1).and_then(|types| types.first());
            let bound = scalar(value, declared.as_ref().or(only_type))
                .map_err(|expected| wrong(format!("parameter ${name} {expected}")))?;
            values.insert(name, bound);
        }
        Ok(plan.with_param_values(values))
    }
}

/// What a value must be to be bound as one of a declared type.
fn data_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::String | ColumnType::Json => DataType::Utf8,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Integer => DataType::Int64,
        ColumnType::Double => DataType::Float64,
        ColumnType::Decimal { precision, scale } => {
            DataType::Decimal128(precision, i8::try_from(scale).unwrap_or(i8::MAX))
        }
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

/// A value, if its declared type takes it without losing anything; else what is wrong, to be said after the parameter's name.
/// An empty text is null, for any type but string.
fn typed(value: ParameterValue, column_type: ColumnType) -> Result<ParameterValue, String> {
    let is_text = matches!(column_type, ColumnType::String | ColumnType::Json);
    if !is_text && matches!(&value, ParameterValue::Text(text) if text.trim().is_empty()) {
        return Ok(ParameterValue::Null);
    }
    if value == ParameterValue::Null {
        return Ok(value);
    }
    let refused = || format!("is not a {column_type}, as {}", example(column_type));
    let bound = scalar(&value, Some(&data_type(column_type))).map_err(|_planned| refused())?;
    let fits = match (column_type, bound) {
        (ColumnType::Integer, bound) => matches!(bound, ScalarValue::Int64(_)),
        (ColumnType::Decimal { precision, scale }, ScalarValue::Int64(Some(number))) => {
            whole_digits(number.unsigned_abs().into()) <= u32::from(precision.saturating_sub(scale))
        }
        (ColumnType::Decimal { precision, scale }, ScalarValue::Decimal128(Some(number), _, digits)) => {
            let decimals = u32::from(digits.unsigned_abs());
            let trailing_zeros = (0..decimals).take_while(|zeros| number % 10_i128.pow(zeros + 1) == 0).count();
            decimals.saturating_sub(u32::try_from(trailing_zeros).unwrap_or(0)) <= u32::from(scale)
                && whole_digits(number.unsigned_abs() / 10_u128.pow(decimals.min(38)))
                    <= u32::from(precision.saturating_sub(scale))
        }
        (ColumnType::Decimal { .. }, _) => false,
        _ => true,
    };
    if fits { Ok(value) } else { Err(refused()) }
}

fn whole_digits(number: u128) -> u32 {
    number.checked_ilog10().map_or(0, |log| log + 1)
}

fn example(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::String | ColumnType::Json => "\"a\"",
        ColumnType::Boolean => "true",
        ColumnType::Integer => "42",
        ColumnType::Double => "0.5",
        ColumnType::Decimal { .. } => "79.99",
        ColumnType::Date => "\"2026-06-14\"",
        ColumnType::Timestamp => "\"2026-06-14T00:24:16Z\"",
    }
}

/// The plan, or what `DataFusion` says against it.
pub(crate) type BoundPlan = Result<LogicalPlan, DataFusionError>;

fn wrong(message: impl Into<String>) -> QueryError {
    SqlError::Parameter { message: message.into() }.into()
}

fn read_value(name: &str, json: &RawValue) -> Result<ParameterValue, QueryError> {
    let text = json.get().trim();
    if text.len() as u64 > MAX_CONSTANT_BYTES {
        return Err(wrong(format!("parameter ${} is longer than {MAX_CONSTANT_BYTES} bytes", capped(name))));
    }
    match text.as_bytes().first() {
        Some(b'n') => Ok(ParameterValue::Null),
        Some(b't') => Ok(ParameterValue::Boolean(true)),
        Some(b'f') => Ok(ParameterValue::Boolean(false)),
        Some(b'"') => serde_json::from_str(text)
            .map(ParameterValue::Text)
            .map_err(|_not_unicode| wrong(format!("parameter ${} is not a text of Unicode characters", capped(name)))),
        Some(b'[' | b'{') | None => Err(wrong(format!(
            "parameter ${} is an array or an object: a parameter is a string, a number, true, false or null",
            capped(name)
        ))),
        Some(_) => Ok(ParameterValue::Number(text.to_owned())),
    }
}

/// The types with which each placeholder is planned, by its name; none where its place tells none.
fn planned_types(plan: &LogicalPlan) -> Result<HashMap<String, Vec<DataType>>, DataFusionError> {
    let mut planned: HashMap<String, Vec<DataType>> = HashMap::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::Placeholder(Placeholder { id, field }) = part {
                    let types = planned.entry(id.trim_start_matches('$').to_owned()).or_default();
                    if let Some(planned_type) = field.as_ref().map(|field| field.data_type())
                        && !types.contains(planned_type)
                    {
                        types.push(planned_type.clone());
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(planned)
}
