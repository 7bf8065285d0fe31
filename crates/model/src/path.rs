//! Paths into nested data: `customer.address.city`, `items[0].sku`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathStep {
    /// Into the field of an object.
    Field(String),
    /// Into the element of an array, from 0.
    Index(usize),
}

/// A path into nested data, of 1 to 16 steps, the first a field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsonPath(Vec<PathStep>);

/// Most steps in a path: what bounds the depth of a look-up.
const MAX_STEPS: usize = 16;
/// Longest path in bytes.
const MAX_BYTES: usize = 1_024;

impl JsonPath {
    /// The steps, at least one.
    #[must_use]
    pub fn steps(&self) -> &[PathStep] {
        &self.0
    }
}

impl FromStr for JsonPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: &str| format!("{why}; a path is like customer.address.city or items[0].sku");
        if text.len() > MAX_BYTES {
            return Err(wrong("longer than 1,024 bytes"));
        }
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (field, indexes) = part.split_at(part.find('[').unwrap_or(part.len()));
            if field.is_empty() || field.contains(']') {
                return Err(wrong("a field's name is missing or holds a ]"));
            }
            steps.push(PathStep::Field(field.to_owned()));
            let mut rest = indexes;
            while let Some(opened) = rest.strip_prefix('[') {
                let (digits, after) = opened.split_once(']').ok_or_else(|| wrong("a [ is not closed"))?;
                let index = digits.parse().map_err(|_| wrong("between [ and ] stands no whole number"))?;
                steps.push(PathStep::Index(index));
                rest = after;
            }
            if !rest.is_empty() {
                return Err(wrong("after a ] comes a . or another ["));
            }
        }
        if steps.len() > MAX_STEPS {
            return Err(wrong("more than 16 steps"));
        }
        Ok(Self(steps))
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                PathStep::Field(name) if at == 0 => f.write_str(name)?,
                PathStep::Field(name) => write!(f, ".{name}")?,
                PathStep::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Serialize for JsonPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("city", 1)]
    #[case("customer.address.city", 3)]
    #[case("items[0].sku", 3)]
    #[case("grid[1][2]", 3)]
    fn a_path_is_read_and_shown_alike(#[case] text: &str, #[case] steps: usize) {
        let path: JsonPath = text.parse().unwrap();
        assert_eq!(path.steps().len(), steps);
        assert_eq!(path.to_string(), text);
    }

    #[rstest]
    #[case("")]
    #[case("a..b")]
    #[case("[0]")]
    #[case("a[x]")]
    #[case("a[1")]
    #[case("a[1]b")]
    #[case("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q")]
    fn a_malformed_path_is_refused(#[case] text: &str) {
        assert!(text.parse::<JsonPath>().unwrap_err().contains("a path is like"));
    }
}
