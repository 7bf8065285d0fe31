//! Profile indexes: the rows of a query, kept in the store so that one is found by its key, or by values, in milliseconds.
//!
//! One row is one [`Profile`]: an id (the key column as text) and attributes (a JSON object). [`refresh`] makes an index hold what
//! its query answers now, [`refresh_changed`] does so where it is known which ids have changed; [`ProfileIndexes`] reads it. No SQL
//! happens here: rows come in as a stream, sorted by id.
//!
//! Promises:
//! - A look-up by id is one read of the store. Filters (AND, exact) cost what they find: they go through ordered lists side by side
//!   and never through all profiles.
//! - A reader sees a profile as it was or as it is, never a mixture, and who goes from page to page sees every profile that stays,
//!   once, whatever is refreshed meanwhile.
//! - A refresh writes what changed. Killed anywhere, it leaves nothing behind that the next one doesn't mend or remove; that one is
//!   of all rows, for a refresh of some goes on from what is known to be whole.
//! - Another definition is built beside the one that serves and takes its place in one write; what fails leaves that one serving.
//! - Nothing is compared by its hash alone but contents of one profile, by 128 bits of SHA-256.
//!
//! Data goes: rows → side by side with the list of all profiles, which tells by a hash what is new, different or gone → for each of
//! these an *entry* in that list, which says what will be written; then lists of values and parts; then the *head*, from where on
//! readers see it; then removals. The state of the index says up to which id entries of a refresh are whole: an entry of an
//! unfinished one beyond that is done anew by the next. `keys` says where all of it lies.

mod attributes;
mod candidates;
mod change;
mod content;
mod cursor;
mod encoding;
mod entries;
mod entry;
mod error;
mod hash;
mod index;
mod keys;
mod known;
mod patience;
mod reader;
mod refresh;
mod removal;
mod rows;
mod serving;
mod source;
mod state;

pub use self::error::{ReadError, RefreshError, ShapeError};
pub use self::index::{IndexRef, Shape};
pub use self::reader::{Answer, Page, Profile, ProfileIndexes, Total};
pub use self::refresh::{Changed, RefreshReport, refresh, refresh_changed};
pub use self::removal::{remove_index, remove_retired};
pub use self::rows::ProfileRow;
pub use self::serving::Serving;
pub use self::source::{Basis, Origin, Source};
pub use self::state::RETIREMENT;

/// Most bytes of a profile's id. Rows with longer ones are left out and counted.
pub const MAX_ID_BYTES: usize = 512;
/// Most bytes of a profile's attributes as JSON. Rows with more are left out and counted.
pub const MAX_ATTRIBUTES_BYTES: usize = 4_000_000;
/// Most filters of an index.
pub const MAX_FILTERS: usize = 20;
/// Most bytes of a filter's value. Profiles are not found by longer ones.
pub const MAX_FILTER_VALUE_BYTES: usize = 10_000;
/// Most profiles of a page.
pub const MAX_PAGE: usize = 1_000;
/// Most profiles got at once by their ids.
pub const MAX_BATCH: usize = 1_000;
/// Most bytes of attributes in one answer: what fits an answer of a Lambda, 6 MB, with what stands around them. No profile is larger.
pub const MAX_ANSWER_BYTES: usize = 5_000_000;
