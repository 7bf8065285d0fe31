//! There is no more room for the files of the queue.

use std::process::Command;

use freshet_testkit::seed;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rstest::rstest;

use crate::deployment::Deployment;
use crate::events::{DATABASE, Events, resources};

/// Less than the queue needs for what is sent, more than any other file.
const LARGEST_FILE_KIB: u32 = 4_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relief {
    /// Room is made while the server runs.
    Room,
    /// The server is killed and started where there is room.
    Restart,
}

#[rstest]
#[case::room(Relief::Room)]
#[case::restart(Relief::Restart)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_refused_and_survived(#[case] relief: Relief) {
    let mut random = StdRng::seed_from_u64(seed());
    let deployment = Deployment::embedded();
    let mut server = deployment.server("data");
    server.limit_files(Some(LARGEST_FILE_KIB));
    server.start().await;
    let client = deployment.client(&server).await;
    client.apply(&resources(1)).await;
    let mut events = Events::new(vec![client.clone()], &mut random, 120, 400);
    let sending = events.sending();

    let full = async {
        sending.refused().await;
        client.sql(DATABASE, "SELECT count(*) FROM latest_event").await;
        assert!(server.is_running(), "a full disk doesn't end it");
        match relief {
            Relief::Room => {
                let lifted =
                    Command::new("prlimit").args(["--fsize=unlimited:", "--pid", &server.process_id()]).status();
                assert!(lifted.expect("prlimit, of util-linux, runs").success());
            }
            Relief::Restart => {
                server.kill();
                server.limit_files(None);
                server.start().await;
            }
        }
    };
    tokio::join!(events.send(), full);

    events.check().await;
    let warned =
        server.log().lines().any(|line| line.contains(" WARN ") && line.contains("the records can't be queued"));
    assert!(warned, "the log says that records can't be queued");
    deployment.finish([server]).await;
}
