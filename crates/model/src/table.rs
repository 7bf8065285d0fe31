//! Real-time tables: Delta tables fed by a stream.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::{
    ColumnDefinition, ColumnName, ColumnType, DeleteWhen, Fields, Problems, ResourceName, RowTag, did_you_mean,
    read_object,
};

/// Most columns of a table: as many as SQL engines and a record's megabyte can use.
pub const MAX_COLUMNS: usize = 2_000;

/// How records become rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableMode {
    /// One row a key: the record with the greatest order.
    Upsert,
    /// One row a record.
    Append,
}

/// What becomes of a row when a newer record of its key comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableMerge {
    /// The newest record takes the row's place.
    #[default]
    Replace,
    /// Each column has the value of the newest record that has the field, null included.
    Patch,
}

/// Whether records flow into a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableState {
    /// They do.
    Active,
    /// They don't; what it holds is still queried.
    Inactive,
}

/// From where in its stream a new or re-activated table starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what comes after it was made.
    Tail,
    /// With the first record that the queue still has.
    Beginning,
    /// With what was received at this time or later.
    At(Timestamp),
}

impl FromStr for Start {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tail" => Ok(Self::Tail),
            "beginning" => Ok(Self::Beginning),
            _ => text.parse().map(Self::At).map_err(|_| {
                format!("{text:?} is not a start: write \"tail\", \"beginning\" or a time as 2026-06-14T00:00:00Z")
            }),
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tail => f.write_str("tail"),
            Self::Beginning => f.write_str("beginning"),
            Self::At(time) => time.fmt(f),
        }
    }
}

impl Serialize for Start {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A Delta table fed by one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableDefinition {
    /// The name of the stream that feeds it.
    pub stream: ResourceName,
    /// Of a stream of XML: the element that makes a row each time it comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_tag: Option<RowTag>,
    /// Whether records flow into it.
    pub state: TableState,
    /// The databases that it and its table of failed rows show in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<ResourceName>,
    /// How records become rows.
    pub mode: TableMode,
    /// The columns that make its key, in this order; empty for `append`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<ColumnName>,
    /// The column that decides which record of a key is the newest; none: arrival decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_by: Option<ColumnName>,
    /// What becomes of a row when a newer record of its key comes; for `append` it says nothing.
    #[serde(skip_serializing_if = "is_default")]
    pub merge: TableMerge,
    /// Which records delete the row of their key; none: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_when: Option<DeleteWhen>,
    /// Where in the stream it starts.
    pub start: Start,
    /// Its columns, at least one.
    pub columns: Vec<ColumnDefinition>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl TableDefinition {
    /// The column of a name.
    #[must_use]
    pub fn column(&self, name: &ColumnName) -> Option<&ColumnDefinition> {
        self.columns.iter().find(|column| column.name == *name)
    }

    /// Reads a table from what stands at `path` of a document.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &str, value: &Value) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let definition = read_object(path, value, &mut problems).and_then(Self::read_fields);
        match definition {
            Some(definition) => problems.or(definition),
            None => Err(problems),
        }
    }

    fn read_fields(mut fields: Fields<'_>) -> Option<Self> {
        let stream = fields.required("stream", "orders");
        let row_tag = fields.optional("row_tag");
        let state = choice(
            &mut fields,
            "state",
            &[("active", TableState::Active), ("inactive", TableState::Inactive)],
            TableState::Active,
        );
        let databases = fields.list("databases").unwrap_or_default();
        let mode = choice(
            &mut fields,
            "mode",
            &[("upsert", TableMode::Upsert), ("append", TableMode::Append)],
            TableMode::Upsert,
        );
        let key: Vec<ColumnName> = fields.list("key").unwrap_or_default();
        let order_by: Option<ColumnName> = fields.optional("order_by");
        let merges = [("replace", Some(TableMerge::Replace)), ("patch", Some(TableMerge::Patch))];
        let merge = choice(&mut fields, "merge", &merges, None);
        let delete_when: Option<String> = fields.optional("delete_when");
        let start = fields.optional("start").unwrap_or(Start::Tail);
        let columns = read_columns(&mut fields);
        check_key(&mut fields, mode, &key, &columns);
        if let Some(order_by) = &order_by {
            check_order(&mut fields, mode, order_by, &columns);
        }
        if mode == TableMode::Append && merge.is_some() {
            fields.problem("merge", "a table with mode = \"append\" keeps every record and takes no merge");
        }
        let merge = merge.unwrap_or_default();
        let delete_when = delete_when.and_then(|text| read_delete_when(&mut fields, mode, &text, &columns));
        fields.finish();
        Some(Self {
            stream: stream?,
            row_tag,
            state,
            databases,
            mode,
            key,
            order_by,
            merge,
            delete_when,
            start,
            columns,
        })
    }
}

fn choice<T: Copy>(fields: &mut Fields<'_>, name: &'static str, known: &[(&str, T)], default: T) -> T {
    let Some(text) = fields.optional::<String>(name) else { return default };
    if let Some((_, value)) = known.iter().find(|(word, _)| *word == text) {
        return *value;
    }
    let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
    let hint = did_you_mean(&text, words.iter().copied());
    fields.problem(name, format!("{text:?} is not known here; write {}{hint}", words.join(" or ")));
    default
}

fn read_columns(fields: &mut Fields<'_>) -> Vec<ColumnDefinition> {
    let Some(elements) = fields.array("columns") else {
        fields.problem(
            "columns",
            "must name at least one column, as columns = [{ name = \"order_id\", type = \"string\" }]",
        );
        return Vec::new();
    };
    if elements.is_empty() || elements.len() > MAX_COLUMNS {
        fields.problem("columns", format!("expected 1 to {MAX_COLUMNS} columns, found {}", elements.len()));
        return Vec::new();
    }
    let path = fields.path_of("columns");
    let mut columns: Vec<ColumnDefinition> = Vec::with_capacity(elements.len());
    let mut seen = std::collections::HashMap::new();
    for (at, element) in elements.iter().enumerate() {
        let Some(column) = ColumnDefinition::read(&format!("{path}[{at}]"), element, fields.problems()) else {
            continue;
        };
        if let Some(first) = seen.insert(column.name.as_str().to_ascii_lowercase(), at) {
            let message =
                format!("{} is also the name of columns[{first}]; names differ by more than case", column.name);
            fields.problems().add(format!("{path}[{at}].name"), message);
        }
        columns.push(column);
    }
    columns
}

fn check_key(fields: &mut Fields<'_>, mode: TableMode, key: &[ColumnName], columns: &[ColumnDefinition]) {
    match mode {
        TableMode::Append if !key.is_empty() => {
            fields.problem("key", "a table with mode = \"append\" keeps every record and takes no key");
        }
        TableMode::Upsert if key.is_empty() => {
            fields.problem(
                "key",
                "is missing; name the columns that identify a row, or say mode = \"append\" to keep every record",
            );
        }
        _ => {}
    }
    let path = fields.path_of("key");
    for (at, name) in key.iter().enumerate() {
        if !columns.iter().any(|column| column.name == *name) {
            fields.problems().add(format!("{path}[{at}]"), no_such_column(name, columns));
        }
        if key.iter().take(at).any(|earlier| earlier == name) {
            fields.problems().add(format!("{path}[{at}]"), format!("{name} is in the key already"));
        }
    }
}

fn check_order(fields: &mut Fields<'_>, mode: TableMode, order_by: &ColumnName, columns: &[ColumnDefinition]) {
    if mode == TableMode::Append {
        fields.problem("order_by", "a table with mode = \"append\" keeps every record and takes no order_by");
        return;
    }
    match columns.iter().find(|column| column.name == *order_by) {
        None => {
            let message = no_such_column(order_by, columns);
            fields.problem("order_by", message);
        }
        Some(column) => {
            if !matches!(column.column_type, ColumnType::Integer | ColumnType::Timestamp | ColumnType::Date) {
                let message =
                    format!("{order_by} is a {}; an order is an integer, timestamp or date column", column.column_type);
                fields.problem("order_by", message);
            }
        }
    }
}

fn read_delete_when(
    fields: &mut Fields<'_>,
    mode: TableMode,
    text: &str,
    columns: &[ColumnDefinition],
) -> Option<DeleteWhen> {
    if mode == TableMode::Append {
        fields.problem("delete_when", "a table with mode = \"append\" keeps every record and takes no delete_when");
        return None;
    }
    match DeleteWhen::parse(text, columns) {
        Ok(delete_when) => Some(delete_when),
        Err(refusal) => {
            fields.problem("delete_when", refusal);
            None
        }
    }
}

fn no_such_column(name: &ColumnName, columns: &[ColumnDefinition]) -> String {
    format!(
        "there is no column {name}{}",
        did_you_mean(name.as_str(), columns.iter().map(|column| column.name.as_str()))
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Problem;

    fn orders() -> Value {
        json!({
            "stream": "orders", "databases": ["retail"], "key": ["order_id"], "order_by": "at",
            "columns": [
                {"name": "order_id", "type": "string"},
                {"name": "at", "type": "timestamp", "required": true},
                {"name": "city", "type": "string", "path": "customer.city"},
            ],
        })
    }

    #[test]
    fn what_is_written_is_read_again() {
        let table = TableDefinition::read("", &orders()).unwrap();
        assert_eq!(table.start, Start::Tail);
        let again = TableDefinition::read("", &serde_json::to_value(&table).unwrap()).unwrap();
        assert_eq!(again, table);
        let mut of_xml = orders();
        of_xml["row_tag"] = json!("order");
        let table = TableDefinition::read("", &of_xml).unwrap();
        assert_eq!(table.row_tag.as_ref().map(RowTag::as_str), Some("order"));
        assert_eq!(TableDefinition::read("", &serde_json::to_value(&table).unwrap()), Ok(table));
    }

    #[test]
    fn merge_and_delete_when_are_kept_as_they_are_written() {
        let plain = TableDefinition::read("", &orders()).unwrap();
        assert_eq!((plain.merge, &plain.delete_when), (TableMerge::Replace, &None));
        let mut document = orders();
        document["merge"] = json!("replace");
        assert_eq!(TableDefinition::read("", &document), Ok(plain.clone()));
        let written = serde_json::to_value(&plain).unwrap();
        assert!(written.get("merge").is_none() && written.get("delete_when").is_none(), "{written}");

        document["merge"] = json!("patch");
        document["delete_when"] = json!("op = 'D' OR city IS NULL");
        let table = TableDefinition::read("", &document).unwrap();
        let written = serde_json::to_value(&table).unwrap();
        assert_eq!((&written["merge"], &written["delete_when"]), (&json!("patch"), &json!("op = 'D' OR city IS NULL")));
        assert_eq!(TableDefinition::read("", &written), Ok(table));
    }

    #[test]
    fn merge_and_delete_when_that_can_not_be_are_refused() {
        let refusals = |changes: Value| {
            let mut document = orders();
            for (field, value) in changes.as_object().unwrap() {
                document[field] = value.clone();
            }
            TableDefinition::read("tables.orders", &document).unwrap_err().to_string()
        };
        let text = refusals(json!({"merge": "pacth", "delete_when": "op LIKE 'D'"}));
        assert!(text.contains("tables.orders.merge: \"pacth\" is not known here; write replace or patch"), "{text}");
        assert!(text.contains("did you mean \"patch\"?"), "{text}");
        assert!(text.contains("tables.orders.delete_when: found LIKE, expected ="), "{text}");
        assert!(text.contains("at line 1, column 4"), "{text}");
        let text = refusals(json!({"delete_when": true}));
        assert!(text.contains("tables.orders.delete_when: expected a text"), "{text}");
        let append = json!({
            "mode": "append", "key": [], "order_by": null, "merge": "replace", "delete_when": "op = 'D'",
        });
        let expected = "tables.orders.merge: a table with mode = \"append\" keeps every record and takes no merge; \
                        tables.orders.delete_when: a table with mode = \"append\" keeps every record and takes no delete_when";
        assert_eq!(refusals(append), expected);
    }

    #[test]
    fn everything_wrong_is_reported_with_its_path() {
        let document = json!({
            "stream": "or ders", "mode": "upsret", "key": ["oder_id", "order_id", "order_id"], "order_by": "order_id",
            "start": "yesterday", "colums": 1,
            "columns": [
                {"name": "order_id", "type": "strin"},
                {"name": "ORDER_ID", "type": "string"},
                {"name": "received_at", "type": "timestamp"},
                {"name": "order_id", "type": "string", "requird": true},
                7,
            ],
        });
        let problems = TableDefinition::read("tables.orders", &document).unwrap_err();
        let paths: Vec<&str> = problems.0.iter().map(|Problem { path, .. }| path.as_str()).collect();
        let expected = [
            "tables.orders.stream",
            "tables.orders.mode",
            "tables.orders.start",
            "tables.orders.columns[0].type",
            "tables.orders.columns[2].name",
            "tables.orders.columns[3].requird",
            "tables.orders.columns[3].name",
            "tables.orders.columns[4]",
            "tables.orders.key[0]",
            "tables.orders.key[2]",
            "tables.orders.order_by",
            "tables.orders.colums",
        ];
        assert_eq!(paths, expected, "{problems}");
        let text = problems.to_string();
        assert!(text.contains("did you mean \"columns\"?"), "{text}");
        assert!(text.contains("did you mean \"required\"?"), "{text}");
        assert!(text.contains("did you mean \"upsert\"?"), "{text}");
    }

    #[test]
    fn a_table_without_key_must_say_append() {
        let mut document = orders();
        document["key"] = json!([]);
        document["order_by"] = Value::Null;
        let problems = TableDefinition::read("", &document).unwrap_err();
        assert!(problems.to_string().contains("say mode = \"append\""), "{problems}");
        document["mode"] = json!("append");
        assert!(TableDefinition::read("", &document).is_ok());
        document["key"] = json!(["order_id"]);
        assert!(TableDefinition::read("", &document).unwrap_err().to_string().contains("takes no key"));
    }
}
