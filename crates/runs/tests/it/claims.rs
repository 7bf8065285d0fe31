//! Who may work on what.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_model::{ResourceName, TenantId};
use freshet_runs::{
    Counts, KEPT_RUNS, MAX_ATTEMPTS, Outcome, RunError, RunKind, RunState, Runs, StepState, Subject, Trigger,
};
use freshet_store::{DynamoSettings, DynamoStore, RedbStore, Store};
use freshet_testkit::{MiniStack, random_name};
use jiff::{SignedDuration, Timestamp};
use rstest::rstest;

pub(crate) const LEASE: SignedDuration = SignedDuration::from_secs(30);

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + seconds).unwrap()
}

pub(crate) fn subject(name: &str) -> Subject {
    Subject {
        tenant: TenantId::parse("acme").unwrap(),
        kind: RunKind::Databases,
        name: ResourceName::parse(name).unwrap(),
    }
}

pub(crate) fn manual() -> Trigger {
    Trigger::Manual { by: "admin".to_owned() }
}

fn inputs(version: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("orders".to_owned(), version.to_owned())])
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Redb,
    Dynamo,
}

async fn runs(kind: Kind) -> (Runs, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = match kind {
        Kind::Redb => Arc::new(RedbStore::open(&directory.path().join("store.redb")).unwrap()),
        Kind::Dynamo => {
            let endpoint = Some(MiniStack::shared().await.unwrap().endpoint());
            let config = aws_config::SdkConfig::builder()
                .behavior_version(aws_config::BehaviorVersion::latest())
                .region(aws_config::Region::new("us-east-1"))
                .credentials_provider(aws_sdk_credentials())
                .build();
            let store = DynamoStore::new(&config, DynamoSettings { table: random_name("runs"), endpoint });
            store.create_table().await.unwrap();
            Arc::new(store)
        }
    };
    (Runs::new(store), directory)
}

fn aws_sdk_credentials() -> aws_credential_types::provider::SharedCredentialsProvider {
    let credentials = aws_credential_types::Credentials::new("test", "test", None, None, "test");
    aws_credential_types::provider::SharedCredentialsProvider::new(credentials)
}

#[rstest]
#[case(Kind::Redb)]
#[case(Kind::Dynamo)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_queued_claimed_recorded_and_ended(#[case] kind: Kind) {
    let (runs, _directory) = runs(kind).await;
    let retail = subject("retail");
    assert!(runs.claim("a", LEASE, at(0)).await.unwrap().is_none());
    let queued = runs.start(&retail, manual(), at(1)).await.unwrap();
    assert_eq!((queued.state, queued.attempts), (RunState::Queued, 0));
    let again = runs.start(&retail, Trigger::Schedule, at(2)).await.unwrap();
    assert_eq!(again, queued, "one that is queued sees whatever came before");

    let claim = runs.claim("a", LEASE, at(3)).await.unwrap().expect("it is queued");
    assert_eq!(claim.subject(), &retail);
    assert_eq!(claim.run().state, RunState::Running);
    claim.begin_step("totals", at(4)).await.unwrap();
    let seen = runs.get(&retail, queued.id).await.unwrap().unwrap();
    assert_eq!(
        (seen.state, seen.steps[0].state, seen.started_at),
        (RunState::Running, StepState::Running, Some(at(3)))
    );
    claim.end_step("totals", Outcome::Succeeded(Counts::from([("rows".to_owned(), 7)])), at(5)).await.unwrap();
    claim.begin_step("best", at(5)).await.unwrap();
    claim.end_step("best", Outcome::Failed("no such column".to_owned()), at(6)).await.unwrap();

    // One that is asked for meanwhile is another, and waits for this one.
    let next = runs.start(&retail, manual(), at(6)).await.unwrap();
    assert_ne!(next.id, queued.id);
    assert!(runs.claim("b", LEASE, at(7)).await.unwrap().is_none());
    let ended = claim.finish(Err(None), at(8)).await.unwrap();
    assert_eq!((ended.state, ended.ended_at), (RunState::Failed, Some(at(8))));
    assert_eq!(runs.get(&retail, queued.id).await.unwrap().unwrap(), ended);
    let last = runs.last(&retail).await.unwrap().unwrap();
    assert_eq!((last.id, last.failures, last.inputs), (queued.id, 1, BTreeMap::new()));

    let claim = runs.claim("b", LEASE, at(9)).await.unwrap().expect("the other is queued");
    assert_eq!(claim.run().id, next.id);
    claim.finish(Ok(inputs("3")), at(10)).await.unwrap();
    let last = runs.last(&retail).await.unwrap().unwrap();
    assert_eq!((last.id, last.failures, last.inputs), (next.id, 0, inputs("3")));
    assert!(!runs.is_open(&retail).await.unwrap());
    assert!(runs.claim("a", LEASE, at(11)).await.unwrap().is_none());
    let page = runs.list(&retail, 1, None).await.unwrap();
    assert_eq!((page.runs[0].id, page.next), (next.id, Some(next.id)));
    let page = runs.list(&retail, 10, page.next).await.unwrap();
    assert_eq!((page.runs.len(), page.runs[0].id, page.next), (1, queued.id, None));
}

#[rstest]
#[case(Kind::Redb)]
#[case(Kind::Dynamo)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_taken_over_when_its_lease_expires_and_who_lost_it_changes_nothing(#[case] kind: Kind) {
    let (runs, _directory) = runs(kind).await;
    let retail = subject("retail");
    let run = runs.start(&retail, manual(), at(0)).await.unwrap();
    let dead = runs.claim("a", LEASE, at(0)).await.unwrap().unwrap();
    dead.begin_step("totals", at(10)).await.unwrap();
    assert!(runs.claim("b", LEASE, at(39)).await.unwrap().is_none(), "each record renews the lease");
    dead.renew(at(20)).await.unwrap();
    assert!(runs.claim("b", LEASE, at(49)).await.unwrap().is_none());
    let claim = runs.claim("b", LEASE, at(50)).await.unwrap().expect("the lease has expired");
    assert_eq!((claim.run().id, claim.run().attempts, claim.run().steps.len()), (run.id, 2, 0));
    assert!(matches!(dead.renew(at(51)).await, Err(RunError::LeaseLost)));
    let late = dead.end_step("totals", Outcome::Succeeded(Counts::new()), at(51)).await;
    assert!(matches!(late, Err(RunError::LeaseLost)), "{late:?}");
    assert!(matches!(dead.finish(Ok(inputs("1")), at(52)).await, Err(RunError::LeaseLost)));
    assert!(runs.last(&retail).await.unwrap().is_none());
    claim.finish(Ok(inputs("2")), at(53)).await.unwrap();
    assert_eq!(runs.last(&retail).await.unwrap().unwrap().inputs, inputs("2"));
}

#[tokio::test]
async fn a_run_whose_runners_die_again_and_again_has_failed() {
    let (runs, _directory) = runs(Kind::Redb).await;
    let retail = subject("retail");
    let run = runs.start(&retail, manual(), at(0)).await.unwrap();
    for attempt in 0..MAX_ATTEMPTS {
        let claim = runs.claim("a", LEASE, at(i64::from(attempt) * 100)).await.unwrap().expect("it may be tried");
        assert_eq!(claim.run().attempts, attempt + 1);
    }
    assert!(runs.claim("a", LEASE, at(10_000)).await.unwrap().is_none());
    let run = runs.get(&retail, run.id).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Failed);
    assert!(run.error.unwrap().contains("died 5 times"));
    assert_eq!(runs.last(&retail).await.unwrap().unwrap().failures, 1);
    assert!(!runs.is_open(&retail).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_runners_one_has_each_resource() {
    let (runs, _directory) = runs(Kind::Redb).await;
    let names = ["a", "b", "c"];
    for name in names {
        runs.start(&subject(name), manual(), at(0)).await.unwrap();
    }
    let runners = (0..12).map(|runner| {
        let runs = runs.clone();
        async move { runs.claim(&format!("runner-{runner}"), LEASE, at(1)).await.unwrap() }
    });
    let claims: Vec<_> = futures::future::join_all(runners).await.into_iter().flatten().collect();
    let mut claimed: Vec<&str> = claims.iter().map(|claim| claim.subject().name.as_str()).collect();
    claimed.sort_unstable();
    assert_eq!(claimed, names);
}

#[tokio::test]
async fn old_runs_are_forgotten() {
    let (runs, _directory) = runs(Kind::Redb).await;
    let (retail, other) = (subject("retail"), subject("retail-2"));
    runs.start(&other, manual(), at(0)).await.unwrap();
    runs.claim("a", LEASE, at(0)).await.unwrap().unwrap().finish(Ok(inputs("1")), at(0)).await.unwrap();
    for _ in 0..KEPT_RUNS + 5 {
        runs.start(&retail, Trigger::Commit, at(0)).await.unwrap();
        runs.claim("a", LEASE, at(0)).await.unwrap().unwrap().finish(Ok(inputs("1")), at(0)).await.unwrap();
    }
    assert_eq!(runs.list(&retail, 1_000, None).await.unwrap().runs.len(), KEPT_RUNS);
    assert_eq!(runs.newest(&retail.tenant, None, 1_000).await.unwrap().len(), KEPT_RUNS + 1);
}
