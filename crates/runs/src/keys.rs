//! Where runs lie in the store.

use freshet_model::TenantId;
use freshet_store::Key;

use crate::{RunId, Subject};

/// The partition of the resources that have a run queued or under way: what runners look through.
pub(crate) const OPEN: &str = "runs-open";

/// The partition of a tenant's runs.
pub(crate) fn runs_of(tenant: &TenantId) -> String {
    format!("runs/{tenant}")
}

/// What the sort keys of a resource's runs begin with.
pub(crate) fn prefix(of: &Subject) -> String {
    format!("{}/{}/", of.kind, of.name)
}

pub(crate) fn run(of: &Subject, id: RunId) -> Key {
    Key::new(runs_of(&of.tenant), format!("{}{id}", prefix(of)))
}

pub(crate) fn open(of: &Subject) -> Key {
    Key::new(OPEN, format!("{}/{}/{}", of.tenant, of.kind, of.name))
}

pub(crate) fn last(of: &Subject) -> Key {
    Key::new(format!("runs-last/{}", of.tenant), format!("{}/{}", of.kind, of.name))
}
