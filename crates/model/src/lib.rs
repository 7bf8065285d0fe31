//! The values that the rest of Freshet is written in. No I/O happens here.
//!
//! * Identifiers ([`TenantId`], [`StreamId`], [`ResourceName`], [`TableName`], [`ColumnName`], …) can only hold
//!   what is allowed: they are parsed once, where text comes in, and trusted from there on.
//! * Definitions ([`StreamDefinition`], [`TableDefinition`], [`DatabaseDefinition`], [`QueryDefinition`],
//!   [`IndexDefinition`], [`ActivationDefinition`], [`ApiKeyDefinition`]) are read from a JSON document by [`Definition::read`], which reports *every* problem with its path in the document and
//!   refuses unknown fields by name. The same words are the TOML of a resource file and the body of an admin call.
//! * A [`Record`] is what ingest puts into the queue: one payload and the [`RecordHeaders`] that say whose it is.
//!
//! Data goes: text → identifiers and definitions here → `catalog` keeps them → every other crate takes them as values.

mod activation;
mod api_key;
mod column;
mod cron;
mod database;
mod definition;
mod delete_when;
mod document;
mod identifier;
mod index;
mod location;
mod nearest;
mod network;
mod path;
mod query;
mod record;
mod stream;
mod table;

pub use activation::{
    ActivationDefinition, DEFAULT_BATCH_ROWS, Destination, FileCompression, FileFormat, MAX_BATCH_ROWS, SendMode,
};
pub use api_key::{ApiKeyDefinition, Scope};
pub use column::{ColumnDefinition, ColumnType, INTERNAL_COLUMNS, MAX_DECIMAL_PRECISION, SYSTEM_COLUMNS, system};
pub use cron::CronLine;
pub use database::{DatabaseDefinition, ExternalFormat, ExternalTable, MAX_TABLES_OF_DATABASE, SqlTable};
pub use definition::{Definition, ResourceKind};
pub use delete_when::{Constant, DeleteWhen, RecordTest, Tested};
pub use document::{Fields, Problem, Problems, read_object};
pub use identifier::{
    ApiKeyId, ColumnName, IndexId, InvalidIdentifier, ParameterName, RequestId, ResourceName, RowTag, SecretName,
    StreamId, TableName, TenantId,
};
pub use index::{IndexDefinition, MAX_FILTERS, Refresh};
pub use location::{Location, Place};
pub use nearest::{did_you_mean, nearest};
pub use network::{Network, WebhookUrl};
pub use path::{JsonPath, PathStep};
pub use query::{MAX_PARAMETERS, QueryDefinition};
pub use record::{PayloadFormat, Position, QueuedRecord, Record, RecordHeaders};
pub use stream::StreamDefinition;
pub use table::{MAX_COLUMNS, Start, TableDefinition, TableMerge, TableMode, TableState};
