//! The tables of databases and the SQL over them: whether each text is one SELECT, and each name in it one table.

use std::collections::BTreeSet;

use freshet_model::{
    ActivationDefinition, DatabaseDefinition, Definition, IndexDefinition, PayloadFormat, Problems, QueryDefinition,
    ResourceKind, SqlTable, TableDefinition, did_you_mean,
};
use freshet_sql::{Select, capped, find_table, parse_select};

use crate::after::After;

/// Longest name for which a near one is looked for: no table has a longer one.
const LONGEST_SLIP: usize = 128;
/// Most unknown tables of one text that are told: a reader has enough to do.
const ENOUGH_TABLES: usize = 20;

/// The tables that SQL over a database can name: real-time tables with those of their failed rows, external tables, and
/// tables made by SQL.
pub(crate) fn tables_of(after: &After<'_>, database: &str) -> Vec<String> {
    let mut tables = Vec::new();
    for (_, name, definition) in after.all() {
        if let Definition::Table(table) = definition
            && table.databases.iter().any(|shown_in| shown_in.as_str() == database)
        {
            tables.extend([name.to_owned(), format!("{name}_failed")]);
        }
    }
    if let Some(Definition::Database(definition)) = after.get(ResourceKind::Databases, database) {
        tables.extend(own_tables(definition).map(|(_, name)| name.to_owned()));
    }
    tables
}

/// The tables that a database defines itself: where, and their names.
pub(crate) fn own_tables(database: &DatabaseDefinition) -> impl Iterator<Item = (&'static str, &str)> {
    let external = database.external.iter().map(|table| ("external", table.name.as_str()));
    external.chain(database.tables.iter().map(|table| ("tables", table.name.as_str())))
}

/// Notes what is wrong with a definition's SQL, with what its tables are called, and with what its stream brings.
pub(crate) fn check(after: &After<'_>, name: &str, definition: &Definition, problems: &mut Problems) {
    match definition {
        Definition::Table(table) => {
            check_row_tag(after, table, problems);
            check_name_in_databases(after, name, table, problems);
        }
        Definition::Database(database) => check_database(after, name, database, problems),
        Definition::Query(query) => {
            check_query(after, query, problems);
            check_sent(after, name, query, problems);
        }
        Definition::Activation(activation) => check_activation(after, activation, problems),
        Definition::Index(index) => check_index(after, index, problems),
        Definition::Stream(_) | Definition::ApiKey(_) => {}
    }
}

fn check_row_tag(after: &After<'_>, table: &TableDefinition, problems: &mut Problems) {
    let Some(Definition::Stream(stream)) = after.get(ResourceKind::Streams, table.stream.as_str()) else { return };
    let name = &table.stream;
    match (stream.format, &table.row_tag) {
        (PayloadFormat::Xml, None) => problems.add(
            "row_tag",
            format!(
                "is missing: the records of stream {name} are XML; name the element that makes a row, as row_tag = \"order\""
            ),
        ),
        (PayloadFormat::Json, Some(_)) => problems
            .add("row_tag", format!("the records of stream {name} are JSON, which has no elements; leave row_tag out")),
        _ => {}
    }
}

/// A database's own tables and the real-time tables that show in it have names that differ by more than case.
fn check_name_in_databases(after: &After<'_>, name: &str, table: &TableDefinition, problems: &mut Problems) {
    for (at, database) in table.databases.iter().enumerate() {
        let Some(Definition::Database(definition)) = after.get(ResourceKind::Databases, database.as_str()) else {
            continue;
        };
        if let Some((list, other)) = own_tables(definition).find(|(_, other)| other.eq_ignore_ascii_case(name)) {
            let message = format!(
                "database {database} has a table {other} of its own, under {list}; names differ by more than case"
            );
            problems.add(format!("databases[{at}]"), message);
        }
    }
}

fn check_database(after: &After<'_>, name: &str, database: &DatabaseDefinition, problems: &mut Problems) {
    let real_time: Vec<&str> = after
        .all()
        .filter(|(_, _, definition)| match definition {
            Definition::Table(table) => table.databases.iter().any(|shown_in| shown_in.as_str() == name),
            _ => false,
        })
        .map(|(_, table, _)| table)
        .collect();
    let external = database.external.iter().map(|table| &table.name).enumerate().map(|named| ("external", named));
    let tables = database.tables.iter().map(|table| &table.name).enumerate().map(|named| ("tables", named));
    for (list, (at, own)) in external.chain(tables) {
        if let Some(other) = real_time.iter().find(|other| other.eq_ignore_ascii_case(own.as_str())) {
            let message = format!("table {other} shows in this database; names differ by more than case");
            problems.add(format!("{list}[{at}].name"), message);
        }
    }
    let known = tables_of(after, name);
    let read = database.tables.iter().enumerate().map(|(at, table)| {
        let path = format!("tables[{at}].sql");
        let select = without_parameters(&path, &table.sql, "a table", problems)?;
        check_tables(&path, &select, name, &known, problems);
        Some(select)
    });
    let selects: Vec<Option<Select>> = read.collect();
    check_circles(&database.tables, &selects, problems);
}

/// Refuses tables that are made from themselves.
fn check_circles(tables: &[SqlTable], selects: &[Option<Select>], problems: &mut Problems) {
    let names: Vec<String> = tables.iter().map(|table| table.name.to_string()).collect();
    let place = |name: &String| names.iter().position(|known| known == name);
    let reads: Vec<BTreeSet<usize>> = selects
        .iter()
        .map(|select| {
            let in_text = select.iter().flat_map(Select::tables);
            in_text.filter_map(|table| find_table(table, &names).and_then(place)).collect()
        })
        .collect();
    for first in 0..names.len() {
        if let Some(circle) = shortest_circle(first, &reads) {
            let told: Vec<&str> = circle.iter().filter_map(|at| names.get(*at)).map(String::as_str).collect();
            let message = format!("reads itself: {}; no table can be made from itself", told.join(" → "));
            problems.add(format!("tables[{first}].sql"), message);
        }
    }
}

/// The shortest way from a table back to itself, both ends included, over later tables alone: so that each circle is told
/// once, of its first table.
fn shortest_circle(first: usize, reads: &[BTreeSet<usize>]) -> Option<Vec<usize>> {
    let mut ways = vec![vec![first]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let next = way.last().and_then(|last| reads.get(*last)).into_iter().flatten().copied();
            for table in next.filter(|table| *table >= first) {
                let further: Vec<usize> = way.iter().copied().chain([table]).collect();
                if table == first {
                    return Some(further);
                }
                if seen.insert(table) {
                    longer.push(further);
                }
            }
        }
        ways = longer;
    }
    None
}

fn check_query(after: &After<'_>, query: &QueryDefinition, problems: &mut Problems) {
    let Some(select) = parsed("sql", &query.sql, problems) else { return };
    let database = query.database.as_str();
    if after.has(ResourceKind::Databases, database) {
        check_tables("sql", &select, database, &tables_of(after, database), problems);
    }
    let used = select.placeholders();
    if let Some(number) = used.iter().find(|name| name.starts_with(|first: char| first.is_ascii_digit())) {
        let message = format!("its parameters are numbered, as ${number}; a saved query's have names, as $email");
        problems.add("sql", message);
        return;
    }
    let declared: Vec<&str> = query.parameters.keys().map(AsRef::as_ref).collect();
    for name in used.iter().filter(|name| !declared.contains(&name.as_str())) {
        let hint = near(name, declared.iter().copied());
        let message = format!("${} is not declared in parameters, as {{ {0} = \"string\" }}{hint}", capped(name));
        problems.add("sql", message);
    }
    for name in declared.iter().filter(|name| !used.contains(**name)) {
        let hint = near(name, used.iter().map(String::as_str));
        problems.add(format!("parameters.{name}"), format!("the query doesn't use ${name}{hint}"));
    }
}

/// Nobody is there to give an activation's query its parameters.
fn check_activation(after: &After<'_>, activation: &ActivationDefinition, problems: &mut Problems) {
    let query = activation.query.as_str();
    if let Some(Definition::Query(definition)) = after.get(ResourceKind::Queries, query)
        && !definition.parameters.is_empty()
    {
        let message = format!("saved query {query} has parameters; an activation sends one that has none");
        problems.add("query", message);
    }
}

fn check_sent(after: &After<'_>, name: &str, query: &QueryDefinition, problems: &mut Problems) {
    if query.parameters.is_empty() {
        return;
    }
    for (_, activation, definition) in after.all() {
        if let Definition::Activation(definition) = definition
            && definition.query.as_str() == name
        {
            let message = format!("activation {activation} sends this query, so it can have no parameters");
            problems.add("parameters", message);
        }
    }
}

fn check_index(after: &After<'_>, index: &IndexDefinition, problems: &mut Problems) {
    let Some(select) = without_parameters("query", &index.query, "an index", problems) else { return };
    let database = index.database.as_str();
    if after.has(ResourceKind::Databases, database) {
        check_tables("query", &select, database, &tables_of(after, database), problems);
    }
}

fn parsed(path: &str, sql: &str, problems: &mut Problems) -> Option<Select> {
    match parse_select(sql) {
        Ok(select) => Some(select),
        Err(refusal) => {
            problems.add(path, refusal.to_string());
            None
        }
    }
}

fn without_parameters(path: &str, sql: &str, of: &str, problems: &mut Problems) -> Option<Select> {
    let select = parsed(path, sql, problems)?;
    if let Some(name) = select.placeholders().iter().next() {
        let message = format!("the query of {of} has no parameters; write a value in the place of ${}", capped(name));
        problems.add(path, message);
    }
    Some(select)
}

fn check_tables(path: &str, select: &Select, database: &str, known: &[String], problems: &mut Problems) {
    let unknown = select.tables().iter().filter(|name| find_table(name, known).is_none());
    for name in unknown.take(ENOUGH_TABLES) {
        let last_part = name.rsplit('.').next().unwrap_or(name);
        let hint = near(last_part, known.iter().map(String::as_str));
        problems.add(path, format!("database {database} has no table {:?}{hint}", capped(name)));
    }
}

fn near<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    if given.len() > LONGEST_SLIP { String::new() } else { did_you_mean(given, known) }
}
