//! Stores that fail before and after they have done what they were asked for.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use freshet_table::TableKind;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rstest::rstest;

use crate::differential::compare;
use crate::model::Model;
use crate::schedule::Schedule;
use crate::support::{Local, PATH, TOPIC, spec, tables, upsert};

/// Failures of a hundred requests, while it fails at all.
const FAILURES: u32 = 12;
const ALWAYS: u32 = 100;

/// A store some of whose requests fail, by a seed.
#[derive(Debug, Clone)]
pub(crate) struct Faulty {
    files: Arc<dyn ObjectStore>,
    random: Arc<Mutex<StdRng>>,
    failures: Arc<AtomicU32>,
}

impl Faulty {
    pub(crate) fn new(files: Arc<dyn ObjectStore>, seed: u64) -> Self {
        let random = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        Self { files, random, failures: Arc::new(AtomicU32::new(0)) }
    }

    /// From now on some requests fail.
    fn fail(&self) {
        self.failures.store(FAILURES, Ordering::SeqCst);
    }

    /// From now on every request fails.
    pub(crate) fn break_down(&self) {
        self.failures.store(ALWAYS, Ordering::SeqCst);
    }

    /// From now on none does.
    fn recover(&self) {
        self.failures.store(0, Ordering::SeqCst);
    }

    fn roll(&self) -> bool {
        self.random.lock().unwrap().random_range(0..100) < self.failures.load(Ordering::SeqCst)
    }

    fn maybe(&self) -> Result<()> {
        if self.roll() { Err(lost()) } else { Ok(()) }
    }
}

fn lost() -> Error {
    Error::Generic { store: "Faulty", source: "the connection was lost".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.files)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.maybe()?;
        let only_if_absent = matches!(options.mode, PutMode::Create);
        let result = self.files.put_opts(location, payload, options).await?;
        if self.roll() {
            return Err(lost());
        }
        if only_if_absent && self.roll() {
            // The client repeated the request by itself, and met what it had made the first time.
            return Err(Error::AlreadyExists { path: location.to_string(), source: "it is there".into() });
        }
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.maybe()?;
        self.files.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.maybe()?;
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.maybe()?;
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.roll() {
            return stream::once(async { Err(lost()) }).boxed();
        }
        self.files.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.roll() {
            return stream::once(async { Err(lost()) }).boxed();
        }
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.maybe()?;
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.maybe()?;
        self.files.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.maybe()?;
        self.files.rename_opts(from, to, options).await
    }
}

#[rstest]
#[case::upsert(upsert())]
#[case::append(TableKind::Append)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_and_repeated_requests_change_nothing(#[case] kind: TableKind) {
    const SCHEDULES: u64 = 8;
    const STEPS: usize = 6;
    const DELIVERIES: usize = 200;
    let seed = freshet_testkit::seed();
    for schedule in 0..SCHEDULES {
        let seed = seed.wrapping_add(schedule);
        eprintln!("faults of seed {seed}");
        let local = Local::new();
        let mut schedule = Schedule::new(seed);
        let mut model = Model::default();
        let files = Faulty::new(local.files(), schedule.seed());
        for step in 0..STEPS {
            let delivery = schedule.next();
            files.fail();
            // A queue delivers again what was not acknowledged, to a process that has just started.
            let mut deliveries = 0;
            loop {
                deliveries += 1;
                assert!(deliveries < DELIVERIES, "seed {seed}, step {step}: it never gets in");
                let tables = tables(Arc::new(files.clone()));
                let written = match tables.open_or_create(PATH, &spec(kind.clone())).await {
                    Ok(table) => table.write(TOPIC, delivery.slices.clone()).await,
                    Err(error) => Err(error),
                };
                match written {
                    Ok(_) => break,
                    Err(error) => assert!(error.is_temporary(), "seed {seed}, step {step}: {error:?}"),
                }
            }
            files.recover();
            model.take(delivery.rows);
            let table = local.tables().open(PATH).await.unwrap().unwrap();
            compare(&table, &model, &kind, &format!("seed {seed}, step {step}")).await;
        }
    }
}
