//! Several processes over the same Kafka, S3 and DynamoDB share the work.

use std::time::Duration;

use freshet_testkit::{eventually, seed};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::deployment::{Deployment, Platform};
use crate::events::{Events, resources};

const REQUESTS: usize = 1_000;
/// As many as the topic has partitions: the process that joins gets half of them.
const SHARDS: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_joins_and_one_that_is_killed_lose_and_repeat_nothing() {
    let mut random = StdRng::seed_from_u64(seed());
    let deployment = Deployment::new(Platform::Servers).await;
    let first = deployment.start().await;
    let mut second = deployment.server("second");
    let client = deployment.client(&first).await;
    client.apply(&resources(SHARDS)).await;
    let clients = vec![client.clone(), client.at(second.url())];
    let mut events = Events::new(clients, &mut random, REQUESTS, 3);
    let sending = events.sending();
    sending.allow(REQUESTS / 10);

    let come_and_go = async {
        sending.begun(REQUESTS / 10).await;
        second.start().await;
        let joined = client.at(second.url());
        let works = eventually(Duration::from_mins(1), async || {
            // Something comes all the time, also while the group is rebalanced.
            sending.allow_more(1);
            joined.metric("freshet_writer_rows_total").await > 0.0
        });
        works.await.expect("the process that joined writes tables");
        sending.allow(REQUESTS);
        sending.begun(REQUESTS - 20).await;
        second.kill();
    };
    tokio::join!(events.send(), come_and_go);

    events.check().await;
    deployment.finish([first]).await;
}
