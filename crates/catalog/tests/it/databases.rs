//! The tables of databases, and the SQL over them.

use freshet_catalog::{CatalogError, Precondition, ResourceFile};
use freshet_model::{Problems, ResourceKind};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Setup, buyers, orders_of, orders_table, time};

/// The tables of the database `retail`: `orders`, and its own.
fn retail() -> Value {
    json!({
        "external": [{"name": "Customer360", "location": "customer360", "format": "delta"}],
        "tables": [
            {"name": "spenders", "sql": "SELECT * FROM orders o JOIN customer360 c ON o.city = c.city"},
            {"name": "vips", "sql": "WITH v AS (SELECT * FROM Spenders) SELECT * FROM v"},
        ],
    })
}

async fn setup() -> Setup {
    let setup = Setup::new().with_orders().await;
    setup.put(ResourceKind::Databases, "retail", retail()).await.unwrap();
    setup
}

async fn refusal(setup: &Setup, kind: ResourceKind, name: &str, definition: Value) -> Problems {
    match setup.put(kind, name, definition).await {
        Err(CatalogError::Refused(problems)) => problems,
        other => panic!("{other:?}"),
    }
}

fn told(problems: &Problems) -> Vec<(&str, &str)> {
    problems.0.iter().map(|problem| (problem.path.as_str(), problem.message.as_str())).collect()
}

#[rstest]
#[case::real_time("SELECT city FROM orders")]
#[case::of_failed_rows("SELECT reason FROM Orders_Failed")]
#[case::external("SELECT 1 FROM customer360 JOIN \"Customer360\" ON true")]
#[case::made_by_sql("SELECT * FROM vips UNION SELECT * FROM spenders")]
#[case::of_itself("WITH nobody AS (SELECT 1) SELECT * FROM nobody")]
#[case::none("SELECT 1")]
#[tokio::test]
async fn sql_names_what_its_database_has(#[case] sql: &str) {
    let setup = setup().await;
    setup.put(ResourceKind::Queries, "q", json!({"database": "retail", "sql": sql})).await.unwrap();
    let index = json!({"database": "retail", "query": sql, "key": "city"});
    setup.put(ResourceKind::Indexes, "i", index).await.unwrap();
    let mut database = retail();
    database["tables"].as_array_mut().unwrap().push(json!({"name": "more", "sql": sql}));
    setup.put(ResourceKind::Databases, "retail", database).await.unwrap();
}

#[rstest]
#[case::no_select("DROP TABLE orders", "found DROP at line 1, column 1: write exactly one SELECT")]
#[case::two("SELECT 1;\n SELECT 2", "found a second statement at line 2, column 2")]
#[case::no_sql("SELECT *\nFRUM orders o x", "at line 2, column")]
#[case::too_deep("SELECT ((((((((((((((((((1))))))))))))))))))", "the query is too complex: it is nested deeper")]
#[case::unknown_table("SELECT 1 FROM oders", "database retail has no table \"oders\"; did you mean \"orders\"?")]
#[case::strange_table("SELECT 1 FROM payments", "database retail has no table \"payments\"")]
#[case::of_another_database("SELECT 1 FROM press.articles", "database retail has no table \"press.articles\"")]
#[case::quoted("SELECT 1 FROM \"ORDERS\"", "database retail has no table \"ORDERS\"; did you mean \"orders\"?")]
#[case::reader("SELECT * FROM read_csv('/etc/passwd')", "is no function that makes a table")]
#[tokio::test]
async fn sql_that_can_not_run_is_refused_where_it_stands(#[case] sql: &str, #[case] says: &str) {
    let setup = setup().await;
    setup.put(ResourceKind::Databases, "press", json!({})).await.unwrap();
    let mut database = retail();
    database["tables"].as_array_mut().unwrap().push(json!({"name": "more", "sql": sql}));
    let index = json!({"database": "retail", "query": sql, "key": "city"});
    for (kind, name, definition, path) in [
        (ResourceKind::Queries, "q", json!({"database": "retail", "sql": sql}), "sql"),
        (ResourceKind::Indexes, "i", index, "query"),
        (ResourceKind::Databases, "retail", database, "tables[2].sql"),
    ] {
        let problems = refusal(&setup, kind, name, definition).await;
        assert!(matches!(told(&problems)[..], [(at, said)] if at == path && said.contains(says)), "{problems}");
    }
}

#[tokio::test]
async fn parameters_are_those_that_are_declared() {
    let setup = setup().await;
    let query = json!({
        "database": "retail", "sql": "SELECT * FROM orders WHERE city = $city AND at < $befor",
        "parameters": {"city": "string", "before": "timestamp", "limit": "integer"},
    });
    let problems = refusal(&setup, ResourceKind::Queries, "q", query).await;
    let expected = [
        ("sql", "$befor is not declared in parameters, as { befor = \"string\" }; did you mean \"before\"?"),
        ("parameters.before", "the query doesn't use $before; did you mean \"befor\"?"),
        ("parameters.limit", "the query doesn't use $limit"),
    ];
    assert_eq!(told(&problems), expected);

    for mark in ["?", "$1"] {
        let query = json!({"database": "retail", "sql": format!("SELECT * FROM orders WHERE city = {mark}")});
        let problems = refusal(&setup, ResourceKind::Queries, "q", query).await;
        let says = "its parameters are numbered, as $1; a saved query's have names, as $email";
        assert_eq!(told(&problems), [("sql", says)]);
    }
    let mut index = buyers();
    index["query"] = json!("SELECT order_id, city FROM orders WHERE city = $city");
    let problems = refusal(&setup, ResourceKind::Indexes, "i", index).await;
    let says = "the query of an index has no parameters; write a value in the place of $city";
    assert_eq!(told(&problems), [("query", says)]);
    let mut database = retail();
    database["tables"][0]["sql"] = json!("SELECT * FROM orders WHERE city = ?");
    let problems = refusal(&setup, ResourceKind::Databases, "retail", database).await;
    let says = "the query of a table has no parameters; write a value in the place of $1";
    assert_eq!(told(&problems), [("tables[0].sql", says)]);
}

#[rstest]
#[case::itself(&["SELECT * FROM a"], &[("tables[0].sql", "a → a")])]
#[case::two(&["SELECT * FROM B", "SELECT * FROM a, orders"], &[("tables[0].sql", "a → b → a")])]
#[case::later(&["SELECT * FROM d", "SELECT * FROM c", "SELECT * FROM d", "SELECT * FROM b"], &[("tables[1].sql", "b → c → d → b")])]
#[case::apart(&["SELECT * FROM b", "SELECT * FROM a", "SELECT * FROM c"], &[("tables[0].sql", "a → b → a"), ("tables[2].sql", "c → c")])]
#[case::the_shortest(&["SELECT * FROM b, c", "SELECT * FROM c", "SELECT * FROM a"], &[("tables[0].sql", "a → c → a")])]
#[tokio::test]
async fn no_table_is_made_from_itself(#[case] texts: &[&str], #[case] circles: &[(&str, &str)]) {
    let setup = Setup::new().with_orders().await;
    let tables: Vec<Value> =
        ["a", "b", "c", "d"].iter().zip(texts).map(|(name, sql)| json!({"name": name, "sql": sql})).collect();
    let problems = refusal(&setup, ResourceKind::Databases, "retail", json!({"tables": tables})).await;
    let expected: Vec<(&str, String)> = circles
        .iter()
        .map(|(path, circle)| (*path, format!("reads itself: {circle}; no table can be made from itself")))
        .collect();
    assert_eq!(told(&problems), expected.iter().map(|(path, said)| (*path, said.as_str())).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_table_may_be_read_on_several_ways() {
    let setup = Setup::new().with_orders().await;
    let tables = json!([
        {"name": "a", "sql": "SELECT * FROM b, c"},
        {"name": "b", "sql": "SELECT * FROM d"},
        {"name": "c", "sql": "SELECT * FROM d, b"},
        {"name": "d", "sql": "WITH a AS (SELECT * FROM orders) SELECT * FROM a"},
    ]);
    setup.put(ResourceKind::Databases, "retail", json!({"tables": tables})).await.unwrap();
}

#[tokio::test]
async fn names_of_a_database_differ_by_more_than_case() {
    let setup = setup().await;
    let mut database = retail();
    database["external"][0]["name"] = json!("Orders");
    database["tables"] = json!([{"name": "ORDERS_2", "sql": "SELECT 1"}]);
    let problems = refusal(&setup, ResourceKind::Databases, "retail", database).await;
    let says = "table orders shows in this database; names differ by more than case";
    assert_eq!(told(&problems), [("external[0].name", says)]);

    setup.put(ResourceKind::Databases, "press", json!({})).await.unwrap();
    let mut table = orders_table();
    table["databases"] = json!(["press", "retail"]);
    for (name, other) in
        [("customer360", "Customer360 of its own, under external"), ("Vips", "vips of its own, under tables")]
    {
        let problems = refusal(&setup, ResourceKind::Tables, name, table.clone()).await;
        let says = format!("database retail has a table {other}; names differ by more than case");
        assert_eq!(told(&problems), [("databases[1]", says.as_str())]);
    }
    table["databases"] = json!(["press"]);
    setup.put(ResourceKind::Tables, "vips", table).await.unwrap();
}

#[tokio::test]
async fn what_sql_reads_stays() {
    let setup = setup().await;
    setup.put(ResourceKind::Queries, "orders_of", orders_of()).await.unwrap();
    let failed = json!({"database": "retail", "sql": "SELECT count(*) FROM orders_failed"});
    setup.put(ResourceKind::Queries, "failures", failed).await.unwrap();
    setup.put(ResourceKind::Indexes, "buyers", buyers()).await.unwrap();
    setup.put(ResourceKind::Databases, "press", json!({})).await.unwrap();

    let deleted = setup.catalog.delete(&setup.tenant, ResourceKind::Tables, "orders", Precondition::None).await;
    assert_eq!(
        deleted.unwrap_err().to_string(),
        "table \"orders\" can't be deleted: databases.retail, indexes.buyers, queries.failures, queries.orders_of refer to it"
    );
    let mut elsewhere = orders_table();
    elsewhere["databases"] = json!(["press"]);
    let problems = refusal(&setup, ResourceKind::Tables, "orders", elsewhere).await;
    let expected = [
        (
            "databases",
            "takes table orders from database retail, where others read it: databases.retail, indexes.buyers, queries.orders_of",
        ),
        ("databases", "takes table orders_failed from database retail, where others read it: queries.failures"),
    ];
    assert_eq!(told(&problems), expected);

    let customers = json!({"database": "retail", "sql": "SELECT * FROM customer360, vips"});
    setup.put(ResourceKind::Queries, "customers", customers).await.unwrap();
    let problems = refusal(&setup, ResourceKind::Databases, "retail", json!({})).await;
    let expected = [
        ("external", "takes table Customer360 from database retail, where others read it: queries.customers"),
        ("tables", "takes table vips from database retail, where others read it: queries.customers"),
    ];
    assert_eq!(told(&problems), expected);
    let mut unread = retail();
    unread["tables"][0]["name"] = json!("big_spenders");
    let problems = refusal(&setup, ResourceKind::Databases, "retail", unread.clone()).await;
    let says = "database retail has no table \"spenders\"; did you mean \"big_spenders\"?";
    assert_eq!(told(&problems), [("tables[1].sql", says)]);
    unread["tables"][1]["sql"] = json!("SELECT * FROM BIG_SPENDERS");
    unread["tables"][1]["name"] = json!("VIPs");
    setup.put(ResourceKind::Databases, "retail", unread).await.unwrap();
}

#[tokio::test]
async fn what_goes_together_goes_at_once() {
    let setup = Setup::new();
    let now = time("2026-06-14T00:00:00Z");
    let all = json!({
        "streams": {"orders": {}}, "databases": {"retail": retail()}, "tables": {"orders": orders_table()},
        "queries": {"orders_of": orders_of()}, "indexes": {"buyers": buyers()},
    });
    let apply = async |document: &Value, prune: bool| {
        let file = ResourceFile::from_json(document).unwrap();
        let plan = setup.catalog.plan(&setup.tenant, &file, prune, now).await.unwrap();
        setup.catalog.apply(&plan).await
    };
    apply(&all, false).await.unwrap();
    let without_table =
        json!({"streams": {"orders": {}}, "databases": {"retail": {}}, "queries": {"orders_of": orders_of()}});
    let refused = apply(&without_table, true).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "refused: tables.orders: can't be deleted while others refer to it: queries.orders_of; queries.orders_of.sql: database retail has no table \"orders\""
    );
    apply(&json!({"streams": {"orders": {}}, "databases": {"retail": {}}}), true).await.unwrap();
    let snapshot = setup.catalog.snapshot(&setup.tenant).await.unwrap();
    assert_eq!((snapshot.tables().count(), snapshot.queries().count(), snapshot.indexes().count()), (0, 0, 0));
}

#[rstest]
#[case::xml_with("xml", Some("order"), None)]
#[case::json_without("json", None, None)]
#[case::xml_without(
    "xml",
    None,
    Some("is missing: the records of stream feed are XML; name the element that makes a row")
)]
#[case::json_with("json", Some("order"), Some("the records of stream feed are JSON"))]
#[tokio::test]
async fn a_row_tag_is_for_streams_of_xml(
    #[case] format: &str,
    #[case] row_tag: Option<&str>,
    #[case] refused: Option<&str>,
) {
    let setup = Setup::new().with_orders().await;
    setup.put(ResourceKind::Streams, "feed", json!({"format": format})).await.unwrap();
    let mut table = orders_table();
    table["stream"] = json!("feed");
    table["row_tag"] = json!(row_tag);
    let put = setup.put(ResourceKind::Tables, "t", table.clone()).await;
    match (put, refused) {
        (Ok(_), None) if row_tag.is_some() => {
            table["row_tag"] = json!("line");
            let problems = refusal(&setup, ResourceKind::Tables, "t", table).await;
            let says = "can't change in place; it is \"order\". Make a new table";
            assert!(matches!(told(&problems)[..], [("row_tag", said)] if said.starts_with(says)), "{problems}");
        }
        (Ok(_), None) => {}
        (Err(CatalogError::Refused(problems)), Some(says)) => {
            assert!(matches!(told(&problems)[..], [("row_tag", said)] if said.starts_with(says)), "{problems}");
        }
        (put, _) => panic!("{put:?}"),
    }
}

#[tokio::test]
async fn an_activation_sends_a_query_that_is_there_and_needs_no_parameters() {
    let setup = Setup::new().with_orders().await;
    let sends =
        |query: &str| json!({"query": query, "destination": {"type": "files", "location": "o", "format": "csv"}});
    let problems = refusal(&setup, ResourceKind::Activations, "out", sends("all_orders")).await;
    assert_eq!(problems.to_string(), "query: there is no saved query all_orders");
    setup.put(ResourceKind::Queries, "orders_of", orders_of()).await.unwrap();
    let problems = refusal(&setup, ResourceKind::Activations, "out", sends("orders_of")).await;
    assert_eq!(
        problems.to_string(),
        "query: saved query orders_of has parameters; an activation sends one that has none"
    );
    let plain = json!({"database": "retail", "sql": "SELECT * FROM orders"});
    setup.put(ResourceKind::Queries, "all_orders", plain).await.unwrap();
    setup.put(ResourceKind::Activations, "out", sends("all_orders")).await.unwrap();
    let problems = refusal(&setup, ResourceKind::Queries, "all_orders", orders_of()).await;
    assert_eq!(problems.to_string(), "parameters: activation out sends this query, so it can have no parameters");
    let deleted = setup.catalog.delete(&setup.tenant, ResourceKind::Queries, "all_orders", Precondition::None).await;
    assert!(deleted.unwrap_err().to_string().contains("activations.out"));
}
