//! What a write costs. Run by hand: `cargo test -p freshet-table --test it costs -- --ignored --nocapture`.

use std::time::Instant;

use freshet_table::TableKind;

use crate::model::Row;
use crate::support::{Local, PATH, TOPIC, number, slice, spec, upsert};

fn record(key: u64, offset: u64) -> Row {
    Row {
        key: (format!("order-{:08}", key.wrapping_mul(2_654_435_761) % 100_000_007), Some(0)),
        order: Some(i64::try_from(offset).unwrap()),
        value: format!("value {offset}"),
        received_at: 1_700_000_000_000_000 + i64::try_from(offset).unwrap(),
        partition: 0,
        offset,
    }
}

#[ignore = "prints times"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn costs() {
    for (what, kind, keys) in [
        ("upsert, all new keys", upsert(), None),
        ("upsert, keys of 70,000", upsert(), Some(70_000)),
        ("upsert, keys of 20,000", upsert(), Some(20_000)),
        ("append", TableKind::Append, None),
    ] {
        let local = Local::new();
        let table = local.tables().open_or_create(PATH, &spec(kind)).await.unwrap();
        let mut offset = 0;
        eprintln!("{what}");
        for (count, size) in [(14, 10_000u64), (14, 5_000)] {
            let mut times = Vec::new();
            for _ in 0..count {
                let rows: Vec<Row> = (offset..offset + size)
                    .map(|offset| record(keys.map_or(offset, |keys| offset.wrapping_mul(7_919) % keys), offset))
                    .collect();
                let slice = slice(0, offset..offset + size, &rows);
                offset += size;
                let start = Instant::now();
                table.write(TOPIC, vec![slice]).await.unwrap();
                times.push(start.elapsed().as_millis());
            }
            let details = table.details().await.unwrap();
            eprintln!(
                "  batches of {size}: {times:?} ms; then {:?} rows, {} files, {} bytes",
                details.rows, details.files, details.bytes
            );
        }
        let start = Instant::now();
        let count = number(&table, "SELECT count(*) FROM t WHERE line = 0").await;
        eprintln!("  a query: {count} in {} ms", start.elapsed().as_millis());
    }
}
