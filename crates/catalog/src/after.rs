//! How a tenant looks once a set of changes is made: what each of them is checked against.

use std::collections::{BTreeMap, HashMap};

use freshet_model::{Definition, IndexId, ResourceKind, ResourceName, StreamId};

use crate::change::{Wish, Wishes};
use crate::resource::Identity;
use crate::state::State;

/// How the tenant looks once all wishes are fulfilled, by name.
pub(crate) struct After<'a> {
    definitions: BTreeMap<&'a Identity, (&'a str, &'a Definition)>,
    /// By kind and id: the resources that have or ask for it.
    pub(crate) ids: HashMap<(ResourceKind, &'a str), Vec<&'a str>>,
    pub(crate) counts: HashMap<ResourceKind, usize>,
    /// By kind and name: who refers to it, as `tables.orders`.
    pub(crate) referrers: HashMap<(ResourceKind, &'a str), Vec<String>>,
}

impl<'a> After<'a> {
    pub(crate) fn of(state: &'a State, wishes: &'a Wishes) -> Self {
        let mut definitions: BTreeMap<&Identity, (&str, &Definition)> = BTreeMap::new();
        for (identity, resource) in &state.resources {
            definitions.insert(identity, (resource.name.as_str(), &resource.definition));
        }
        for (identity, (name, wish)) in wishes {
            match wish {
                Wish::Put(definition) => definitions.insert(identity, (name.as_str(), definition)),
                Wish::Delete => definitions.remove(identity),
            };
        }
        let mut ids: HashMap<(ResourceKind, &str), Vec<&str>> = HashMap::new();
        let mut counts = HashMap::new();
        let mut referrers: HashMap<(ResourceKind, &str), Vec<String>> = HashMap::new();
        for (identity, (name, definition)) in &definitions {
            for reference in references(definition) {
                let referrers = referrers.entry((reference.kind, reference.name.as_str())).or_default();
                referrers.push(format!("{}.{name}", identity.kind));
            }
            *counts.entry(identity.kind).or_insert(0) += 1;
            let kept = state.resources.get(identity).and_then(|resource| own_id(&resource.definition));
            if let Some(id) = own_id(definition).or(kept) {
                ids.entry((identity.kind, id)).or_default().push(name);
            }
        }
        Self { definitions, ids, counts, referrers }
    }

    pub(crate) fn names(&self, kind: ResourceKind) -> impl Iterator<Item = &'a str> {
        self.definitions.iter().filter(move |(identity, _)| identity.kind == kind).map(|(_, (name, _))| *name)
    }

    pub(crate) fn has(&self, kind: ResourceKind, name: &str) -> bool {
        self.get(kind, name).is_some()
    }

    pub(crate) fn get(&self, kind: ResourceKind, name: &str) -> Option<&'a Definition> {
        let found = self.definitions.get(&Identity::new(kind, name));
        found.filter(|(known, _)| *known == name).map(|(_, definition)| *definition)
    }

    /// Every resource: kind, name, what it is.
    pub(crate) fn all(&self) -> impl Iterator<Item = (ResourceKind, &'a str, &'a Definition)> {
        self.definitions.iter().map(|(identity, (name, definition))| (identity.kind, *name, *definition))
    }
}

/// A name in a definition that must be that of another resource.
pub(crate) struct Reference<'a> {
    pub(crate) path: String,
    pub(crate) kind: ResourceKind,
    pub(crate) name: &'a ResourceName,
}

pub(crate) fn references(definition: &Definition) -> Vec<Reference<'_>> {
    fn list<'a>(field: &str, kind: ResourceKind, names: &'a [ResourceName]) -> impl Iterator<Item = Reference<'a>> {
        names.iter().enumerate().map(move |(at, name)| Reference { path: format!("{field}[{at}]"), kind, name })
    }
    fn database(name: &ResourceName) -> Reference<'_> {
        Reference { path: "database".to_owned(), kind: ResourceKind::Databases, name }
    }
    match definition {
        Definition::Stream(_) | Definition::Database(_) => Vec::new(),
        Definition::Table(table) => {
            let stream = Reference { path: "stream".to_owned(), kind: ResourceKind::Streams, name: &table.stream };
            std::iter::once(stream).chain(list("databases", ResourceKind::Databases, &table.databases)).collect()
        }
        Definition::Query(query) => vec![database(&query.database)],
        Definition::Index(index) => vec![database(&index.database)],
        Definition::Activation(activation) => {
            vec![Reference { path: "query".to_owned(), kind: ResourceKind::Queries, name: &activation.query }]
        }
        Definition::ApiKey(key) => {
            let streams = list("streams", ResourceKind::Streams, key.streams.as_deref().unwrap_or_default());
            let databases = list("databases", ResourceKind::Databases, key.databases.as_deref().unwrap_or_default());
            let indexes = list("indexes", ResourceKind::Indexes, key.indexes.as_deref().unwrap_or_default());
            streams.chain(databases).chain(indexes).collect()
        }
    }
}

/// The id that a definition says itself.
fn own_id(definition: &Definition) -> Option<&str> {
    match definition {
        Definition::Stream(stream) => stream.id.as_ref().map(StreamId::as_str),
        Definition::Index(index) => index.id.as_ref().map(IndexId::as_str),
        _ => None,
    }
}
