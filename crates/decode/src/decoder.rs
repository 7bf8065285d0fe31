//! Queued records to typed rows.

use std::collections::BTreeMap;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use freshet_model::{PayloadFormat, Position, QueuedRecord, RowTag, TableDefinition, did_you_mean};
use jiff::Timestamp;

use crate::batch::{Batch, MOST_CELLS};
use crate::column::{Failure, RowRules};
use crate::delete_when::DeleteTest;
use crate::failed::FailedRow;
use crate::json::{Json, kind_of};
use crate::schema::table_schema;
use crate::wanted::Wanted;
use crate::xml::{Malformed, Part, Rows, Tree, element_names};

/// So many rows a document may have in any table; in one of few columns it may have more.
const ROWS_OF_ANY_DOCUMENT: usize = 10_000;

/// Why a batch could not be made at all. None of these comes from what stands in a record: they are permanent, and
/// faults of the caller.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The texts of one column have more bytes than an array can; decode fewer records at a time.
    #[error(
        "a column would hold {bytes} bytes of text, more than the 2147483647 of one batch; decode fewer records at a time"
    )]
    TooMuchText {
        /// How many there would be.
        bytes: usize,
    },
    /// A record's place has no place in the table: partitions are 31 bits wide, offsets 63.
    #[error("partition {} and offset {} are beyond what a table can hold", .0.partition, .0.offset)]
    Position(Position),
    /// The columns don't make a batch.
    #[error("the decoded columns do not make a batch")]
    Arrow(#[from] ArrowError),
}

/// What became of a batch of records.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// How many of the records it is of, at least one if there was any: all, unless these have made 10,000,000 values.
    /// Decode the rest by itself then.
    pub records: usize,
    /// The rows, in the order of the records, and of the elements in a record; with the
    /// [`table_schema`](crate::table_schema).
    pub rows: RecordBatch,
    /// For each row the offset in the queue of its record. The rows of one XML document share theirs.
    pub row_offsets: Vec<u64>,
    /// The rows (true) whose record deletes the row of its key; none: no row does. Such a row has its key and what orders it,
    /// and of its other columns those that could be read.
    pub deletes: Option<BooleanArray>,
    /// Of a table that merges by patch: by column name, the rows (true) whose record lacked the field, which is not the same as
    /// null. A column that isn't here was lacked by none.
    pub absent: BTreeMap<String, BooleanArray>,
    /// What made no row, in the same order: a record, or a row's element of an XML document.
    pub failed: Vec<FailedRow>,
    /// How many fields of the rows neither a column nor `delete_when` asks for; one that stands twice counts twice. Fields of nested objects
    /// don't count.
    pub ignored_fields: u64,
}

/// Turns records into the rows of one table. Made once, used for many batches.
#[derive(Debug)]
pub struct Decoder {
    schema: SchemaRef,
    rules: RowRules,
    wanted: Wanted,
    row_tag: Option<RowTag>,
}

/// What is used for one record after the other.
struct Scratch<'a> {
    cells: Vec<Option<Json<'a>>>,
    parts: Vec<Option<Part>>,
    row: Tree<'a>,
}

impl Decoder {
    /// The decoder of a table.
    pub fn new(definition: &TableDefinition) -> Self {
        let rules = RowRules::new(definition);
        let fields_of_test = rules.delete_test.as_ref().map_or(&[][..], DeleteTest::fields);
        Self {
            schema: table_schema(definition),
            wanted: Wanted::new(&definition.columns, fields_of_test),
            rules,
            row_tag: definition.row_tag.clone(),
        }
    }

    /// The schema of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Decodes records; `written_at` goes into every row. A record whose fields are only some of the table's columns
    /// makes a row, with nulls for the rest, as long as key and required columns have values; a value that its column
    /// can't hold fails its row, and names the first such column.
    ///
    /// A record that deletes makes a row with no more than its key and what orders it. Of a table that merges by patch a
    /// record may lack required columns, which others of its key have; what it has for them is not null.
    ///
    /// An XML document makes a row of each of its elements that the table's `row_tag` names; one that has none fails.
    ///
    /// # Errors
    /// See [`DecodeError`]: never for what stands in a record.
    pub fn decode(&self, records: &[QueuedRecord], written_at: Timestamp) -> Result<Decoded, DecodeError> {
        let mut batch = Batch::new(&self.rules, records.len());
        let fields_of_test = self.rules.delete_test.as_ref().map_or(0, |test| test.fields().len());
        let places = self.rules.columns.len() + fields_of_test;
        let mut scratch = Scratch { cells: vec![None; places], parts: vec![None; places], row: Tree::default() };
        let mut decoded = 0;
        for queued in records {
            if batch.is_full() {
                break;
            }
            match queued.record.headers.format {
                PayloadFormat::Json => self.decode_json(queued, &mut scratch, &mut batch),
                PayloadFormat::Xml => self.decode_xml(queued, &mut scratch, &mut batch),
            }
            decoded += 1;
        }
        batch.finish(&self.schema, decoded, written_at)
    }

    fn decode_json<'a>(&self, queued: &'a QueuedRecord, scratch: &mut Scratch<'a>, batch: &mut Batch<'_, 'a>) {
        let cells = &mut scratch.cells;
        cells.fill(None);
        let row = self.find_in_json(&queued.record.payload, cells).map_err(Failure::of_record);
        let row = row.and_then(|unknown_fields| {
            batch.ignored_fields += unknown_fields;
            batch.push_row(queued, |place| cells.get(place).copied().flatten())
        });
        if let Err(failure) = row {
            batch.fail(queued, queued.record.payload.clone(), failure);
        }
    }

    /// Puts each column's JSON text into its cell; returns how many fields no column asks for.
    fn find_in_json<'a>(&self, payload: &'a [u8], cells: &mut [Option<Json<'a>>]) -> Result<u64, String> {
        let json = std::str::from_utf8(payload)
            .map_err(|error| format!("the payload is not UTF-8 after byte {}", error.valid_up_to()))?;
        let from_first_character = json.trim_ascii_start();
        if from_first_character.is_empty() {
            return Err("the payload is empty, expected a JSON object".to_owned());
        }
        if !from_first_character.starts_with('{') {
            // Its first character says what it is only if it is JSON at all.
            return Err(match serde_json::from_str::<serde::de::IgnoredAny>(json) {
                Ok(_) => format!("the payload is {}, expected a JSON object", kind_of(from_first_character)),
                Err(error) => format!("the payload is not valid JSON: {error}"),
            });
        }
        self.wanted.find_in_json(json, cells).map_err(|error| format!("the payload is not valid JSON: {error}"))
    }

    /// A document that can't be read to its end makes no row at all.
    fn decode_xml<'a>(&self, queued: &'a QueuedRecord, scratch: &mut Scratch<'a>, batch: &mut Batch<'_, 'a>) {
        let before = batch.mark();
        if let Err(reason) = self.push_rows(queued, scratch, batch) {
            batch.go_back(before);
            batch.fail(queued, queued.record.payload.clone(), Failure::of_record(reason));
        }
    }

    fn push_rows<'a>(
        &self,
        queued: &'a QueuedRecord,
        scratch: &mut Scratch<'a>,
        batch: &mut Batch<'_, 'a>,
    ) -> Result<(), String> {
        let payload = &queued.record.payload;
        let Some(tag) = self.row_tag.as_ref().map(RowTag::as_str) else {
            return Err("the payload is XML, and the table has no row_tag, which names the element of a row".to_owned());
        };
        let refuse = |malformed: Malformed| {
            let (line, column) = malformed.line_and_column(payload);
            format!("the payload is not acceptable XML at line {line}, column {column}: {}", malformed.reason)
        };
        let most_rows = (MOST_CELLS / self.rules.columns.len().max(1)).max(ROWS_OF_ANY_DOCUMENT);
        let mut rows = Rows::new(payload, tag).map_err(refuse)?;
        let mut count = 0;
        while let Some(raw) = rows.next(&mut scratch.row).map_err(refuse)? {
            count += 1;
            if count > most_rows {
                return Err(format!("the document has more than {most_rows} elements {tag}; send several documents"));
            }
            let Scratch { parts, row, .. } = &mut *scratch;
            parts.fill(None);
            batch.ignored_fields += self.wanted.find_in_xml(row, parts);
            let cell = |place: usize| parts.get(place).copied().flatten().map(|part| row.value(part));
            if let Err(failure) = batch.push_row(queued, cell) {
                batch.fail(queued, payload.slice_ref(raw.as_bytes()), failure);
            }
        }
        if count == 0 {
            let hint = did_you_mean(tag, element_names(payload));
            return Err(format!("the document has no element {tag}, which the table's row_tag names{hint}"));
        }
        Ok(())
    }
}
