//! Sets of resources, all or nothing.

use freshet_catalog::{CatalogError, ResourceFile};
use freshet_model::ResourceKind;
use serde_json::{Map, Value, json};

use crate::support::{Setup, orders_table, time};

const NOW: &str = "2026-06-14T00:00:00Z";

fn file(document: &Value) -> ResourceFile {
    ResourceFile::from_json(document).unwrap()
}

fn shop() -> Value {
    json!({
        "tenant": "acme",
        "streams": {"orders": {"id": "is-2hzqsgX1E", "rate_limit": 5000}},
        "databases": {"retail": {}},
        "tables": {"orders": orders_table()},
        "api-keys": {"shop": {"scopes": ["streams:write"], "streams": ["orders"]}},
    })
}

#[tokio::test]
async fn a_plan_says_what_happens_and_applying_it_does_just_that() {
    let setup = Setup::new();
    let first = setup.catalog.plan(&setup.tenant, &file(&shop()), false, time(NOW)).await.unwrap();
    assert_eq!(
        serde_json::to_value(&first).unwrap(),
        json!({"tenant": "acme", "resources": [
            {"kind": "streams", "name": "orders", "action": "create"},
            {"kind": "databases", "name": "retail", "action": "create"},
            {"kind": "tables", "name": "orders", "action": "create"},
            {"kind": "api-keys", "name": "shop", "action": "create"},
        ]})
    );
    assert!(
        setup.catalog.list(&setup.tenant, ResourceKind::Streams).await.unwrap().is_empty(),
        "a plan changes nothing"
    );
    setup.catalog.apply(&first).await.unwrap();

    let again = setup.catalog.plan(&setup.tenant, &file(&shop()), false, time(NOW)).await.unwrap();
    assert!(!again.changes_something() && !again.is_refused());

    let mut changed = shop();
    changed["streams"]["orders"] = json!({"id": "is-2hzqsgX1E", "rate_limit": 6000, "shards": 2});
    changed["tables"]["orders"]["columns"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "total", "type": "decimal(9,2)"}));
    changed["tables"]["orders"]["start"] = json!("beginning");
    changed["tables"]["orders"]["delete_when"] = json!("op = 'D'");
    changed.as_object_mut().unwrap().remove("databases");
    changed.as_object_mut().unwrap().remove("api-keys");
    let second = setup.catalog.plan(&setup.tenant, &file(&changed), false, time(NOW)).await.unwrap();
    assert_eq!(
        serde_json::to_value(&second).unwrap(),
        json!({"tenant": "acme", "resources": [
            {"kind": "streams", "name": "orders", "action": "change", "details": ["rate_limit: 5000 → 6000", "shards: 1 → 2"]},
            {"kind": "tables", "name": "orders", "action": "change", "details": [
                "columns: adds total decimal(9,2)",
                "delete_when: not set → \"op = 'D'\"",
                "start: \"tail\" → \"beginning\" (when the table is next made active)",
            ]},
        ]})
    );
    setup.catalog.apply(&second).await.unwrap();
    let snapshot = setup.catalog.snapshot(&setup.tenant).await.unwrap();
    assert_eq!(snapshot.stream("orders").unwrap().definition.rate_limit, Some(6000));
    assert!(snapshot.database("retail").is_some(), "nothing is deleted unless asked for");
}

#[tokio::test]
async fn a_plan_names_the_tables_of_a_database_that_change() {
    let setup = Setup::new();
    let database = |external: Value, tables: Value| {
        file(&json!({"databases": {"retail": {"external": external, "tables": tables}}}))
    };
    let table = |name: &str, sql: &str| json!({"name": name, "sql": sql});
    let external = |name: &str| json!({"name": name, "location": name, "format": "csv"});
    let before = database(json!([external("a")]), json!([table("b", "SELECT 1"), table("c", "SELECT 2")]));
    let plan = setup.catalog.plan(&setup.tenant, &before, false, time(NOW)).await.unwrap();
    setup.catalog.apply(&plan).await.unwrap();
    let details = async |after: ResourceFile| {
        let plan = setup.catalog.plan(&setup.tenant, &after, false, time(NOW)).await.unwrap();
        plan.resources[0].details.clone()
    };
    let changed = database(json!([]), json!([table("d", "SELECT 1"), table("c", "SELECT 3")]));
    let lines = ["external: removes a", "tables: changes c", "tables: adds d", "tables: removes b"];
    assert_eq!(details(changed).await, lines);
    let reordered = database(json!([external("a")]), json!([table("c", "SELECT 2"), table("b", "SELECT 1")]));
    assert_eq!(details(reordered).await, ["tables: in another order"]);
}

#[tokio::test]
async fn one_refused_resource_refuses_all_and_every_reason_is_given() {
    let setup = Setup::new();
    let mut document = shop();
    document["tables"]["orders"]["stream"] = json!("oders");
    document["tables"]["clicks"] =
        json!({"stream": "clicks", "mode": "append", "columns": [{"name": "x", "type": "json"}]});
    let plan = setup.catalog.plan(&setup.tenant, &file(&document), false, time(NOW)).await.unwrap();
    assert!(plan.is_refused());
    let refused: Vec<Value> = serde_json::to_value(&plan).unwrap()["resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"] == "refuse")
        .cloned()
        .collect();
    assert_eq!(
        Value::from(refused),
        json!([
            {"kind": "tables", "name": "clicks", "action": "refuse", "problems": [
                {"field": "tables.clicks.stream", "message": "there is no stream clicks"}]},
            {"kind": "tables", "name": "orders", "action": "refuse", "problems": [
                {"field": "tables.orders.stream", "message": "there is no stream oders; did you mean \"orders\"?"}]},
        ])
    );
    let error = setup.catalog.apply(&plan).await.unwrap_err();
    assert!(matches!(&error, CatalogError::Refused(problems) if problems.0.len() == 2), "{error:?}");
    assert!(setup.catalog.list(&setup.tenant, ResourceKind::Streams).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_plan_made_before_another_change_is_not_applied() {
    let setup = Setup::new();
    let plan = setup.catalog.plan(&setup.tenant, &file(&shop()), false, time(NOW)).await.unwrap();
    setup.put(ResourceKind::Databases, "other", json!({})).await.unwrap();
    let error = setup.catalog.apply(&plan).await.unwrap_err();
    assert!(matches!(error, CatalogError::Conflict) && error.is_temporary(), "{error:?}");
    assert!(setup.catalog.list(&setup.tenant, ResourceKind::Streams).await.unwrap().is_empty());
    let plan = setup.catalog.plan(&setup.tenant, &file(&shop()), false, time(NOW)).await.unwrap();
    setup.catalog.apply(&plan).await.unwrap();
}

#[tokio::test]
async fn pruning_deletes_what_the_file_lacks_but_keys_only_where_it_names_keys() {
    let setup = Setup::new();
    let plan = setup.catalog.plan(&setup.tenant, &file(&shop()), false, time(NOW)).await.unwrap();
    setup.catalog.apply(&plan).await.unwrap();
    setup.put(ResourceKind::ApiKeys, "ops", json!({"scopes": ["admin"]})).await.unwrap();

    let only_stream = json!({"streams": {"orders": {}}});
    let plan = setup.catalog.plan(&setup.tenant, &file(&only_stream), true, time(NOW)).await.unwrap();
    assert_eq!(
        serde_json::to_value(&plan).unwrap()["resources"],
        json!([
            {"kind": "streams", "name": "orders", "action": "change", "details": ["rate_limit: 5000 → not set"]},
            {"kind": "databases", "name": "retail", "action": "delete"},
            {"kind": "tables", "name": "orders", "action": "delete"},
        ])
    );
    setup.catalog.apply(&plan).await.unwrap();
    let snapshot = setup.catalog.snapshot(&setup.tenant).await.unwrap();
    assert_eq!((snapshot.tables().count(), snapshot.databases().count(), snapshot.api_keys().count()), (0, 0, 2));

    let other_stream = json!({"streams": {"clicks": {}}});
    let plan = setup.catalog.plan(&setup.tenant, &file(&other_stream), true, time(NOW)).await.unwrap();
    assert_eq!(
        plan.all_problems()[0].message,
        "can't be deleted while others refer to it: api-keys.shop",
        "the key stays, so its stream does"
    );
    let keys = json!({"streams": {"clicks": {}}, "api-keys": {"ops": {"scopes": ["admin"]}}});
    let plan = setup.catalog.plan(&setup.tenant, &file(&keys), true, time(NOW)).await.unwrap();
    setup.catalog.apply(&plan).await.unwrap();
    let snapshot = setup.catalog.snapshot(&setup.tenant).await.unwrap();
    let left: Vec<&str> = snapshot.api_keys().map(|key| key.name.as_str()).collect();
    assert_eq!((left, snapshot.streams().count()), (vec!["ops"], 1));
}

#[tokio::test]
async fn a_file_of_another_tenant_is_refused() {
    let setup = Setup::new();
    let plan = setup.catalog.plan(&setup.tenant, &file(&json!({"tenant": "other"})), false, time(NOW)).await.unwrap();
    assert_eq!(
        serde_json::to_value(&plan).unwrap()["problems"],
        json!([{"field": "tenant", "message": "the file is for tenant other, and this call for acme"}])
    );
    assert!(plan.is_refused());
}

#[tokio::test]
async fn two_streams_of_one_file_do_not_get_one_id() {
    let setup = Setup::new();
    let document = json!({"streams": {"a": {"id": "is-2hzqsgX1E"}, "b": {"id": "is-2hzqsgX1E"}}});
    let plan = setup.catalog.plan(&setup.tenant, &file(&document), false, time(NOW)).await.unwrap();
    let paths: Vec<String> = plan.all_problems().into_iter().map(|problem| problem.path).collect();
    assert_eq!(paths, ["streams.a.id", "streams.b.id"]);
}

#[tokio::test]
async fn an_id_moves_from_a_deleted_stream_to_a_new_one() {
    let setup = Setup::new();
    setup.put(ResourceKind::Streams, "a", json!({"id": "is-2hzqsgX1E"})).await.unwrap();
    let document = json!({"streams": {"b": {"id": "is-2hzqsgX1E"}}});
    let plan = setup.catalog.plan(&setup.tenant, &file(&document), true, time(NOW)).await.unwrap();
    setup.catalog.apply(&plan).await.unwrap();
    let snapshot = setup.catalog.snapshot(&setup.tenant).await.unwrap();
    let found = snapshot.stream_by_id(&"is-2hzqsgX1E".parse().unwrap()).unwrap();
    assert_eq!(found.name.as_str(), "b");
}

#[tokio::test]
async fn more_than_fits_one_transaction_is_refused_before_anything_is_written() {
    let setup = Setup::new();
    let streams = |count: usize| -> Value {
        let streams: Map<String, Value> = (0..count).map(|number| (format!("s{number}"), json!({}))).collect();
        json!({"streams": streams})
    };
    let plan = setup.catalog.plan(&setup.tenant, &file(&streams(99)), false, time(NOW)).await.unwrap();
    let error = setup.catalog.apply(&plan).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "refused: at most 98 resources are created, changed and deleted at once, and these are 99; apply them in several files"
    );
    let plan = setup.catalog.plan(&setup.tenant, &file(&streams(98)), false, time(NOW)).await.unwrap();
    setup.catalog.apply(&plan).await.unwrap();
    assert_eq!(setup.catalog.list(&setup.tenant, ResourceKind::Streams).await.unwrap().len(), 98);
}
