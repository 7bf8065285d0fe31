//! Why the runner could not go on.

use freshet_catalog::CatalogError;
use freshet_runs::RunError;
use freshet_store::StoreError;

/// Why the runner could not look for work, or record it. Runs that fail are no errors of the runner: their records say why.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The definitions can't be read.
    #[error("the definitions can't be read")]
    Catalog(#[from] CatalogError),
    /// Runs can't be read or recorded.
    #[error("runs can't be read or recorded")]
    Runs(#[from] RunError),
    /// What is kept of indexes can't be read or removed.
    #[error("the indexes' profiles can't be read or removed")]
    Store(#[from] StoreError),
    /// What is kept of deleted activations can't be removed.
    #[error("what is kept of deleted activations can't be removed")]
    Activations(#[from] freshet_activation::ActivationError),
}
