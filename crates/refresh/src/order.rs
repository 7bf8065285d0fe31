//! In which order the tables of a database are made.

use std::collections::BTreeSet;

use freshet_model::SqlTable;
use freshet_query::parse_select;

/// A table to be made, and which of the others it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ordered<'a> {
    pub(crate) table: &'a SqlTable,
    pub(crate) reads: BTreeSet<&'a str>,
}

/// The tables, each after those that it reads. Tables that read each other, which no catalog takes, come last and fail where they read
/// what is not there.
pub(crate) fn ordered(tables: &[SqlTable]) -> Vec<Ordered<'_>> {
    let names: Vec<String> = tables.iter().map(|table| table.name.to_string()).collect();
    let reads = |table: &SqlTable| -> BTreeSet<&str> {
        // A text that is no SELECT reads nothing, and fails when it is run.
        let read = parse_select(&table.sql).map(|select| select.tables().to_vec()).unwrap_or_default();
        let made = |name: &String| {
            let found = freshet_query::find_table_name(name, &names)?;
            tables.iter().map(|other| other.name.as_str()).find(|other| *other == found)
        };
        read.iter().filter_map(made).collect()
    };
    let mut left: Vec<Ordered<'_>> = tables.iter().map(|table| Ordered { table, reads: reads(table) }).collect();
    let mut ordered: Vec<Ordered<'_>> = Vec::with_capacity(left.len());
    loop {
        let is_made = |name: &&str| ordered.iter().any(|made| made.table.name.as_str() == *name);
        let Some(next) = left.iter().position(|table| table.reads.iter().all(is_made)) else {
            ordered.extend(left);
            return ordered;
        };
        ordered.push(left.remove(next));
    }
}

#[cfg(test)]
mod tests {
    use freshet_model::TableName;

    use super::*;

    fn table(name: &str, sql: &str) -> SqlTable {
        SqlTable { name: TableName::parse(name).unwrap(), sql: sql.to_owned() }
    }

    #[test]
    fn each_table_comes_after_those_that_it_reads() {
        let tables = [
            table("d", "SELECT * FROM c JOIN B ON true"),
            table("c", "WITH orders AS (SELECT 1) SELECT * FROM a, orders"),
            table("b", "SELECT * FROM orders"),
            table("a", "SELECT * FROM orders"),
        ];
        let names: Vec<&str> = ordered(&tables).iter().map(|ordered| ordered.table.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "c", "d"]);
    }
}
