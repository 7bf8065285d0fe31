//! The definitions of a tenant's resources (streams, databases, tables, saved queries, profile indexes, activations, API keys), typed,
//! over the store.
//!
//! Promises:
//! * What is in the catalog fits together: a table's stream and databases exist, names of one kind differ by more than
//!   case, ids of streams and of indexes are unique within a tenant, and nothing is deleted that another resource refers
//!   to. The SQL of saved queries, indexes and tables is one SELECT over tables that its database has, and its parameters
//!   are the declared ones. Every change is checked against the whole tenant and written in one transaction that holds only
//!   if nothing else of the tenant changed meanwhile, so this holds under concurrent writers too.
//! * A change happens wholly or not at all, also one of many resources ([`Catalog::apply`]).
//! * A refusal lists everything that is wrong, each with its path in the document.
//! * Readers on the path of every record ([`Catalog::snapshot`]) need the store once every [`SNAPSHOT_MAX_AGE`], and
//!   live through an outage of it for [`SNAPSHOT_MAX_STALE`], or for as long as they say ([`Catalog::snapshot_within`]).
//!
//! Data goes: a resource file or the body of an admin call → [`ResourceFile`] and [`freshet_model::Definition`]s → a
//! [`Plan`] → the store → a [`TenantCatalog`] that ingest, the writer and queries look things up in.

mod after;
mod cache;
mod catalog;
mod change;
mod databases;
mod error;
mod file;
mod losses;
mod plan;
mod resource;
mod schema;
mod snapshot;
mod state;

pub use cache::{SNAPSHOT_MAX_AGE, SNAPSHOT_MAX_STALE};
pub use catalog::{Catalog, MAX_CHANGES};
pub use change::MAX_RESOURCES;
pub use error::CatalogError;
pub use file::{FileProblem, FileProblems, MAX_FILE_BYTES, ResourceFile};
pub use plan::{Action, Plan, PlanEntry};
pub use resource::{Change, ETag, InvalidETag, Precondition, PutOutcome, Resource};
pub use snapshot::{Activation, ApiKey, Database, Index, Query, Stream, Table, TenantCatalog};
