//! Finding in a JSON object the values that columns ask for, without building the rest.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use freshet_model::{ColumnDefinition, PathStep};
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// What a JSON value is, by its first character, in the words of an error.
pub(crate) fn kind_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The content of a JSON string, given with its quotes; `None` if it holds half a surrogate pair, which no text can.
pub(crate) fn unquote(json: &str) -> Option<Cow<'_, str>> {
    if json.contains('\\') {
        return serde_json::from_str(json).ok().map(Cow::Owned);
    }
    json.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed)
}

/// What columns want of one value: all of it, fields of it, elements of it.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The columns that take the value itself, by their place in the table.
    columns: Vec<usize>,
    fields: WantedFields,
    elements: BTreeMap<usize, Wanted>,
}

/// The fields that columns want of an object. A field is matched exactly first, then ignoring (ASCII) case.
#[derive(Debug, Default)]
struct WantedFields {
    wanted: Vec<Wanted>,
    exact: HashMap<String, usize>,
    /// In lower case; several where paths differ by case only.
    folded: HashMap<String, Vec<usize>>,
    longest: usize,
}

/// The values that an object has for a wanted field: later ones replace earlier ones.
#[derive(Clone, Copy, Default)]
struct Candidates<'a> {
    exact: Option<&'a str>,
    folded: Option<&'a str>,
}

impl Wanted {
    /// What a table's columns want of a record.
    pub(crate) fn new(columns: &[ColumnDefinition]) -> Self {
        let mut root = Self::default();
        for (place, column) in columns.iter().enumerate() {
            let by_name = [PathStep::Field(column.name.as_str().to_owned())];
            let steps = column.path.as_ref().map_or(&by_name[..], |path| path.steps());
            root.add(steps, place);
        }
        root
    }

    fn add(&mut self, steps: &[PathStep], place: usize) {
        match steps.split_first() {
            None => self.columns.push(place),
            Some((PathStep::Field(name), rest)) => {
                if let Some(wanted) = self.fields.entry(name) {
                    wanted.add(rest, place);
                }
            }
            Some((PathStep::Index(index), rest)) => self.elements.entry(*index).or_default().add(rest, place),
        }
    }

    /// Puts the JSON text of each wanted value of the object `json` into its column's cell; cells of what isn't there
    /// are left alone. Returns how many fields of the object itself no column wants.
    pub(crate) fn find<'a>(&self, json: &'a str, cells: &mut [Option<&'a str>]) -> serde_json::Result<u64> {
        let mut candidates = vec![Candidates::default(); self.fields.wanted.len()];
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let unknown = deserializer.deserialize_map(Object { fields: &self.fields, candidates: &mut candidates })?;
        deserializer.end()?;
        for (wanted, found) in self.fields.wanted.iter().zip(candidates) {
            if let Some(value) = found.exact.or(found.folded) {
                wanted.find_within(value, cells)?;
            }
        }
        Ok(unknown)
    }

    /// Recursion ends with the path's steps, of which there are at most 16.
    fn find_within<'a>(&self, json: &'a str, cells: &mut [Option<&'a str>]) -> serde_json::Result<()> {
        for column in &self.columns {
            if let Some(cell) = cells.get_mut(*column) {
                *cell = Some(json);
            }
        }
        if !self.fields.wanted.is_empty() && json.starts_with('{') {
            self.find(json, cells)?;
        }
        if !self.elements.is_empty() && json.starts_with('[') {
            let mut deserializer = serde_json::Deserializer::from_str(json);
            for (wanted, element) in deserializer.deserialize_seq(Array(&self.elements))? {
                wanted.find_within(element, cells)?;
            }
        }
        Ok(())
    }
}

impl WantedFields {
    fn entry(&mut self, name: &str) -> Option<&mut Wanted> {
        let next = self.wanted.len();
        let at = *self.exact.entry(name.to_owned()).or_insert(next);
        if at == next {
            self.wanted.push(Wanted::default());
            self.folded.entry(name.to_ascii_lowercase()).or_default().push(next);
            self.longest = self.longest.max(name.len());
        }
        self.wanted.get_mut(at)
    }

    /// Notes a field's value where it is wanted; returns whether it is.
    fn note<'a>(&self, name: &str, value: &'a str, candidates: &mut [Candidates<'a>]) -> bool {
        if name.len() > self.longest {
            return false;
        }
        let exact = self.exact.get(name).copied();
        if let Some(candidate) = exact.and_then(|at| candidates.get_mut(at)) {
            candidate.exact = Some(value);
            if self.folded.len() == self.wanted.len() {
                return true;
            }
        }
        let folded = self.folded.get(&name.to_ascii_lowercase());
        for at in folded.into_iter().flatten().filter(|at| Some(**at) != exact) {
            if let Some(candidate) = candidates.get_mut(*at) {
                candidate.folded = Some(value);
            }
        }
        folded.is_some()
    }
}

struct Object<'s, 'a> {
    fields: &'s WantedFields,
    candidates: &'s mut [Candidates<'a>],
}

impl<'a> Visitor<'a> for Object<'_, 'a> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<u64, A::Error> {
        let mut unknown = 0;
        // Names are taken as JSON text: no copy where there is no escape, and one that is no text is just unknown.
        while let Some(name) = map.next_key::<&'a RawValue>()? {
            let value: &'a RawValue = map.next_value()?;
            let is_wanted =
                unquote(name.get()).is_some_and(|name| self.fields.note(&name, value.get(), self.candidates));
            unknown += u64::from(!is_wanted);
        }
        Ok(unknown)
    }
}

struct Array<'s>(&'s BTreeMap<usize, Wanted>);

impl<'s, 'a> Visitor<'a> for Array<'s> {
    type Value = Vec<(&'s Wanted, &'a str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        let mut index = 0;
        loop {
            match self.0.get(&index) {
                Some(wanted) => match elements.next_element::<&'a RawValue>()? {
                    Some(element) => found.push((wanted, element.get())),
                    None => return Ok(found),
                },
                None => {
                    if elements.next_element::<IgnoredAny>()?.is_none() {
                        return Ok(found);
                    }
                }
            }
            index += 1;
        }
    }
}
