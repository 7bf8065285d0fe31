//! Which index, and what decides how its profiles are laid out.

use freshet_model::{IndexId, TenantId};

use crate::hash::Hash;
use crate::{MAX_FILTERS, ShapeError};

/// Changes with the layout of what is stored, so that an index of an older layout is built anew.
const LAYOUT: &str = "1";

/// An index of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IndexRef {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id, which it keeps whatever becomes of its definition.
    pub id: IndexId,
}

/// What of an index's definition decides which profiles it holds: with another, a new generation is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub(crate) filters: Vec<String>,
    pub(crate) fingerprint: u64,
}

impl Shape {
    /// The shape of a definition. `key` and `filters` are names of columns as the query's result spells them.
    ///
    /// # Errors
    /// More than [`MAX_FILTERS`] filters.
    pub fn of(
        database: &str,
        query: &str,
        key: &str,
        filters: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, ShapeError> {
        // In one order, so that another one in the definition changes nothing.
        let mut filters: Vec<String> = filters.into_iter().map(Into::into).collect();
        filters.sort();
        filters.dedup();
        if filters.len() > MAX_FILTERS {
            return Err(ShapeError { filters: filters.len() });
        }
        let mut definition = Vec::new();
        for part in [LAYOUT, database, query, key].into_iter().chain(filters.iter().map(String::as_str)) {
            crate::encoding::put_text(&mut definition, part);
        }
        let fingerprint = Hash::of(&definition).number();
        Ok(Self { filters, fingerprint })
    }

    /// The columns that profiles can be found by, in alphabetical order.
    pub fn filters(&self) -> &[String] {
        &self.filters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(database: &str, query: &str, key: &str, filters: &[&str]) -> Shape {
        Shape::of(database, query, key, filters.iter().copied()).unwrap()
    }

    #[test]
    fn every_part_of_a_definition_makes_another_shape_and_the_order_of_filters_does_not() {
        let first = shape("retail", "SELECT 1", "id", &["a", "b"]);
        assert_eq!(first, shape("retail", "SELECT 1", "id", &["b", "a", "b"]));
        for other in [
            shape("wholesale", "SELECT 1", "id", &["a", "b"]),
            shape("retail", "SELECT 2", "id", &["a", "b"]),
            shape("retail", "SELECT 1", "key", &["a", "b"]),
            shape("retail", "SELECT 1", "id", &["a", "c"]),
            shape("retail", "SELECT 1", "id", &["ab"]),
        ] {
            assert_ne!(first.fingerprint, other.fingerprint, "{other:?}");
        }
    }

    #[test]
    fn more_filters_than_are_allowed_are_refused() {
        let names = |count: usize| (0..count).map(|number| format!("filter_{number}"));
        assert!(Shape::of("d", "q", "k", names(MAX_FILTERS)).is_ok());
        let error = Shape::of("d", "q", "k", names(MAX_FILTERS + 1)).unwrap_err();
        assert_eq!(error.to_string(), "the index has 21 filters, at most 20 are allowed");
    }
}
