//! `freshet up` is asked to stop while records are sent to it.

use freshet_testkit::seed;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rstest::rstest;

use crate::deployment::{Deployment, Platform};
use crate::events::{Events, resources};

#[rstest]
#[case::embedded(Platform::Embedded)]
#[case::servers(Platform::Servers)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_while_records_come_loses_none(#[case] platform: Platform) {
    let mut random = StdRng::seed_from_u64(seed());
    let deployment = Deployment::new(platform).await;
    let mut server = deployment.start().await;
    let client = deployment.client(&server).await;
    client.apply(&resources(1)).await;
    let mut events = Events::new(vec![client], &mut random, 200, 25);
    let sending = events.sending();

    let stop = async {
        sending.begun(100).await;
        server.stop().await;
        assert!(!server.log().contains("did not end in time"), "what was under way is finished");
        server.start().await;
    };
    tokio::join!(events.send(), stop);

    events.check().await;
    deployment.finish([server]).await;
}
