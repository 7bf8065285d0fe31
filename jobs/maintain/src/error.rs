//! What can go wrong.

use freshet_catalog::CatalogError;

/// Why maintenance could not look for work. A table that could not be maintained is no error: it is counted, and tried again.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// The definitions can't be read.
    #[error("the definitions of tables can't be read")]
    Catalog(#[from] CatalogError),
}
