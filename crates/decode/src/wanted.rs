//! What the columns of a table want of a record: fields by name, values by path.

use std::collections::{BTreeMap, HashMap};

use freshet_model::{ColumnDefinition, PathStep};

/// What columns want of one value: all of it, fields of it, elements of it.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The columns that take the value itself, by their place in the table.
    pub(crate) columns: Vec<usize>,
    pub(crate) fields: WantedFields,
    /// By their index.
    pub(crate) elements: BTreeMap<usize, Wanted>,
}

/// The fields that columns want of an object. A field is matched exactly first, then ignoring (ASCII) case.
#[derive(Debug, Default)]
pub(crate) struct WantedFields {
    wanted: Vec<Wanted>,
    exact: HashMap<String, usize>,
    /// In lower case; several where paths differ by case only.
    folded: HashMap<String, Vec<usize>>,
    longest: usize,
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
}

impl WantedFields {
    /// What is wanted of each field; the places in it are what [`WantedFields::for_each_match`] tells.
    pub(crate) fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

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

    /// Calls `take` with the place of each wanted field that a name is for, and whether it is so exactly.
    pub(crate) fn for_each_match(&self, name: &str, mut take: impl FnMut(usize, bool)) {
        if name.len() > self.longest {
            return;
        }
        let exact = self.exact.get(name).copied();
        if let Some(at) = exact {
            take(at, true);
            if self.folded.len() == self.wanted.len() {
                return;
            }
        }
        let folded = self.folded.get(&name.to_ascii_lowercase());
        for at in folded.into_iter().flatten().filter(|at| Some(**at) != exact) {
            take(*at, false);
        }
    }
}
