//! One resource at a time.

use freshet_catalog::{CatalogError, Change, ETag, MAX_RESOURCES, Precondition};
use freshet_model::{Definition, ResourceKind, StreamId, TenantId};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Setup, buyers, orders_of, orders_table, time};

#[tokio::test]
async fn a_resource_is_made_changed_left_alone_and_deleted() {
    let setup = Setup::new();
    let now = time("2026-06-14T00:00:00Z");
    let later = time("2026-06-15T00:00:00Z");
    let made = setup.put_at(ResourceKind::Databases, "retail", json!({"description": "a"}), now).await.unwrap();
    assert_eq!((made.change, made.resource.created_at, made.resource.updated_at), (Change::Created, now, now));

    let same = setup.put_at(ResourceKind::Databases, "retail", json!({"description": "a"}), later).await.unwrap();
    assert_eq!((same.change, &same.resource), (Change::Unchanged, &made.resource));

    let changed = setup.put_at(ResourceKind::Databases, "retail", json!({"description": "b"}), later).await.unwrap();
    assert_eq!(changed.change, Change::Changed);
    assert_eq!((changed.resource.created_at, changed.resource.updated_at), (now, later));
    assert_ne!(changed.resource.etag, made.resource.etag);
    let read = setup.catalog.get(&setup.tenant, ResourceKind::Databases, "retail").await.unwrap();
    assert_eq!(read.as_ref(), Some(&changed.resource));
    let listed = setup.catalog.list(&setup.tenant, ResourceKind::Databases).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&changed.resource));

    setup.catalog.delete(&setup.tenant, ResourceKind::Databases, "retail", Precondition::None).await.unwrap();
    assert_eq!(setup.catalog.get(&setup.tenant, ResourceKind::Databases, "retail").await.unwrap(), None);
    let again = setup.put_at(ResourceKind::Databases, "retail", json!({"description": "a"}), later).await.unwrap();
    assert!(![made.resource.etag, changed.resource.etag].contains(&again.resource.etag), "an etag came twice");
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let setup = Setup::new().with_orders().await;
    let other = TenantId::parse("acme-2").unwrap();
    for kind in ResourceKind::ALL {
        assert!(setup.catalog.list(&other, kind).await.unwrap().is_empty());
    }
    assert!(setup.catalog.snapshot(&other).await.unwrap().stream("orders").is_none());
    let definition = Definition::read(ResourceKind::Tables, "", &orders_table()).unwrap();
    let now = time("2026-06-14T00:00:00Z");
    let refused = setup
        .catalog
        .put(&other, ResourceKind::Tables, "orders", definition, Precondition::None, now)
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "refused: stream: there is no stream orders; databases[0]: there is no database retail"
    );
}

#[tokio::test]
async fn every_tenant_with_resources_is_known() {
    let setup = Setup::new();
    assert!(setup.catalog.tenants().await.unwrap().is_empty());
    let setup = setup.with_orders().await;
    let other = TenantId::parse("abc").unwrap();
    let definition = Definition::read(ResourceKind::Databases, "", &json!({})).unwrap();
    let now = time("2026-06-14T00:00:00Z");
    setup.catalog.put(&other, ResourceKind::Databases, "d", definition, Precondition::None, now).await.unwrap();
    assert_eq!(setup.catalog.tenants().await.unwrap(), [other, setup.tenant.clone()]);
}

#[tokio::test]
async fn a_stream_gets_an_id_and_keeps_it() {
    let setup = Setup::new();
    let id = |definition: &Definition| match definition {
        Definition::Stream(stream) => stream.id.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    let made = setup.put(ResourceKind::Streams, "orders", json!({})).await.unwrap().resource;
    let changed = setup.put(ResourceKind::Streams, "orders", json!({"shards": 4})).await.unwrap().resource;
    assert_eq!(id(&changed.definition), id(&made.definition));
    let named =
        setup.put(ResourceKind::Streams, "orders", json!({"id": id(&made.definition), "shards": 4})).await.unwrap();
    assert_eq!(named.change, Change::Unchanged);

    let asked = setup.put(ResourceKind::Streams, "clicks", json!({"id": "is-2hzqsgX1E"})).await.unwrap().resource;
    assert_eq!(id(&asked.definition), StreamId::parse("is-2hzqsgX1E").unwrap());
    let refused = setup.put(ResourceKind::Streams, "clicks", json!({"id": "is-000000000"})).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "refused: id: a stream keeps its id, which is is-2hzqsgX1E; leave id out, or make another stream"
    );
    let refused = setup.put(ResourceKind::Streams, "views", json!({"id": "is-2hzqsgX1E"})).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "refused: id: is-2hzqsgX1E is the id of stream clicks already; leave id out to get one"
    );
}

#[tokio::test]
async fn an_index_gets_an_id_and_keeps_it() {
    let setup = Setup::new().with_orders().await;
    let id = |definition: &Definition| match definition {
        Definition::Index(index) => index.id.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    let made = setup.put(ResourceKind::Indexes, "buyers", buyers()).await.unwrap().resource;
    assert!(id(&made.definition).as_str().starts_with("ix-"), "{made:?}");
    let mut described = buyers();
    described["description"] = json!("who bought");
    let changed = setup.put(ResourceKind::Indexes, "buyers", described).await.unwrap().resource;
    assert_eq!(id(&changed.definition), id(&made.definition));

    let mut asked = buyers();
    asked["id"] = json!("legacy_1");
    let refused = setup.put(ResourceKind::Indexes, "buyers", asked.clone()).await.unwrap_err();
    assert!(refused.to_string().starts_with("refused: id: a profile index keeps its id, which is ix-"), "{refused}");
    let other = setup.put(ResourceKind::Indexes, "others", asked.clone()).await.unwrap().resource;
    assert_eq!(id(&other.definition).as_str(), "legacy_1");
    let refused = setup.put(ResourceKind::Indexes, "third", asked).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "refused: id: legacy_1 is the id of profile index others already; leave id out to get one"
    );
}

#[tokio::test]
async fn a_stream_keeps_its_format() {
    let setup = Setup::new();
    setup.put(ResourceKind::Streams, "feed", json!({"format": "xml"})).await.unwrap();
    let refused = setup.put(ResourceKind::Streams, "feed", json!({})).await.unwrap_err();
    let says = "refused: format: a stream keeps its format, which is xml; make another stream";
    assert_eq!(refused.to_string(), says);
}

#[rstest]
#[case::names_of_streams(ResourceKind::Streams, "or ders", json!({}), "is not a name")]
#[case::names_of_tables(ResourceKind::Tables, "or-ders", orders_table(), "is not a table name")]
#[case::failed_tables(ResourceKind::Tables, "orders_failed", orders_table(), "not ending in _failed")]
#[case::ids_of_keys(ResourceKind::ApiKeys, "ak-000000000000", json!({"scopes": ["admin"]}), "has the form of a key's id")]
#[case::case_of_names(
    ResourceKind::Tables,
    "Orders",
    orders_table(),
    "there is orders already; names differ by more than case"
)]
#[tokio::test]
async fn names_are_checked(
    #[case] kind: ResourceKind,
    #[case] name: &str,
    #[case] definition: Value,
    #[case] says: &str,
) {
    let setup = Setup::new().with_orders().await;
    let refused = setup.put(kind, name, definition).await.unwrap_err();
    assert!(matches!(&refused, CatalogError::Refused(problems) if problems.0.len() == 1), "{refused:?}");
    assert!(refused.to_string().contains(says), "{refused}");
}

#[tokio::test]
async fn a_name_of_other_case_is_not_there() {
    let setup = Setup::new().with_orders().await;
    assert_eq!(setup.catalog.get(&setup.tenant, ResourceKind::Tables, "ORDERS").await.unwrap(), None);
    let refused =
        setup.catalog.delete(&setup.tenant, ResourceKind::Tables, "ORDERS", Precondition::None).await.unwrap_err();
    assert_eq!(refused.to_string(), "there is no table \"ORDERS\"");
}

#[tokio::test]
async fn every_wrong_reference_is_named_with_the_nearest_right_one() {
    let setup = Setup::new().with_orders().await;
    let mut table = orders_table();
    table["stream"] = json!("oders");
    table["databases"] = json!(["retail", "retial", "zzz"]);
    let CatalogError::Refused(problems) = setup.put(ResourceKind::Tables, "t", table).await.unwrap_err() else {
        panic!("not refused");
    };
    assert_eq!(
        serde_json::to_value(&problems).unwrap(),
        json!([
            {"field": "stream", "message": "there is no stream oders; did you mean \"orders\"?"},
            {"field": "databases[1]", "message": "there is no database retial; did you mean \"retail\"?"},
            {"field": "databases[2]", "message": "there is no database zzz"},
        ])
    );
    let key = json!({"scopes": ["streams:write"], "streams": ["order"], "databases": ["Retail"]});
    let CatalogError::Refused(problems) = setup.put(ResourceKind::ApiKeys, "k", key).await.unwrap_err() else {
        panic!("not refused");
    };
    assert_eq!(
        serde_json::to_value(&problems).unwrap(),
        json!([
            {"field": "streams[0]", "message": "there is no stream order; did you mean \"orders\"?"},
            {"field": "databases[0]", "message": "there is no database Retail; did you mean \"retail\"?"},
        ])
    );
    setup.put(ResourceKind::Indexes, "buyers", buyers()).await.unwrap();
    let key = json!({"scopes": ["profiles:read"], "indexes": ["buyers", "byers"]});
    let refused = setup.put(ResourceKind::ApiKeys, "k", key).await.unwrap_err();
    let says = "refused: indexes[1]: there is no profile index byers; did you mean \"buyers\"?";
    assert_eq!(refused.to_string(), says);
    for (kind, mut definition) in [(ResourceKind::Queries, orders_of()), (ResourceKind::Indexes, buyers())] {
        definition["database"] = json!("retial");
        let refused = setup.put(kind, "q", definition).await.unwrap_err();
        let says = "refused: database: there is no database retial; did you mean \"retail\"?";
        assert_eq!(refused.to_string(), says);
    }
}

#[tokio::test]
async fn what_others_refer_to_is_not_deleted() {
    let setup = Setup::new().with_orders().await;
    setup
        .put(ResourceKind::ApiKeys, "shop", json!({"scopes": ["streams:write"], "streams": ["orders"]}))
        .await
        .unwrap();
    let refused =
        setup.catalog.delete(&setup.tenant, ResourceKind::Streams, "orders", Precondition::None).await.unwrap_err();
    let CatalogError::InUse { referrers, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(referrers, &["tables.orders", "api-keys.shop"]);
    assert_eq!(refused.to_string(), "stream \"orders\" can't be deleted: tables.orders, api-keys.shop refer to it");
    setup.put(ResourceKind::Queries, "orders_of", orders_of()).await.unwrap();
    setup.put(ResourceKind::Indexes, "buyers", buyers()).await.unwrap();
    let key = json!({"scopes": ["profiles:read"], "indexes": ["buyers"]});
    setup.put(ResourceKind::ApiKeys, "centre", key).await.unwrap();
    let database = setup.catalog.delete(&setup.tenant, ResourceKind::Databases, "retail", Precondition::None);
    assert_eq!(
        database.await.unwrap_err().to_string(),
        "database \"retail\" can't be deleted: tables.orders, queries.orders_of, indexes.buyers refer to it"
    );
    let index = setup.catalog.delete(&setup.tenant, ResourceKind::Indexes, "buyers", Precondition::None);
    assert_eq!(
        index.await.unwrap_err().to_string(),
        "profile index \"buyers\" can't be deleted: api-keys.centre refers to it"
    );
    for (kind, name) in [
        (ResourceKind::ApiKeys, "centre"),
        (ResourceKind::Indexes, "buyers"),
        (ResourceKind::Queries, "orders_of"),
        (ResourceKind::ApiKeys, "shop"),
        (ResourceKind::Tables, "orders"),
        (ResourceKind::Streams, "orders"),
        (ResourceKind::Databases, "retail"),
    ] {
        setup.catalog.delete(&setup.tenant, kind, name, Precondition::None).await.unwrap();
    }
}

#[tokio::test]
async fn preconditions_hold() {
    let setup = Setup::new();
    let now = time("2026-06-14T00:00:00Z");
    let put = |description: &str, precondition: Precondition| {
        let definition = Definition::read(ResourceKind::Databases, "", &json!({"description": description})).unwrap();
        setup.catalog.put(&setup.tenant, ResourceKind::Databases, "retail", definition, precondition, now)
    };
    let unknown: ETag = "\"4711\"".parse().unwrap();
    let refused = put("a", Precondition::IfMatch(unknown)).await.unwrap_err();
    assert_eq!(refused.to_string(), "database \"retail\" is not there");
    let first = put("a", Precondition::IfAbsent).await.unwrap().resource;
    assert_eq!(put("a", Precondition::IfAbsent).await.unwrap_err().to_string(), "database \"retail\" exists already");
    let second = put("b", Precondition::IfMatch(first.etag)).await.unwrap().resource;
    let refused = put("c", Precondition::IfMatch(first.etag)).await.unwrap_err();
    assert_eq!(refused.to_string(), "database \"retail\" has changed since it was read");
    let stale = Precondition::IfMatch(first.etag);
    let refused = setup.catalog.delete(&setup.tenant, ResourceKind::Databases, "retail", stale).await.unwrap_err();
    assert!(matches!(refused, CatalogError::PreconditionFailed { .. }), "{refused:?}");
    let current = Precondition::IfMatch(second.etag);
    setup.catalog.delete(&setup.tenant, ResourceKind::Databases, "retail", current).await.unwrap();
}

#[tokio::test]
async fn a_key_made_anew_under_its_name_is_another() {
    let setup = Setup::new();
    let definition = json!({"scopes": ["admin"]});
    let first = setup.put(ResourceKind::ApiKeys, "ops", definition.clone()).await.unwrap().resource;
    let changed = setup.put(ResourceKind::ApiKeys, "ops", json!({"scopes": ["tables:query"]})).await.unwrap().resource;
    assert_eq!(changed.key_id, first.key_id);
    setup.catalog.delete(&setup.tenant, ResourceKind::ApiKeys, "ops", Precondition::None).await.unwrap();
    let second = setup.put(ResourceKind::ApiKeys, "ops", definition).await.unwrap().resource;
    assert!(second.key_id.is_some() && second.key_id != first.key_id);
}

#[tokio::test]
async fn the_number_of_resources_of_a_kind_is_bounded() {
    let setup = Setup::new();
    for batch in 0..=MAX_RESOURCES / 90 {
        let names = (batch * 90..(batch + 1) * 90).take_while(|number| *number < MAX_RESOURCES);
        let databases: serde_json::Map<String, Value> = names.map(|number| (format!("d{number}"), json!({}))).collect();
        let file = freshet_catalog::ResourceFile::from_json(&json!({"databases": databases})).unwrap();
        let plan = setup.catalog.plan(&setup.tenant, &file, false, time("2026-06-14T00:00:00Z")).await.unwrap();
        setup.catalog.apply(&plan).await.unwrap();
    }
    assert_eq!(setup.catalog.list(&setup.tenant, ResourceKind::Databases).await.unwrap().len(), MAX_RESOURCES);
    let refused = setup.put(ResourceKind::Databases, "one-more", json!({})).await.unwrap_err();
    assert_eq!(refused.to_string(), "refused: a tenant has at most 1000 databases");
    setup.put(ResourceKind::Databases, "d1", json!({"description": "changes still go"})).await.unwrap();
}

#[tokio::test]
async fn a_definition_that_does_not_fit_is_refused_with_its_size() {
    let setup = Setup::new().with_orders().await;
    let mut table = orders_table();
    let columns = (0..1_990).map(|at| json!({"name": format!("c{at}_{}", "x".repeat(240)), "type": "string"}));
    table["columns"].as_array_mut().unwrap().extend(columns);
    let refused = setup.put(ResourceKind::Tables, "wide", table).await.unwrap_err();
    assert!(refused.to_string().ends_with("bytes to keep, and at most 380000 fit; shorten it"), "{refused}");
}
