//! How tables and streams stand.

use freshet_model::{PayloadFormat, Record, RecordHeaders, RequestId, StreamId};
use freshet_queue::Shard;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::{Setup, now};

#[tokio::test]
async fn what_is_queued_and_not_written_shows_as_lag() {
    let setup = Setup::new().await.with_orders().await;
    let stream: StreamId = "is-2hzqsgX1E".parse().unwrap();
    let shard = Shard { tenant: setup.tenant.clone(), stream: stream.clone(), shard: 0 };
    let partition = shard.partition(4);
    let table = |lag: u64| {
        json!({
            "name": "orders", "stream": "orders", "state": "active", "rows": 0, "files": 0, "bytes": 0,
            "failed_rows": 0, "ignored_fields": 0, "freshness_lag_ms": lag,
        })
    };
    let expected = |high: u64, lag: u64| -> Value {
        let partitions = json!([{"partition": partition, "low": 0, "high": high, "written": 0}]);
        json!({"tables": [table(lag)], "streams": [{"name": "orders", "id": stream, "partitions": partitions}]})
    };
    assert_eq!(setup.get("/admin/v0/status").await.body, expected(0, 0));

    let record = |seconds: i64| Record {
        headers: RecordHeaders {
            tenant: setup.tenant.clone(),
            stream: stream.clone(),
            received_at: now() - SignedDuration::from_secs(seconds),
            request_id: RequestId::parse("r-1").unwrap(),
            index: 0,
            format: PayloadFormat::Json,
        },
        payload: "{}".into(),
    };
    setup.context.queue.append(&shard, vec![record(90), record(10)]).await.unwrap();
    assert_eq!(setup.get("/admin/v0/status").await.body, expected(2, 90_000));
}
