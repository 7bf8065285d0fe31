//! The leaves of records: values that are no objects, each under its path.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{MAX_COLUMNS, MAX_DEPTH};

/// An object's fields in the order in which they stand, their values as the texts that they are.
pub(crate) struct Entries(pub(crate) Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    // Of a field that stands twice the last counts.
                    match entries.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, known)) => *known = value,
                        None => entries.push((name, value)),
                    }
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// What was seen at one path.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// Names of fields, from the record's own.
    pub(crate) path: Vec<String>,
    /// The value in each record by its place; none: it is not there.
    pub(crate) values: Vec<Option<Box<RawValue>>>,
}

impl Leaf {
    /// The values that are there and not null, with their records' places.
    pub(crate) fn present(&self) -> impl Iterator<Item = (usize, &str)> {
        self.values
            .iter()
            .enumerate()
            .filter_map(|(record, value)| Some((record, value.as_deref()?.get())))
            .filter(|(_, text)| *text != "null")
    }
}

/// The leaves of all records, and how many were left out because there are too many.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    pub(crate) found: Vec<Leaf>,
    pub(crate) left_out: usize,
    pub(crate) records: usize,
}

impl Leaves {
    /// Takes a record in.
    ///
    /// # Errors
    /// It is no JSON object.
    pub(crate) fn add(&mut self, record: &str) -> Result<(), serde_json::Error> {
        let entries: Entries = serde_json::from_str(record)?;
        self.records += 1;
        self.walk(&mut Vec::new(), entries)
    }

    fn walk(&mut self, path: &mut Vec<String>, entries: Entries) -> Result<(), serde_json::Error> {
        for (name, value) in entries.0 {
            path.push(name);
            if value.get().starts_with('{') && path.len() < MAX_DEPTH {
                self.walk(path, serde_json::from_str(value.get())?)?;
            } else {
                self.note(path, value);
            }
            path.pop();
        }
        Ok(())
    }

    fn note(&mut self, path: &[String], value: Box<RawValue>) {
        let record = self.records - 1;
        if let Some(leaf) = self.found.iter_mut().find(|leaf| leaf.path == path) {
            leaf.values.resize_with(record, || None);
            leaf.values.push(Some(value));
        } else if self.found.len() < MAX_COLUMNS {
            let mut values: Vec<Option<Box<RawValue>>> = Vec::new();
            values.resize_with(record, || None);
            values.push(Some(value));
            self.found.push(Leaf { path: path.to_vec(), values });
        } else {
            self.left_out += 1;
        }
    }

    /// The leaves, each with a place for every record. A path at which objects stand in some records and other values in others is
    /// one leaf of JSON texts, without the leaves below it.
    pub(crate) fn finish(mut self) -> Self {
        for leaf in &mut self.found {
            leaf.values.resize_with(self.records, || None);
        }
        let paths: Vec<Vec<String>> =
            self.found.iter().filter(|leaf| leaf.present().next().is_some()).map(|leaf| leaf.path.clone()).collect();
        let is_below =
            |leaf: &Leaf| paths.iter().any(|path| leaf.path.len() > path.len() && leaf.path.starts_with(path));
        self.found.retain(|leaf| !is_below(leaf));
        self
    }
}
