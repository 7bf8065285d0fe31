//! What applying a set of resources would do.

use freshet_model::{Problem, ResourceKind, TenantId};
use freshet_store::Write;
use serde::Serialize;

use crate::state::Revision;

/// What happens to one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is made.
    Create,
    /// It is changed.
    Change,
    /// It stays as it is.
    Unchanged,
    /// It is deleted.
    Delete,
    /// It can't be taken as it is, so nothing of the plan can be applied.
    Refuse,
}

/// What happens to one resource, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanEntry {
    /// Its kind.
    pub kind: ResourceKind,
    /// Its name.
    pub name: String,
    /// What happens to it.
    pub action: Action,
    /// What changes, a line a field: `rate_limit: 5000 → 6000`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// Why it is refused, paths as in the resource file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// What applying a set of resources would do, and what it was based on: [`crate::Catalog::apply`] does exactly this or
/// nothing.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Whose resources.
    pub tenant: TenantId,
    /// What happens to each resource named, by kind and name.
    pub resources: Vec<PlanEntry>,
    /// What is wrong with the set as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// What the plan is based on.
    #[serde(skip)]
    pub(crate) revision: Revision,
    /// The writes that do it, without the revision's own; empty where the plan is refused.
    #[serde(skip)]
    pub(crate) writes: Vec<Write>,
}

impl Plan {
    /// Whether something in it can't be taken, so that [`crate::Catalog::apply`] would refuse it.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        !self.problems.is_empty() || self.resources.iter().any(|entry| entry.action == Action::Refuse)
    }

    /// Whether applying it would change something.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        self.resources.iter().any(|entry| matches!(entry.action, Action::Create | Action::Change | Action::Delete))
    }

    /// Everything that is wrong with it.
    #[must_use]
    pub fn all_problems(&self) -> Vec<Problem> {
        self.problems.iter().chain(self.resources.iter().flat_map(|entry| &entry.problems)).cloned().collect()
    }
}
