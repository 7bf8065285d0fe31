//! What may change about a table, and from when on it takes records.

use freshet_catalog::{CatalogError, Change, Precondition};
use freshet_model::{Definition, ResourceKind};
use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Setup, orders_table, time};

#[tokio::test]
async fn columns_are_added_at_the_end_and_keep_their_order() {
    let setup = Setup::new().with_orders().await;
    let mut table = orders_table();
    table["columns"] = json!([
        {"name": "total", "type": "decimal(18,2)"},
        {"name": "city", "type": "string", "path": "customer.city"},
        {"name": "order_id", "type": "string"},
        {"name": "at", "type": "timestamp", "required": true},
    ]);
    let outcome = setup.put(ResourceKind::Tables, "orders", table.clone()).await.unwrap();
    assert_eq!(outcome.change, Change::Changed);
    let Definition::Table(definition) = &outcome.resource.definition else { panic!("{outcome:?}") };
    let names: Vec<&str> = definition.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["order_id", "at", "city", "total"]);
    assert_eq!(setup.put(ResourceKind::Tables, "orders", table).await.unwrap().change, Change::Unchanged);
}

const WAY_OUT: &str =
    "ake a new table on the same stream, with start = \"beginning\" to fill it with what the queue still has";

#[rstest]
#[case::stream(|table: &mut Value| table["stream"] = json!("clicks"), "stream", "the stream of a table can't change; it is orders. Make a new table on clicks")]
#[case::mode(|table: &mut Value| { table["mode"] = json!("append"); table["key"] = json!([]); table["order_by"] = Value::Null; }, "mode", "can't change in place; it is \"upsert\"")]
#[case::key(|table: &mut Value| table["key"] = json!(["order_id", "at"]), "key", "can't change in place; it is [\"order_id\"]")]
#[case::order(|table: &mut Value| table["order_by"] = Value::Null, "order_by", "can't change in place; it is \"at\"")]
#[case::merge(|table: &mut Value| table["merge"] = json!("patch"), "merge", "can't change in place; it is \"replace\"")]
#[case::removed(|table: &mut Value| { table["columns"].as_array_mut().unwrap().pop(); }, "columns", "column city can't be removed")]
#[case::column_type(|table: &mut Value| table["columns"][2]["type"] = json!("json"), "columns[2].type", "of column city can't change in place; it is string")]
#[case::required(|table: &mut Value| table["columns"][2]["required"] = json!(true), "columns[2].required", "of column city can't change in place; it is false")]
#[case::path(|table: &mut Value| table["columns"][2]["path"] = Value::Null, "columns[2].path", "of column city can't change in place; it is \"customer.city\"")]
#[case::added_required(|table: &mut Value| table["columns"].as_array_mut().unwrap().push(json!({"name": "x", "type": "json", "required": true})), "columns[3].required", "column x is added to a table with rows, which have no value for it; leave required out")]
#[tokio::test]
async fn everything_else_is_refused_with_the_way_out(
    #[case] change: fn(&mut Value),
    #[case] path: &str,
    #[case] says: &str,
) {
    let setup = Setup::new().with_orders().await;
    setup.put(ResourceKind::Streams, "clicks", json!({})).await.unwrap();
    let mut table = orders_table();
    change(&mut table);
    let refused = setup.put(ResourceKind::Tables, "orders", table).await.unwrap_err();
    let CatalogError::Refused(problems) = &refused else { panic!("{refused:?}") };
    let problem = problems.0.iter().find(|problem| problem.path == path).unwrap_or_else(|| panic!("{refused}"));
    assert!(problem.message.starts_with(says), "{}", problem.message);
    let names_the_way = ["ake a new table on", "leave required out"].iter().any(|way| problem.message.contains(way));
    assert!(names_the_way, "{}", problem.message);
    if problem.message.contains("in place") {
        assert!(problem.message.ends_with(WAY_OUT), "{}", problem.message);
    }
    let unchanged = setup.put(ResourceKind::Tables, "orders", orders_table()).await.unwrap();
    assert_eq!(unchanged.change, Change::Unchanged);
}

#[tokio::test]
async fn which_records_delete_may_change_and_is_kept() {
    let setup = Setup::new().with_orders().await;
    let mut table = orders_table();
    for delete_when in [json!("op = 'D'"), json!("op IN ('D', 'X') OR city = 'nowhere'"), Value::Null] {
        table["delete_when"] = delete_when.clone();
        let outcome = setup.put(ResourceKind::Tables, "orders", table.clone()).await.unwrap();
        assert_eq!(outcome.change, Change::Changed);
        let read = setup.other_catalog().get(&setup.tenant, ResourceKind::Tables, "orders").await.unwrap().unwrap();
        let Definition::Table(definition) = read.definition else { panic!("{outcome:?}") };
        assert_eq!(json!(definition.delete_when), delete_when);
        assert_eq!(setup.put(ResourceKind::Tables, "orders", table.clone()).await.unwrap().change, Change::Unchanged);
    }
}

#[tokio::test]
async fn a_table_that_merges_by_patch_stays_so() {
    let setup = Setup::new().with_orders().await;
    let mut table = orders_table();
    table["merge"] = json!("patch");
    setup.put(ResourceKind::Tables, "patched", table.clone()).await.unwrap();
    table["columns"].as_array_mut().unwrap().push(json!({"name": "total", "type": "double"}));
    assert_eq!(setup.put(ResourceKind::Tables, "patched", table).await.unwrap().change, Change::Changed);
    let refused = setup.put(ResourceKind::Tables, "patched", orders_table()).await.unwrap_err().to_string();
    assert!(refused.contains("merge: can't change in place; it is \"patch\""), "{refused}");
}

#[rstest]
#[case::tail("tail", Some("2026-06-14T10:00:00.123456Z"))]
#[case::beginning("beginning", None)]
#[case::time("2026-01-01T00:00:00Z", Some("2026-01-01T00:00:00Z"))]
#[tokio::test]
async fn a_start_is_resolved_when_the_table_is_made(#[case] start: &str, #[case] expected: Option<&str>) {
    let setup = Setup::new().with_orders().await;
    let mut table = orders_table();
    table["start"] = json!(start);
    let made = setup.put_at(ResourceKind::Tables, "t", table, time("2026-06-14T10:00:00.123456789Z")).await.unwrap();
    assert_eq!(made.resource.start_at, expected.map(time));
    let snapshot = setup.catalog.snapshot(&setup.tenant).await.unwrap();
    assert_eq!(snapshot.table("t").unwrap().start_at, expected.map(time));
}

#[tokio::test]
async fn a_start_is_resolved_again_on_activation_only() {
    let setup = Setup::new().with_orders().await;
    let put = |state: &str, start: &str, day: i8| {
        let mut table = orders_table();
        table["state"] = json!(state);
        table["start"] = json!(start);
        let now: Timestamp = time(&format!("2026-06-{day:02}T00:00:00Z"));
        let setup = &setup;
        async move { setup.put_at(ResourceKind::Tables, "t", table, now).await.unwrap().resource.start_at }
    };
    let first = Some(time("2026-06-01T00:00:00Z"));
    assert_eq!(put("active", "tail", 1).await, first);
    assert_eq!(put("active", "beginning", 2).await, first, "a new start waits for the next activation");
    assert_eq!(put("inactive", "beginning", 3).await, first);
    assert_eq!(put("active", "beginning", 4).await, None);
    assert_eq!(put("inactive", "tail", 5).await, None);
    assert_eq!(put("active", "tail", 6).await, Some(time("2026-06-06T00:00:00Z")));
}

#[tokio::test]
async fn a_table_made_anew_continues_the_rows_of_the_deleted_one() {
    let setup = Setup::new().with_orders().await;
    let delete = || setup.catalog.delete(&setup.tenant, ResourceKind::Tables, "orders", Precondition::None);
    delete().await.unwrap();
    assert_eq!(setup.catalog.get(&setup.tenant, ResourceKind::Tables, "orders").await.unwrap(), None);
    assert!(setup.catalog.list(&setup.tenant, ResourceKind::Tables).await.unwrap().is_empty());
    assert!(setup.catalog.snapshot(&setup.tenant).await.unwrap().table("orders").is_none());
    assert!(matches!(delete().await.unwrap_err(), CatalogError::NotFound { .. }));

    let mut other = orders_table();
    other["columns"][0]["type"] = json!("integer");
    let refused = setup.put(ResourceKind::Tables, "orders", other).await.unwrap_err();
    let says = "refused: columns[0].type: the rows of a deleted table of this name are still there; of column order_id can't change in place";
    assert!(refused.to_string().starts_with(says), "{refused}");

    let mut wider = orders_table();
    wider["columns"].as_array_mut().unwrap().push(json!({"name": "total", "type": "double"}));
    let now = time("2026-07-01T00:00:00Z");
    let made = setup.put_at(ResourceKind::Tables, "orders", wider, now).await.unwrap();
    assert_eq!((made.change, made.resource.created_at, made.resource.start_at), (Change::Created, now, Some(now)));
    setup.catalog.delete(&setup.tenant, ResourceKind::Streams, "orders", Precondition::None).await.unwrap_err();
    delete().await.unwrap();
    setup.catalog.delete(&setup.tenant, ResourceKind::Streams, "orders", Precondition::None).await.unwrap();
}
