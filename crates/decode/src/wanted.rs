//! What the columns of a table want of a record: fields by name, values by path.

use std::collections::BTreeMap;

use freshet_model::{ColumnDefinition, PathStep};

/// What columns want of one value: all of it, fields of it, elements of it.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The columns that take the value itself, by their place in the table; what is wanted beyond columns has a place after
    /// them.
    pub(crate) columns: Vec<usize>,
    pub(crate) fields: WantedFields,
    /// By their index.
    pub(crate) elements: BTreeMap<usize, Wanted>,
}

/// The fields that columns want of an object. A field is matched exactly first, then ignoring (ASCII) case.
#[derive(Debug, Default)]
pub(crate) struct WantedFields {
    wanted: Vec<Wanted>,
    /// Of each wanted field.
    names: Vec<String>,
    /// The fields by what [`bucket`] says of their names ignoring case, in a power of two of places.
    buckets: Vec<Vec<usize>>,
    longest: usize,
}

impl Wanted {
    /// What a table's columns want of a record, and after them these fields.
    pub(crate) fn new(columns: &[ColumnDefinition], fields: &[String]) -> Self {
        let mut root = Self::default();
        for (place, column) in columns.iter().enumerate() {
            let by_name = [PathStep::Field(column.name.as_str().to_owned())];
            let steps = column.path.as_ref().map_or(&by_name[..], |path| path.steps());
            root.add(steps, place);
        }
        for (place, field) in (columns.len()..).zip(fields) {
            root.add(&[PathStep::Field(field.clone())], place);
        }
        root
    }

    /// Calls `take` with the columns that want something within the value, at whatever depth: what is null has null for all of
    /// them. Recursion ends with the paths' steps, of which there are at most 16.
    pub(crate) fn for_each_within(&self, take: &mut impl FnMut(usize)) {
        for within in self.fields.wanted().iter().chain(self.elements.values()) {
            within.columns.iter().copied().for_each(&mut *take);
            within.for_each_within(take);
        }
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
        let known = self.names.iter().position(|known| known == name);
        let at = known.unwrap_or_else(|| {
            self.wanted.push(Wanted::default());
            self.names.push(name.to_owned());
            self.longest = self.longest.max(name.len());
            let at = self.names.len() - 1;
            self.put_into_bucket(at);
            at
        });
        self.wanted.get_mut(at)
    }

    /// So that there are twice as many buckets as names at the least.
    fn put_into_bucket(&mut self, at: usize) {
        let mut places = at..=at;
        if self.names.len() * 2 > self.buckets.len() {
            self.buckets = vec![Vec::new(); self.names.len().next_power_of_two() * 4];
            places = 0..=at;
        }
        let count = self.buckets.len();
        for at in places {
            if let Some(name) = self.names.get(at)
                && let Some(bucket) = self.buckets.get_mut(bucket(name, count))
            {
                bucket.push(at);
            }
        }
    }

    /// Calls `take` with the place of each wanted field that a name is for, and whether it is so exactly.
    pub(crate) fn for_each_match(&self, name: &str, mut take: impl FnMut(usize, bool)) {
        if name.len() > self.longest {
            return;
        }
        for at in self.buckets.get(bucket(name, self.buckets.len())).into_iter().flatten() {
            let Some(wanted) = self.names.get(*at).filter(|wanted| wanted.eq_ignore_ascii_case(name)) else { continue };
            take(*at, wanted == name);
        }
    }
}

/// The place of a name in so many buckets, a power of two; the same for names that differ by case alone. It need not withstand names that are
/// made to meet: those in the buckets are a table's own.
fn bucket(name: &str, buckets: usize) -> usize {
    const SPREAD: u64 = 0x517c_c1b7_2722_0a95;
    /// Makes letters small; of other characters some fall together, which costs a comparison.
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let mut words = name.as_bytes().chunks_exact(8);
    let mut hash = name.len() as u64;
    let mut add = |word: u64| hash = (hash.rotate_left(5) ^ (word | SMALL)).wrapping_mul(SPREAD);
    for word in &mut words {
        add(word.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    }
    add(words.remainder().iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    // The high bits are the ones that all of a word has gone into.
    usize::try_from(hash >> 32).unwrap_or_default() & buckets.wrapping_sub(1)
}
