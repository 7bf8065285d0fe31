//! Tables that a change takes from a database, and the SQL that would miss them.

use std::collections::{BTreeMap, BTreeSet};

use freshet_model::Definition;
use freshet_sql::{find_table, parse_select};

use crate::after::After;
use crate::change::{Wish, Wishes};
use crate::databases::{own_tables, tables_of};
use crate::resource::Identity;
use crate::state::State;

/// A table that SQL over a database can name and can no longer once a wish is fulfilled.
struct Loss {
    database: String,
    /// Where in the wished definition; empty for a deletion.
    path: &'static str,
    table: String,
}

/// What each wish takes from databases, and the SQL over these.
pub(crate) struct Losses<'a> {
    by_wish: BTreeMap<&'a Identity, Vec<Loss>>,
    databases: BTreeMap<String, Database>,
}

/// The tables of a database afterwards, and what its SQL names: who, and which tables.
struct Database {
    tables: Vec<String>,
    readers: Vec<(String, Vec<String>)>,
}

/// What would miss a table.
pub(crate) struct Missed<'a> {
    /// Where in the wished definition; empty for a deletion.
    pub(crate) path: &'static str,
    pub(crate) database: &'a str,
    pub(crate) table: &'a str,
    /// Who names it: `queries.orders_of`.
    pub(crate) referrers: BTreeSet<String>,
}

impl<'a> Losses<'a> {
    pub(crate) fn of(state: &'a State, wishes: &'a Wishes, after: &After<'_>) -> Self {
        let mut by_wish = BTreeMap::new();
        let mut databases = BTreeMap::new();
        for (identity, (_, wish)) in wishes {
            let Some(before) = state.resources.get(identity) else { continue };
            let losses = losses(&before.name, &before.definition, wish);
            for loss in &losses {
                databases.entry(loss.database.clone()).or_insert_with(|| Database::of(&loss.database, after));
            }
            by_wish.insert(identity, losses);
        }
        Self { by_wish, databases }
    }

    /// What SQL would miss of what a wish takes, the wished resource's own aside.
    pub(crate) fn missed(&self, identity: &Identity, name: &str) -> Vec<Missed<'_>> {
        let own = format!("{}.{name}", identity.kind);
        let mut missed = Vec::new();
        for loss in self.by_wish.get(identity).into_iter().flatten() {
            let Some(database) = self.databases.get(&loss.database) else { continue };
            let referrers: BTreeSet<String> = database.readers_of(&loss.table).filter(|who| *who != own).collect();
            if !referrers.is_empty() {
                missed.push(Missed { path: loss.path, database: &loss.database, table: &loss.table, referrers });
            }
        }
        missed
    }
}

fn losses(name: &str, before: &Definition, wish: &Wish) -> Vec<Loss> {
    match (before, wish) {
        (Definition::Table(before), wish) => {
            let (path, kept) = match wish {
                Wish::Put(Definition::Table(after)) => ("databases", after.databases.as_slice()),
                _ => ("", &[][..]),
            };
            let left = before.databases.iter().filter(|database| !kept.contains(database));
            left.flat_map(|database| {
                let loss = |table: String| Loss { database: database.to_string(), path, table };
                [loss(name.to_owned()), loss(format!("{name}_failed"))]
            })
            .collect()
        }
        (Definition::Database(before), Wish::Put(Definition::Database(after))) => own_tables(before)
            .filter(|(_, table)| own_tables(after).all(|(_, kept)| kept != *table))
            .map(|(path, table)| Loss { database: name.to_owned(), path, table: table.to_owned() })
            .collect(),
        // A database goes only when nothing says that it runs there.
        _ => Vec::new(),
    }
}

impl Database {
    fn of(name: &str, after: &After<'_>) -> Self {
        let mut readers = Vec::new();
        for (kind, owner, definition) in after.all() {
            for sql in texts(definition, owner, name) {
                // What can't be read any more names nothing.
                if let Ok(select) = parse_select(sql) {
                    readers.push((format!("{kind}.{owner}"), select.tables().to_vec()));
                }
            }
        }
        Self { tables: tables_of(after, name), readers }
    }

    /// Who means a table that is no longer there.
    fn readers_of(&self, table: &str) -> impl Iterator<Item = String> {
        let lost = [table.to_owned()];
        let means = move |name: &String| find_table(name, &lost).is_some() && find_table(name, &self.tables).is_none();
        self.readers.iter().filter(move |(_, names)| names.iter().any(&means)).map(|(who, _)| who.clone())
    }
}

/// The SQL of a definition that runs in a database.
fn texts<'a>(definition: &'a Definition, owner: &str, database: &str) -> Vec<&'a str> {
    match definition {
        Definition::Query(query) if query.database.as_str() == database => vec![&query.sql],
        Definition::Index(index) if index.database.as_str() == database => vec![&index.query],
        Definition::Database(of) if owner == database => of.tables.iter().map(|table| table.sql.as_str()).collect(),
        _ => Vec::new(),
    }
}
