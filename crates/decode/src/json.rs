//! Finding in a JSON object the values that columns ask for, without building the rest.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::scan::members;
use crate::value::{Incoming, Scalar, Unfit};
use crate::wanted::{Wanted, WantedFields};

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

/// The values that an object has for a wanted field: later ones replace earlier ones.
#[derive(Clone, Copy, Default)]
struct Candidates<'a> {
    exact: Option<&'a str>,
    folded: Option<&'a str>,
}

impl Wanted {
    /// Puts the JSON text of each wanted value of the object `json` into its column's cell; cells of what isn't there
    /// are left alone. Returns how many fields of the object itself no column wants.
    pub(crate) fn find_in_json<'a>(&self, json: &'a str, cells: &mut [Option<Json<'a>>]) -> serde_json::Result<u64> {
        let mut candidates = vec![Candidates::default(); self.fields.wanted().len()];
        let mut object = Object { fields: &self.fields, candidates: &mut candidates, unknown: 0 };
        let unknown = if members(json, |name, value| object.take(name, value)).is_some() {
            object.unknown
        } else {
            candidates.fill(Candidates::default());
            let object = Object { fields: &self.fields, candidates: &mut candidates, unknown: 0 };
            let mut deserializer = serde_json::Deserializer::from_str(json);
            let unknown = deserializer.deserialize_map(object)?;
            deserializer.end()?;
            unknown
        };
        for (wanted, found) in self.fields.wanted().iter().zip(candidates) {
            if let Some(value) = found.exact.or(found.folded) {
                wanted.find_within(value, cells)?;
            }
        }
        Ok(unknown)
    }

    /// Recursion ends with the path's steps, of which there are at most 16.
    fn find_within<'a>(&self, json: &'a str, cells: &mut [Option<Json<'a>>]) -> serde_json::Result<()> {
        for column in &self.columns {
            if let Some(cell) = cells.get_mut(*column) {
                *cell = Some(Json(json));
            }
        }
        if json == "null" {
            self.for_each_within(&mut |column| {
                if let Some(cell) = cells.get_mut(column) {
                    *cell = Some(Json(json));
                }
            });
        }
        if !self.fields.wanted().is_empty() && json.starts_with('{') {
            self.find_in_json(json, cells)?;
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

/// Notes a field's value where it is wanted; returns whether it is.
fn note<'a>(fields: &WantedFields, name: &str, value: &'a str, candidates: &mut [Candidates<'a>]) -> bool {
    let mut is_wanted = false;
    fields.for_each_match(name, |at, is_exact| {
        is_wanted = true;
        let Some(candidate) = candidates.get_mut(at) else { return };
        let slot = if is_exact { &mut candidate.exact } else { &mut candidate.folded };
        *slot = Some(value);
    });
    is_wanted
}

struct Object<'s, 'a> {
    fields: &'s WantedFields,
    candidates: &'s mut [Candidates<'a>],
    /// Fields that are not wanted, so far.
    unknown: u64,
}

impl<'a> Object<'_, 'a> {
    /// Takes a member. Its name is JSON text: no copy where there is no escape, and one that is no text is just unknown.
    fn take(&mut self, name: &'a str, value: &'a str) {
        let is_wanted = unquote(name).is_some_and(|name| note(self.fields, &name, value, self.candidates));
        self.unknown += u64::from(!is_wanted);
    }
}

impl<'a> Visitor<'a> for Object<'_, 'a> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<u64, A::Error> {
        while let Some(name) = map.next_key::<&'a RawValue>()? {
            let value: &'a RawValue = map.next_value()?;
            self.take(name.get(), value.get());
        }
        Ok(self.unknown)
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

/// A value as JSON text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Json<'a>(pub(crate) &'a str);

impl<'a> Incoming<'a> for Json<'a> {
    fn text(&self) -> Result<Option<Cow<'a, str>>, Unfit> {
        match self.0.as_bytes().first() {
            Some(b'n') => Ok(None),
            Some(b'"') => unquote(self.0).map(Some).ok_or(Unfit::NotUnicode),
            _ => Ok(Some(Cow::Borrowed(self.0))),
        }
    }

    fn json(&self) -> Option<Cow<'a, str>> {
        (!matches!(self.0, "null" | "\"\"")).then_some(Cow::Borrowed(self.0))
    }

    fn scalar(&self) -> Result<Scalar<'a>, Unfit> {
        match self.0.as_bytes().first() {
            Some(b'n') => Ok(Scalar::Null),
            Some(b't') => Ok(Scalar::Boolean(true)),
            Some(b'f') => Ok(Scalar::Boolean(false)),
            Some(b'{' | b'[') => Err(Unfit::Kind(kind_of(self.0))),
            Some(b'"') => unquote(self.0).map(Scalar::of_text).ok_or(Unfit::NotUnicode),
            _ => Ok(Scalar::Number(self.0)),
        }
    }

    fn is_null(&self) -> bool {
        self.0 == "null"
    }

    fn to_shown(&self) -> String {
        self.0.to_owned()
    }
}
