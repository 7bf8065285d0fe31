//! `freshet up` is killed at random moments while records are sent to it: nothing that was acknowledged is lost or repeated.

use std::time::Duration;

use freshet_testkit::seed;
use futures::{StreamExt as _, stream};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rstest::rstest;

use crate::deployment::{Deployment, Platform};
use crate::events::{Events, resources};
use crate::server::Server;

const REQUESTS: usize = 120;
const RECORDS: usize = 25;
/// How often the server is killed while records are sent.
const KILLS: usize = 2;

#[rstest]
#[case::embedded(Platform::Embedded, 10)]
#[case::servers(Platform::Servers, 3)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_record_is_in_the_tables_once_after_kills(#[case] platform: Platform, #[case] seeds: u64) {
    let first = seed();
    // A group of consumers waits ten seconds for a member that was killed: runs on servers wait at the same time.
    let at_once = if platform == Platform::Servers { 3 } else { 1 };
    let runs = stream::iter((0..seeds).map(|number| kill_while_sending(platform, first.wrapping_add(number))));
    let sent_again: usize = runs.buffer_unordered(at_once).collect::<Vec<_>>().await.iter().sum();
    assert!(sent_again > 0, "no kill came while a request was under way: this has tested nothing");
}

/// Returns how many requests had to be sent again.
async fn kill_while_sending(platform: Platform, seed: u64) -> usize {
    eprintln!("{platform:?}: a run, the first of all with FRESHET_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let deployment = Deployment::new(platform).await;
    let mut server = deployment.start().await;
    let client = deployment.client(&server).await;
    client.apply(&resources(1)).await;
    let mut events = Events::new(vec![client], &mut random, REQUESTS, RECORDS);
    let sending = events.sending();

    let mut moments: Vec<usize> = (0..KILLS).map(|_| random.random_range(1..=REQUESTS)).collect();
    moments.sort_unstable();
    let kill = async {
        for moment in moments {
            sending.begun(moment).await;
            kill_after(&mut server, random.random_range(0..10)).await;
            server.start().await;
        }
    };
    tokio::join!(events.send(), kill);
    // Now the tables are being written.
    kill_after(&mut server, random.random_range(0..1_000)).await;
    server.start().await;

    events.check().await;
    deployment.finish([server]).await;
    events.sent_again()
}

/// Kills a server at a moment that has nothing to do with what it is doing: a time, then, and not a condition.
async fn kill_after(server: &mut Server, milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    server.kill();
}
