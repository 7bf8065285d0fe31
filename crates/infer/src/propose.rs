//! From samples to a proposal.

use std::collections::BTreeSet;

use bytes::Bytes;
use freshet_decode::Decoder;
use freshet_model::{
    ColumnType, PayloadFormat, Position, QueuedRecord, Record, RecordHeaders, RequestId, StreamId, TableDefinition,
    TenantId,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::MAX_RECORDS;
use crate::keys::{Key, Order, key_of, order_of};
use crate::leaves::{Leaf, Leaves};
use crate::names::{Named, name_of};
use crate::types::type_of;
use crate::write;
use crate::xml::{RowTag, rows_of};

/// Samples, and what they are samples of.
#[derive(Debug)]
pub struct Sampled {
    /// Of what form they are.
    pub format: PayloadFormat,
    /// As they came: JSON objects, or XML documents.
    pub records: Vec<Bytes>,
    /// The name of their stream, which the table gets too unless another is wanted.
    pub stream: String,
    /// The table's name.
    pub table: String,
    /// The database that the table is to show in.
    pub database: Option<String>,
    /// Whether the stream and the database are there already, and need no definition.
    pub is_known: bool,
}

/// A definition that is proposed.
#[derive(Debug)]
pub struct Proposal {
    /// A resource file, with what was ambiguous in comments.
    pub table: String,
    /// The same columns as a feed.
    pub feed: String,
    /// What a person should look at first.
    pub notes: Vec<String>,
    /// The table's definition.
    pub definition: TableDefinition,
}

/// Why nothing can be proposed.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// There are no records.
    #[error("there are no records to look at")]
    NoRecords,
    /// A record is not what it should be.
    #[error("record {number} is no JSON object: {reason}")]
    NotAnObject {
        /// Its place, from 1.
        number: usize,
        /// Why not.
        reason: String,
    },
    /// A document can't be read.
    #[error("document {number} can't be read: {reason}")]
    NotXml {
        /// Its place, from 1.
        number: usize,
        /// Why not.
        reason: String,
    },
    /// The records have no field that a column can hold.
    #[error("the records have no fields")]
    NoFields,
    /// The definition that comes of it is none: a defect of this proposal.
    #[error("no definition comes of these records: {0}")]
    Definition(String),
}

/// A column to be.
#[derive(Debug)]
pub(crate) struct Candidate<'l> {
    pub(crate) leaf: &'l Leaf,
    pub(crate) named: Named,
    pub(crate) column_type: ColumnType,
    pub(crate) notes: Vec<String>,
}

/// Everything that is written down.
pub(crate) struct Draft<'l> {
    pub(crate) sampled: &'l Sampled,
    pub(crate) row_tag: Option<RowTag>,
    pub(crate) candidates: Vec<Candidate<'l>>,
    pub(crate) key: Key,
    pub(crate) order: Order,
    pub(crate) records: usize,
    /// Fields that no column can be made for.
    pub(crate) unreachable: Vec<String>,
}

/// Proposes a definition for records.
///
/// # Errors
/// There are none, or they can't be read.
pub fn propose(sampled: &Sampled) -> Result<Proposal, InferError> {
    let records = sampled.records.get(..sampled.records.len().min(MAX_RECORDS)).unwrap_or_default();
    if records.is_empty() {
        return Err(InferError::NoRecords);
    }
    let (rows, row_tag) = match sampled.format {
        PayloadFormat::Json => (json_rows(records)?, None),
        PayloadFormat::Xml => {
            let (rows, row_tag) = rows_of(records)?;
            (rows, Some(row_tag))
        }
    };
    let mut leaves = Leaves::default();
    for (number, row) in (1..).zip(&rows) {
        leaves.add(row).map_err(|error| InferError::NotAnObject { number, reason: error.to_string() })?;
    }
    let leaves = leaves.finish();
    let mut taken = BTreeSet::new();
    let (mut candidates, mut unreachable) = (Vec::new(), Vec::new());
    for leaf in &leaves.found {
        match name_of(&leaf.path, &mut taken) {
            Some(named) => {
                let typed = type_of(leaf);
                let mut notes = typed.notes;
                notes.extend(named.note.clone());
                candidates.push(Candidate { leaf, named, column_type: typed.column_type, notes });
            }
            None => unreachable.push(leaf.path.join(".")),
        }
    }
    if candidates.is_empty() {
        return Err(InferError::NoFields);
    }
    let mut draft = Draft {
        sampled,
        row_tag,
        candidates,
        key: Key::default(),
        order: Order::default(),
        records: leaves.records,
        unreachable,
    };
    settle(&mut draft, records)?;
    let definition = draft.definition()?;
    let mut notes = draft.notes();
    if leaves.left_out > 0 {
        notes.push(format!("{} values of further fields were left out: there are too many fields", leaves.left_out));
    }
    Ok(Proposal { table: write::table(&draft), feed: write::feed(&draft), notes, definition })
}

fn json_rows(records: &[Bytes]) -> Result<Vec<String>, InferError> {
    let row = |(number, record): (usize, &Bytes)| {
        let text = std::str::from_utf8(record).map_err(|error| error.to_string());
        text.map(str::to_owned).map_err(|reason| InferError::NotAnObject { number, reason })
    };
    (1..).zip(records).map(row).collect()
}

/// Chooses key and order, and makes columns texts whose values the decoder does not take after all, until every record makes a row.
fn settle(draft: &mut Draft<'_>, records: &[Bytes]) -> Result<(), InferError> {
    loop {
        draft.order = order_of(&draft.candidates, draft.records);
        draft.key = key_of(&draft.candidates, draft.records, &draft.sampled.stream, draft.order.column);
        let definition = draft.definition()?;
        let Some((column, reason)) = first_failure(&definition, draft.sampled.format, records)? else { return Ok(()) };
        let failing = draft.candidates.iter_mut().find(|candidate| candidate.named.name == column);
        match failing {
            Some(candidate) if candidate.column_type != ColumnType::String => {
                candidate.column_type = ColumnType::String;
                candidate.notes = vec![format!("kept as text: {reason}")];
            }
            _ => return Err(InferError::Definition(reason)),
        }
    }
}

/// The column that a record fails at, and why.
fn first_failure(
    definition: &TableDefinition,
    format: PayloadFormat,
    records: &[Bytes],
) -> Result<Option<(String, String)>, InferError> {
    let wrong = |error: &dyn std::fmt::Display| InferError::Definition(error.to_string());
    let headers = RecordHeaders {
        tenant: TenantId::parse("default").map_err(|error| wrong(&error))?,
        stream: StreamId::parse("is-000000000").map_err(|error| wrong(&error))?,
        request_id: RequestId::parse("r").map_err(|error| wrong(&error))?,
        index: 0,
        received_at: Timestamp::UNIX_EPOCH,
        format,
    };
    let queued: Vec<QueuedRecord> = (0..)
        .zip(records)
        .map(|(offset, payload)| QueuedRecord {
            position: Position { partition: 0, offset },
            record: Record { headers: headers.clone(), payload: payload.clone() },
        })
        .collect();
    let decoded = Decoder::new(definition).decode(&queued, Timestamp::UNIX_EPOCH).map_err(|error| wrong(&error))?;
    let failed = decoded.failed.into_iter().next();
    Ok(failed.map(|row| (row.column.map(|column| column.to_string()).unwrap_or_default(), row.reason)))
}

impl Draft<'_> {
    /// The definition's document.
    fn definition(&self) -> Result<TableDefinition, InferError> {
        let columns: Vec<Value> = self
            .candidates
            .iter()
            .map(|candidate| {
                let mut column = json!({"name": candidate.named.name, "type": candidate.column_type.to_string()});
                if let (Some(path), Some(fields)) = (&candidate.named.path, column.as_object_mut()) {
                    fields.insert("path".to_owned(), path.clone().into());
                }
                column
            })
            .collect();
        let mut document = json!({"stream": self.sampled.stream, "columns": columns});
        if let Some(fields) = document.as_object_mut() {
            if self.key.columns.is_empty() {
                fields.insert("mode".to_owned(), "append".into());
            } else {
                fields.insert("key".to_owned(), self.key_names().into());
                if let Some(order) = self.order_name() {
                    fields.insert("order_by".to_owned(), order.into());
                }
            }
            if let Some(tag) = &self.row_tag {
                fields.insert("row_tag".to_owned(), tag.name.clone().into());
            }
        }
        TableDefinition::read("", &document).map_err(|problems| InferError::Definition(problems.to_string()))
    }

    pub(crate) fn key_names(&self) -> Vec<String> {
        self.key.columns.iter().map(|place| self.name(*place)).collect()
    }

    pub(crate) fn order_name(&self) -> Option<String> {
        self.order.column.map(|place| self.name(place))
    }

    fn name(&self, place: usize) -> String {
        self.candidates.get(place).map(|candidate| candidate.named.name.clone()).unwrap_or_default()
    }

    /// What a person should look at first.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.key.columns.is_empty() {
            notes.push("no key was found: the table keeps every record; name a key to keep one row a key".to_owned());
        }
        notes.extend(self.key.notes.iter().map(|note| format!("key: {note}")));
        notes.extend(self.order.notes.iter().map(|note| format!("order_by: {note}")));
        notes.extend(self.row_tag.iter().filter_map(RowTag::note));
        let of_columns = self
            .candidates
            .iter()
            .flat_map(|candidate| candidate.notes.iter().map(|note| format!("{}: {note}", candidate.named.name)));
        notes.extend(of_columns);
        notes.extend(
            self.unreachable.iter().map(|field| format!("{field}: no column's path reaches a field of this name")),
        );
        notes
    }
}
