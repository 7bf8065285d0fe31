//! Parameters: values that a query is given beside its text.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan};
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
}

impl Default for Parameters {
    fn default() -> Self {
        Self::Positional(Vec::new())
    }
}

impl Parameters {
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

    fn by_name(&self) -> BTreeMap<String, &ParameterValue> {
        match self {
            Self::Positional(values) => (1_usize..).map(|number| number.to_string()).zip(values).collect(),
            Self::Named(values) => values.iter().map(|(name, value)| (name.clone(), value)).collect(),
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
            let only_type = planned.get(&name).filter(|types| types.len() == 1).and_then(|types| types.first());
            let bound = scalar(value, only_type).map_err(|expected| wrong(format!("parameter ${name} {expected}")))?;
            values.insert(name, bound);
        }
        Ok(plan.with_param_values(values))
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
