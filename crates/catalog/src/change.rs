//! What a set of changes does to a tenant's resources: everything is decided here, from values, before anything is
//! written.

use std::collections::{BTreeMap, BTreeSet};

use freshet_model::{
    ApiKeyId, Definition, IndexDefinition, IndexId, Problems, ResourceKind, StreamDefinition, StreamId, TenantId,
    did_you_mean,
};
use freshet_store::{Condition, MAX_VALUE_BYTES, Write};
use jiff::Timestamp;

use crate::after::{After, references};
use crate::losses::Losses;
use crate::resource::{Identity, Kept, check_name, singular};
use crate::schema::{activates, changed_table, differences, resolve};
use crate::state::{State, key};
use crate::{Action, ETag, Resource, databases};

/// Most resources of one kind that a tenant has.
pub const MAX_RESOURCES: usize = 1_000;

/// Most deleted tables of a tenant whose definitions are remembered, because their rows are still there.
const MAX_DELETED_TABLES: usize = 1_000;

/// After this many wrong references of one resource the rest is not looked at: a reader has enough to do.
const ENOUGH_PROBLEMS: usize = 100;

/// What a resource is to become.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    /// This.
    Put(Definition),
    /// Nothing.
    Delete,
}

/// What a set of changes asks for, by resource, each with its name as written.
pub(crate) type Wishes = BTreeMap<Identity, (String, Wish)>;

/// What becomes of one resource.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) kind: ResourceKind,
    pub(crate) action: Action,
    pub(crate) details: Vec<String>,
    /// Why it is refused; paths within the definition.
    pub(crate) problems: Problems,
    /// Of a refused deletion: who refers to it.
    pub(crate) referrers: Vec<String>,
    /// The resource afterwards, if it is there.
    pub(crate) resource: Option<Resource>,
    pub(crate) write: Option<Write>,
}

impl Outcome {
    /// Nothing becomes of it.
    fn none(kind: ResourceKind, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            action: Action::Unchanged,
            details: Vec::new(),
            problems: Problems::default(),
            referrers: Vec::new(),
            resource: None,
            write: None,
        }
    }

    fn refused(kind: ResourceKind, name: &str, problems: Problems) -> Self {
        Self { action: Action::Refuse, problems, ..Self::none(kind, name) }
    }
}

/// What the wishes do to the state.
pub(crate) fn evaluate(tenant: &TenantId, state: &State, wishes: &Wishes, now: Timestamp) -> Vec<Outcome> {
    let after = After::of(state, wishes);
    let losses = Losses::of(state, wishes, &after);
    let change = ChangeSet { tenant, state, after: &after, losses: &losses, now };
    wishes
        .iter()
        .map(|(identity, (name, wish))| match wish {
            Wish::Put(definition) => change.put(identity, name, definition),
            Wish::Delete => change.delete(identity, name),
        })
        .collect()
}

struct ChangeSet<'a> {
    tenant: &'a TenantId,
    state: &'a State,
    after: &'a After<'a>,
    losses: &'a Losses<'a>,
    now: Timestamp,
}

impl ChangeSet<'_> {
    fn put(&self, identity: &Identity, name: &str, wished: &Definition) -> Outcome {
        let kind = identity.kind;
        let existing = self.state.resources.get(identity);
        let mut problems = check_name(kind, "", name).err().unwrap_or_default();
        if let Some(other) = existing.filter(|resource| resource.name != name) {
            problems.add("", format!("there is {} already; names differ by more than case", other.name));
        }
        if existing.is_none() {
            self.check_count(identity, &mut problems);
        }
        self.check_references(wished, &mut problems);
        databases::check(self.after, name, wished, &mut problems);
        for missed in self.losses.missed(identity, name) {
            let referrers = Vec::from_iter(missed.referrers).join(", ");
            let message = format!(
                "takes table {} from database {}, where others read it: {referrers}",
                missed.table, missed.database
            );
            problems.add(missed.path, message);
        }
        let definition = self.resolved(identity, name, wished, &mut problems);
        if !problems.is_empty() {
            return Outcome::refused(kind, name, problems);
        }
        match existing {
            Some(existing) if existing.definition == definition => {
                Outcome { resource: Some(existing.clone()), ..Outcome::none(kind, name) }
            }
            _ => self.write(identity, name, definition, existing),
        }
    }

    fn check_count(&self, identity: &Identity, problems: &mut Problems) {
        let kind = identity.kind;
        if self.after.counts.get(&kind).is_some_and(|count| *count > MAX_RESOURCES) {
            problems.add("", format!("a tenant has at most {MAX_RESOURCES} {kind}"));
        }
        let names_a_deleted_one = self.state.deleted.contains_key(identity);
        if kind == ResourceKind::Tables && !names_a_deleted_one && self.state.deleted.len() >= MAX_DELETED_TABLES {
            let message =
                format!("a tenant has at most {MAX_DELETED_TABLES} deleted tables whose rows are still there");
            problems.add("", format!("{message}; use the name of one of them"));
        }
    }

    /// The definition as it is kept, with what the catalog adds and what may not change.
    fn resolved(&self, identity: &Identity, name: &str, wished: &Definition, problems: &mut Problems) -> Definition {
        let existing = self.state.resources.get(identity).map(|resource| &resource.definition);
        let deleted = self.state.deleted.get(identity).map(|resource| &resource.definition);
        match (wished, existing.or(deleted)) {
            (Definition::Stream(stream), before) => {
                let kept =
                    before.and_then(|before| if let Definition::Stream(before) = before { Some(before) } else { None });
                if let Some(kept) = kept.filter(|kept| kept.format != stream.format) {
                    let message = format!("a stream keeps its format, which is {}; make another stream", kept.format);
                    problems.add("format", message);
                }
                let kept = kept.and_then(|kept| kept.id.as_ref());
                let id = self.id(ResourceKind::Streams, name, stream.id.as_ref(), kept, problems);
                Definition::Stream(StreamDefinition { id: Some(id), ..stream.clone() })
            }
            (Definition::Index(index), before) => {
                let kept = before
                    .and_then(|before| if let Definition::Index(before) = before { before.id.as_ref() } else { None });
                let id = self.id(ResourceKind::Indexes, name, index.id.as_ref(), kept, problems);
                Definition::Index(IndexDefinition { id: Some(id), ..index.clone() })
            }
            (Definition::Table(table), Some(Definition::Table(before))) => match changed_table(before, table) {
                Ok(changed) => Definition::Table(changed),
                Err(refused) => {
                    let of_deleted = if existing.is_none() {
                        "the rows of a deleted table of this name are still there; "
                    } else {
                        ""
                    };
                    for problem in refused.0 {
                        problems.add(problem.path, format!("{of_deleted}{}", problem.message));
                    }
                    wished.clone()
                }
            },
            _ => wished.clone(),
        }
    }

    /// The id of a resource that keeps the one it first got.
    fn id<I: PublicId>(
        &self,
        kind: ResourceKind,
        name: &str,
        asked: Option<&I>,
        kept: Option<&I>,
        problems: &mut Problems,
    ) -> I {
        let what = singular(kind);
        match (asked, kept) {
            (Some(asked), Some(kept)) if asked != kept => {
                let message = format!("a {what} keeps its id, which is {kept}; leave id out, or make another {what}");
                problems.add("id", message);
                kept.clone()
            }
            (Some(asked), _) => {
                let others = self.after.ids.get(&(kind, asked.as_ref())).into_iter().flatten();
                if let Some(other) = others.into_iter().find(|other| **other != name) {
                    problems.add("id", format!("{asked} is the id of {what} {other} already; leave id out to get one"));
                }
                asked.clone()
            }
            (None, Some(kept)) => kept.clone(),
            // 71 random bits: a second resource of the tenant gets the same with a probability of 1 in 10^15.
            (None, None) => I::from_random_bits(rand::random()),
        }
    }

    fn check_references(&self, definition: &Definition, problems: &mut Problems) {
        for reference in references(definition) {
            if problems.0.len() >= ENOUGH_PROBLEMS {
                return;
            }
            if !self.after.has(reference.kind, reference.name.as_str()) {
                let what = singular(reference.kind);
                let hint = did_you_mean(reference.name.as_str(), self.after.names(reference.kind));
                problems.add(reference.path, format!("there is no {what} {}{hint}", reference.name));
            }
        }
    }

    fn write(&self, identity: &Identity, name: &str, definition: Definition, existing: Option<&Resource>) -> Outcome {
        let kind = identity.kind;
        let resource = Resource {
            name: name.to_owned(),
            etag: ETag(self.state.revision.next_number()),
            created_at: existing.map_or(self.now, |existing| existing.created_at),
            updated_at: self.now,
            start_at: self.start_at(&definition, existing),
            key_id: key_id(&definition, existing),
            definition,
        };
        let kept = Kept::Live(resource);
        let value = match kept.encode() {
            Ok(value) if value.len() <= MAX_VALUE_BYTES => value,
            Ok(value) => {
                let message =
                    format!("takes {} bytes to keep, and at most {MAX_VALUE_BYTES} fit; shorten it", value.len());
                return Outcome::refused(kind, name, Problems::one("", message));
            }
            Err(error) => return Outcome::refused(kind, name, Problems::one("", error.to_string())),
        };
        let resource = kept.live();
        let details =
            existing.zip(resource.as_ref()).map(|(before, after)| differences(&before.definition, &after.definition));
        Outcome {
            action: if existing.is_some() { Action::Change } else { Action::Create },
            details: details.unwrap_or_default(),
            write: Some(Write::Put { key: key(self.tenant, identity), value, condition: Condition::Any }),
            resource,
            ..Outcome::none(kind, name)
        }
    }

    fn start_at(&self, definition: &Definition, existing: Option<&Resource>) -> Option<Timestamp> {
        let Definition::Table(table) = definition else { return None };
        match existing.map(|existing| (existing, &existing.definition)) {
            Some((existing, Definition::Table(before))) if !activates(before, table) => existing.start_at,
            _ => resolve(table.start, self.now),
        }
    }

    fn delete(&self, identity: &Identity, name: &str) -> Outcome {
        let kind = identity.kind;
        let mut referrers = self.after.referrers.get(&(kind, name)).cloned().unwrap_or_default();
        let readers: BTreeSet<String> =
            self.losses.missed(identity, name).into_iter().flat_map(|missed| missed.referrers).collect();
        referrers.extend(readers);
        if !referrers.is_empty() {
            let message = format!("can't be deleted while others refer to it: {}", referrers.join(", "));
            return Outcome { referrers, ..Outcome::refused(kind, name, Problems::one("", message)) };
        }
        let key = key(self.tenant, identity);
        let existing = self.state.resources.get(identity).filter(|_| kind == ResourceKind::Tables);
        let write = match existing.map(|existing| Kept::Deleted(existing.clone()).encode()) {
            Some(Ok(value)) => Write::Put { key, value, condition: Condition::Any },
            Some(Err(error)) => return Outcome::refused(kind, name, Problems::one("", error.to_string())),
            None => Write::Delete { key, condition: Condition::Any },
        };
        Outcome { action: Action::Delete, write: Some(write), ..Outcome::none(kind, name) }
    }
}

/// The identity of an API key: the one that it has, or a new one.
fn key_id(definition: &Definition, existing: Option<&Resource>) -> Option<ApiKeyId> {
    let Definition::ApiKey(_) = definition else { return None };
    let kept = existing.and_then(|existing| existing.key_id.clone());
    Some(kept.unwrap_or_else(|| ApiKeyId::from_random_bits(rand::random())))
}

/// An id that is part of URLs, so that a resource keeps it.
trait PublicId: Clone + PartialEq + AsRef<str> + std::fmt::Display {
    fn from_random_bits(bits: u128) -> Self;
}

impl PublicId for StreamId {
    fn from_random_bits(bits: u128) -> Self {
        Self::from_random_bits(bits)
    }
}

impl PublicId for IndexId {
    fn from_random_bits(bits: u128) -> Self {
        Self::from_random_bits(bits)
    }
}
