//! Looking things up, and what an outage of the store does to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use freshet_catalog::{Catalog, CatalogError, SNAPSHOT_MAX_AGE};
use freshet_model::ResourceKind;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{CutOff, Setup, buyers, orders_of, time};

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn look_ups_find_what_belongs_together() {
    let setup = Setup::new().with_orders().await;
    setup.put(ResourceKind::Tables, "also", crate::support::orders_table()).await.unwrap();
    let snapshot = setup.catalog.snapshot(&setup.tenant).await.unwrap();
    let stream = snapshot.stream("orders").unwrap();
    assert_eq!(snapshot.stream_by_id(&stream.id), Some(stream));
    let names = |tables: &[Arc<freshet_catalog::Table>]| -> Vec<String> {
        tables.iter().map(|table| table.name.to_string()).collect()
    };
    assert_eq!(names(snapshot.tables_of_stream("orders")), ["also", "orders"]);
    assert_eq!(names(snapshot.tables_of_database("retail")), ["also", "orders"]);
    assert!(snapshot.tables_of_stream("none").is_empty());
    let made_at = time("2026-06-15T00:00:00Z");
    setup.put_at(ResourceKind::Queries, "orders_of", orders_of(), made_at).await.unwrap();
    setup.put_at(ResourceKind::Indexes, "buyers", buyers(), made_at).await.unwrap();
    let snapshot = setup.catalog.snapshot(&setup.tenant).await.unwrap();
    let query = snapshot.query("orders_of").unwrap();
    assert_eq!((query.definition.database.as_str(), query.created_at, query.updated_at), ("retail", made_at, made_at));
    assert_eq!(snapshot.queries().collect::<Vec<_>>(), [query]);
    let index = snapshot.index("buyers").unwrap();
    assert_eq!(snapshot.index_by_id(&index.id), Some(index));
    assert_eq!((index.definition.id.as_ref(), index.created_at), (Some(&index.id), made_at));
    assert_eq!(snapshot.indexes().collect::<Vec<_>>(), [index]);
    assert!(snapshot.query("buyers").is_none() && snapshot.index("orders_of").is_none());
    let again = setup.catalog.snapshot(&setup.tenant).await.unwrap();
    assert!(Arc::ptr_eq(&snapshot, &again), "kept in memory");
}

#[tokio::test]
async fn a_change_is_seen_at_once_here_and_soon_elsewhere() {
    let setup = Setup::new().with_orders().await;
    let elsewhere = setup.other_catalog();
    assert!(elsewhere.snapshot(&setup.tenant).await.unwrap().stream("clicks").is_none());
    setup.put(ResourceKind::Streams, "clicks", json!({})).await.unwrap();
    assert!(setup.catalog.snapshot(&setup.tenant).await.unwrap().stream("clicks").is_some());
    let start = Instant::now();
    while elsewhere.snapshot(&setup.tenant).await.unwrap().stream("clicks").is_none() {
        assert!(start.elapsed() < DEADLINE, "never seen");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(start.elapsed() < SNAPSHOT_MAX_AGE + Duration::from_secs(5), "seen after {:?}", start.elapsed());
}

#[tokio::test]
async fn who_needs_a_young_snapshot_gets_none_that_an_outage_made_old() {
    let setup = Setup::new().with_orders().await;
    let store = Arc::new(CutOff {
        inner: Arc::clone(&setup.store),
        away: AtomicBool::new(false),
        refused: AtomicUsize::new(0),
    });
    let catalog = Catalog::new(Arc::clone(&store) as Arc<dyn freshet_store::Store>);
    let young = SNAPSHOT_MAX_AGE + Duration::from_millis(500);
    let start = Instant::now();
    catalog.snapshot_within(&setup.tenant, young).await.unwrap();
    store.away.store(true, Ordering::SeqCst);
    let refused = loop {
        assert!(start.elapsed() < DEADLINE, "served for ever");
        match catalog.snapshot_within(&setup.tenant, young).await {
            Ok(_) => sleep(Duration::from_millis(20)).await,
            Err(refused) => break refused,
        }
    };
    assert!(refused.is_temporary(), "{refused:?}");
    assert!(start.elapsed() >= young, "refused after {:?}", start.elapsed());
    assert!(catalog.snapshot(&setup.tenant).await.unwrap().stream("orders").is_some(), "others are served");
    store.away.store(false, Ordering::SeqCst);
    while catalog.snapshot_within(&setup.tenant, young).await.is_err() {
        assert!(start.elapsed() < DEADLINE, "never renewed");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_snapshot_serves_while_the_store_is_away_and_is_renewed_when_it_is_back() {
    let setup = Setup::new().with_orders().await;
    let store =
        Arc::new(CutOff { inner: Arc::clone(&setup.store), away: AtomicBool::new(true), refused: AtomicUsize::new(0) });
    let catalog = Catalog::new(Arc::clone(&store) as Arc<dyn freshet_store::Store>);

    let unknown = catalog.snapshot(&setup.tenant).await.unwrap_err();
    assert!(matches!(unknown, CatalogError::Store { .. }) && unknown.is_temporary(), "{unknown:?}");
    let asked = store.refused.load(Ordering::SeqCst);
    let unknown = catalog.snapshot(&setup.tenant).await.unwrap_err();
    assert!(matches!(unknown, CatalogError::Unavailable { .. }) && unknown.is_temporary(), "{unknown:?}");
    assert_eq!(store.refused.load(Ordering::SeqCst), asked, "a store that just failed is left alone for a moment");

    store.away.store(false, Ordering::SeqCst);
    let start = Instant::now();
    while catalog.snapshot(&setup.tenant).await.is_err() {
        assert!(start.elapsed() < DEADLINE, "never recovered");
        sleep(Duration::from_millis(20)).await;
    }

    store.away.store(true, Ordering::SeqCst);
    let start = Instant::now();
    while store.refused.load(Ordering::SeqCst) == asked {
        assert!(catalog.snapshot(&setup.tenant).await.unwrap().stream("orders").is_some());
        assert!(start.elapsed() < DEADLINE, "the store was never asked");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(catalog.snapshot(&setup.tenant).await.unwrap().stream("orders").is_some(), "what was known serves");
    let error = catalog.get(&setup.tenant, ResourceKind::Streams, "orders").await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    setup.put(ResourceKind::Streams, "clicks", json!({})).await.unwrap();
    store.away.store(false, Ordering::SeqCst);
    let start = Instant::now();
    while catalog.snapshot(&setup.tenant).await.unwrap().stream("clicks").is_none() {
        assert!(start.elapsed() < DEADLINE, "never renewed");
        sleep(Duration::from_millis(20)).await;
    }
}
