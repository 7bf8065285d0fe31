//! Maintenance of tables: compaction, checkpoints, clean-up of logs, vacuum.
//!
//! Promises: it is never in the path of a write; writers and readers go on meanwhile, in this process and in others; one table that
//! can't be maintained holds no other one up; what a version within the retention needs stays.
//!
//! Data goes: the catalog's tables, with those of failed rows and those that databases make → for each
//! [`freshet_table::Table::optimize`], and once an hour [`freshet_table::Table::maintain`] → the log, and metrics.
//!
//! In one process [`run_loop`] does this all the time; on Lambda a schedule invokes [`maintain_all`] every few minutes. `freshet maintain
//! TABLE` does it at once for one table.

mod context;
mod error;
mod handler;

pub use context::MaintainContext;
pub use error::MaintainError;
pub use handler::{Maintained, maintain_all, run_loop};
