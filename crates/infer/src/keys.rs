//! What identifies a row, and what says which of two is newer.

use std::collections::{BTreeMap, BTreeSet};

use freshet_model::ColumnType;

use crate::propose::Candidate;

/// Words in names of what changes with each version of a row, the surest first.
const VERSIONS: [&str; 9] =
    ["updated", "modified", "changed", "version", "sequence", "event", "occurred", "time", "date"];

/// The columns of a key, and what is said of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Key {
    /// Places of columns; empty: none was found.
    pub(crate) columns: Vec<usize>,
    pub(crate) notes: Vec<String>,
}

/// The order, and the others that could be it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) column: Option<usize>,
    pub(crate) notes: Vec<String>,
}

/// The column that most likely says which of two versions is newer.
pub(crate) fn order_of(candidates: &[Candidate<'_>], records: usize) -> Order {
    let is_order = |candidate: &Candidate<'_>| {
        matches!(candidate.column_type, ColumnType::Timestamp | ColumnType::Date | ColumnType::Integer)
            && candidate.leaf.present().count() == records
    };
    let mut ranked: Vec<(usize, usize)> = candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| is_order(candidate))
        .filter_map(|(place, candidate)| {
            let name = candidate.named.name.to_ascii_lowercase();
            let rank = VERSIONS.iter().position(|word| name.contains(word));
            let is_time = candidate.column_type != ColumnType::Integer;
            Some((rank.or(is_time.then_some(VERSIONS.len()))?, place))
        })
        .collect();
    ranked.sort_unstable();
    let name = |place: &usize| candidates.get(*place).map(|candidate| candidate.named.name.clone()).unwrap_or_default();
    let others: Vec<String> = ranked.iter().skip(1).map(|(_, place)| name(place)).take(5).collect();
    let mut notes = Vec::new();
    if !others.is_empty() {
        notes.push(format!("could also be {}", others.join(", ")));
    }
    Order { column: ranked.first().map(|(_, place)| *place), notes }
}

/// The columns that most likely identify a row.
pub(crate) fn key_of(candidates: &[Candidate<'_>], records: usize, stream: &str, order: Option<usize>) -> Key {
    let stream = stream.to_ascii_lowercase();
    let stem = stream.strip_suffix('s').unwrap_or(&stream).to_owned();
    let full: Vec<usize> = (0..candidates.len())
        .filter(|place| candidates.get(*place).is_some_and(|candidate| is_keyable(candidate, records)))
        .collect();
    let rank = |place: usize| {
        let name = candidates.get(place).map(|candidate| candidate.named.name.to_ascii_lowercase()).unwrap_or_default();
        match name.as_str() {
            "id" => 0,
            name if name == format!("{stem}_id") || name == format!("{stem}id") => 0,
            "uuid" | "guid" | "key" => 1,
            name if name.ends_with("_id") || name.ends_with("_uuid") || name.ends_with("_key") => 2,
            _ => 9,
        }
    };
    let mut by_rank = full.clone();
    by_rank.sort_by_key(|place| (rank(*place), *place));
    let unique: Vec<usize> =
        by_rank.iter().copied().filter(|place| is_unique(candidates, &[*place], records)).collect();
    let name = |place: usize| candidates.get(place).map(|candidate| candidate.named.name.clone()).unwrap_or_default();
    // A column that is called an id and comes again with another order is the id of what was updated.
    if let Some(first) = by_rank.iter().copied().find(|place| rank(*place) == 0)
        && !unique.contains(&first)
        && order.is_some_and(|order| order != first && is_unique(candidates, &[first, order], records))
    {
        let note = format!(
            "{} comes more than once, each time with another {}: taken as updates",
            name(first),
            name(order.unwrap_or(first))
        );
        return Key { columns: vec![first], notes: vec![note] };
    }
    if let Some(best) = unique.iter().copied().find(|place| Some(*place) != order || rank(*place) < 9) {
        let others: Vec<String> = unique.iter().copied().filter(|place| *place != best).map(name).take(5).collect();
        let mut notes = Vec::new();
        if rank(best) == 9 {
            notes.push(format!("no column is called an id; {} happens to be unique in the sample", name(best)));
        }
        if !others.is_empty() {
            notes.push(format!("also unique in the sample: {}", others.join(", ")));
        }
        return Key { columns: vec![best], notes };
    }
    for (place, first) in by_rank.iter().enumerate() {
        for second in by_rank.iter().skip(place + 1) {
            if rank(*first) < 9 && Some(*second) != order && is_unique(candidates, &[*first, *second], records) {
                let note = "no single column is unique in the sample; these two together are".to_owned();
                return Key { columns: vec![*first, *second], notes: vec![note] };
            }
        }
    }
    Key::default()
}

fn is_keyable(candidate: &Candidate<'_>, records: usize) -> bool {
    let is_type = matches!(
        candidate.column_type,
        ColumnType::String
            | ColumnType::Integer
            | ColumnType::Date
            | ColumnType::Timestamp
            | ColumnType::Decimal { .. }
    );
    is_type && candidate.leaf.present().filter(|(_, value)| *value != "\"\"").count() == records
}

fn is_unique(candidates: &[Candidate<'_>], columns: &[usize], records: usize) -> bool {
    let mut keys: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for place in columns {
        let Some(candidate) = candidates.get(*place) else { return false };
        for (record, value) in candidate.leaf.present() {
            keys.entry(record).or_default().push(value);
        }
    }
    let distinct: BTreeSet<&Vec<&str>> = keys.values().collect();
    distinct.len() == records && keys.len() == records
}
