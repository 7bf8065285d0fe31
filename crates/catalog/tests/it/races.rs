//! Several processes change one tenant at once.

use std::sync::Arc;

use freshet_catalog::{Catalog, CatalogError, Precondition};
use freshet_model::{Definition, ResourceKind};
use serde_json::json;

use crate::support::{Setup, time};

/// A table is put while its stream is deleted, over and over, from two processes: never is there a table without its
/// stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_never_dangles() {
    let setup = Setup::new();
    let (left, right) = (setup.other_catalog(), setup.other_catalog());
    let now = time("2026-06-14T00:00:00Z");
    for round in 0..25 {
        let name = format!("s{round}");
        setup.put(ResourceKind::Streams, &name, json!({})).await.unwrap();
        let table = json!({"stream": name, "mode": "append", "columns": [{"name": "x", "type": "json"}]});
        let table = Definition::read(ResourceKind::Tables, "", &table).unwrap();
        let (put, deleted) = tokio::join!(
            left.put(&setup.tenant, ResourceKind::Tables, &name, table, Precondition::None, now),
            right.delete(&setup.tenant, ResourceKind::Streams, &name, Precondition::None),
        );
        let stream = setup.catalog.get(&setup.tenant, ResourceKind::Streams, &name).await.unwrap();
        let table = setup.catalog.get(&setup.tenant, ResourceKind::Tables, &name).await.unwrap();
        assert_eq!((put.is_ok(), deleted.is_ok()), (table.is_some(), stream.is_none()));
        assert!(table.is_none() || stream.is_some(), "round {round}: a table without its stream");
        assert_ne!(put.is_ok(), deleted.is_ok(), "one of the two succeeds: {put:?} {deleted:?}");
    }
}

/// Many callers of two processes put different resources at once: all are there afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost() {
    let setup = Setup::new();
    let catalogs = [Arc::new(setup.other_catalog()), Arc::new(setup.other_catalog())];
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..40 {
        let catalog: Arc<Catalog> = Arc::clone(&catalogs[number % 2]);
        let tenant = setup.tenant.clone();
        callers.spawn(async move {
            let definition = Definition::read(ResourceKind::Databases, "", &json!({})).unwrap();
            let now = time("2026-06-14T00:00:00Z");
            loop {
                let name = format!("d{number}");
                let put = catalog.put(
                    &tenant,
                    ResourceKind::Databases,
                    &name,
                    definition.clone(),
                    Precondition::IfAbsent,
                    now,
                );
                match put.await {
                    Err(CatalogError::Conflict) => {}
                    other => return other,
                }
            }
        });
    }
    while let Some(outcome) = callers.join_next().await {
        outcome.unwrap().unwrap();
    }
    let databases = setup.catalog.list(&setup.tenant, ResourceKind::Databases).await.unwrap();
    assert_eq!(databases.len(), 40);
    let mut etags: Vec<String> = databases.iter().map(|database| database.etag.to_string()).collect();
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), 40, "each change has its own etag");
}
