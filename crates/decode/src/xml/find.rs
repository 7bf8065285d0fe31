//! Finding in a row's element the values that columns ask for.

use crate::wanted::{Wanted, WantedFields};

use super::element::{OWN_TEXT, Part, Tree};

/// What may fill a field, the best first: an element, then an attribute, then what spark-xml calls an attribute or the own
/// text; and only then the same ignoring case.
const ELEMENT: u8 = 0;
const ATTRIBUTE: u8 = 1;
const AS_IN_SPARK: u8 = 2;
const FOLDED: u8 = 3;

/// The best that an element has for a wanted field.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    rank: u8,
    part: Part,
    /// The last of several elements.
    last: usize,
}

impl Wanted {
    /// Notes for each column which part of the row it takes; parts of what isn't there are left alone. Returns how many
    /// attributes and elements of the row itself, and texts, no column wants.
    pub(crate) fn find_in_xml(&self, row: &Tree<'_>, parts: &mut [Option<Part>]) -> u64 {
        self.find_in_element(row, 0, parts)
    }

    fn find_in_element(&self, tree: &Tree<'_>, parent: usize, parts: &mut [Option<Part>]) -> u64 {
        let mut candidates = vec![None; self.fields.wanted().len()];
        let mut underscored = String::new();
        let mut unknown = 0;
        for (at, child) in tree.children(parent) {
            let (part, rank) = (Part::Node(at), if child.is_attribute() { ATTRIBUTE } else { ELEMENT });
            let mut is_wanted = note(&self.fields, tree, child.name, part, rank, &mut candidates);
            if child.is_attribute() {
                underscored.clear();
                underscored.push('_');
                underscored.push_str(child.name);
                is_wanted |= note(&self.fields, tree, &underscored, part, AS_IN_SPARK, &mut candidates);
            }
            unknown += u64::from(!is_wanted);
        }
        if tree.node(parent).is_some_and(|element| !element.is_attribute() && !element.text.is_empty()) {
            let is_wanted = note(&self.fields, tree, OWN_TEXT, Part::OwnText(parent), AS_IN_SPARK, &mut candidates);
            unknown += u64::from(!is_wanted);
        }
        for (wanted, candidate) in self.fields.wanted().iter().zip(candidates) {
            if let Some(Candidate { part, .. }) = candidate {
                wanted.take(tree, part, parts);
            }
        }
        unknown
    }

    /// Recursion ends with the path's steps, of which there are at most 16.
    fn take(&self, tree: &Tree<'_>, part: Part, parts: &mut [Option<Part>]) {
        for column in &self.columns {
            if let Some(taken) = parts.get_mut(*column) {
                *taken = Some(part);
            }
        }
        if tree.is_nil(part) {
            self.for_each_within(&mut |column| {
                if let Some(within) = parts.get_mut(column) {
                    *within = Some(part);
                }
            });
        }
        if let Part::Node(at) = part
            && !self.fields.wanted().is_empty()
        {
            self.find_in_element(tree, at, parts);
        }
        let Some((last, _)) = self.elements.last_key_value() else { return };
        match part {
            Part::Repeated(first) => {
                for (index, at) in tree.repeated(first).take(last.saturating_add(1)).enumerate() {
                    if let Some(wanted) = self.elements.get(&index) {
                        wanted.take(tree, Part::Node(at), parts);
                    }
                }
            }
            // What stands once may be one of several in another document.
            Part::Node(_) | Part::OwnText(_) => {
                if let Some(wanted) = self.elements.get(&0) {
                    wanted.take(tree, part, parts);
                }
            }
        }
    }
}

/// Notes a part under a name where that is wanted; returns whether it is.
fn note(
    fields: &WantedFields,
    tree: &Tree<'_>,
    name: &str,
    part: Part,
    rank: u8,
    candidates: &mut [Option<Candidate>],
) -> bool {
    let mut is_wanted = false;
    fields.for_each_match(name, |at, is_exact| {
        is_wanted = true;
        let rank = if is_exact { rank } else { rank + FOLDED };
        if let Some(candidate) = candidates.get_mut(at) {
            *candidate = Some(better(tree, *candidate, part, rank));
        }
    });
    is_wanted
}

fn better(tree: &Tree<'_>, held: Option<Candidate>, part: Part, rank: u8) -> Candidate {
    let (Part::Node(at) | Part::Repeated(at) | Part::OwnText(at)) = part;
    let new = Candidate { rank, part, last: at };
    let Some(held) = held else { return new };
    if rank > held.rank {
        return held;
    }
    let name_of = |at: usize| tree.node(at).map(|node| node.name);
    let is_repeated = rank == held.rank && matches!(rank, ELEMENT | FOLDED) && name_of(at) == name_of(held.last);
    if !is_repeated {
        return new;
    }
    tree.link(held.last, at);
    let (Part::Node(first) | Part::Repeated(first) | Part::OwnText(first)) = held.part;
    Candidate { rank, part: Part::Repeated(first), last: at }
}
