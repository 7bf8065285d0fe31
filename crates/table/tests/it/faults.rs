//! Stores that fail before and after they have done what they were asked for.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use freshet_table::{TableError, TableKind};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::differential::{at_once, compare, expected};
use crate::model::Model;
use crate::schedule::Schedule;
use crate::support::{PATH, TOPIC, patch, rows_of, spec, tables, upsert};

/// Failures of a hundred requests, while it fails at all.
const FAILURES: u32 = 4;
/// Of a hundred answers, those that are cut off or late.
const TORN: u32 = 1;
const DELAYED: u32 = 4;
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

    /// Whether answers may be cut off, which looks like damage to whoever reads them.
    fn tears(&self) -> bool {
        self.failures.load(Ordering::SeqCst) > 0
    }

    fn rolls(&self, of_a_hundred: u32) -> bool {
        self.tears() && self.random.lock().unwrap().random_range(0..100) < of_a_hundred
    }

    async fn delay(&self) {
        if self.rolls(DELAYED) {
            tokio::task::yield_now().await;
        }
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
        self.delay().await;
        let is_of_log = location.as_ref().contains("_delta_log");
        if !is_of_log && self.roll() {
            // It got half of it.
            let bytes: Vec<u8> = payload.iter().flatten().copied().collect();
            let half = bytes[..bytes.len() / 2].to_vec();
            self.files.put_opts(location, half.into(), PutOptions::default()).await?;
            return Err(lost());
        }
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
        self.delay().await;
        let is_entry = location.as_ref().contains("_delta_log") && location.extension() == Some("json");
        if is_entry && self.roll() {
            // A listing or a cache that lags behind.
            return Err(Error::NotFound { path: location.to_string(), source: "it is not there yet".into() });
        }
        let answer = self.files.get_opts(location, options).await?;
        if !self.rolls(TORN) {
            return Ok(answer);
        }
        let (meta, range, attributes) = (answer.meta.clone(), answer.range.clone(), answer.attributes.clone());
        let bytes = answer.bytes().await?;
        let torn = bytes.slice(..bytes.len() / 2);
        let payload = GetResultPayload::Stream(stream::once(async { Ok(torn) }).boxed());
        Ok(GetResult { payload, meta, range, attributes })
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

/// Follows one schedule of faults to its end. What a version between shows, the model must have had at some time.
async fn follow(seed: u64, kind: TableKind) {
    const STEPS: usize = 5;
    const DELIVERIES: usize = 500;
    let at = |step: usize| format!("FRESHET_SEED={seed}, step {step}");
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut schedule = Schedule::new(seed, &kind);
    let mut model = Model::default();
    let mut states = vec![expected(&model, &kind)];
    let files = Faulty::new(store.clone(), schedule.seed());
    let mut process = None;
    for step in 0..STEPS {
        let delivery = schedule.next();
        let maintains = schedule.chance(30);
        files.fail();
        // A queue delivers again what was not acknowledged, often to a process that has just started.
        let mut deliveries = 0;
        loop {
            deliveries += 1;
            assert!(deliveries < DELIVERIES, "{}: it never gets in", at(step));
            if schedule.chance(30) {
                process = None;
            }
            let opened = if let Some(opened) = process.take() {
                Ok(opened)
            } else {
                let tables = tables(Arc::new(files.clone()));
                tables.open_or_create(PATH, &spec(kind.clone())).await
            };
            let written = match opened {
                Ok(table) => {
                    if maintains && deliveries == 1 {
                        let maintained = table.maintain(&at_once()).await;
                        if let Err(error) = maintained {
                            may_fail(&error, &files, &at(step));
                        }
                    }
                    let written = table.write(TOPIC, delivery.slices.clone()).await;
                    process = Some(table);
                    written
                }
                Err(error) => Err(error),
            };
            match written {
                Ok(_) => break,
                Err(error) => may_fail(&error, &files, &at(step)),
            }
        }
        files.recover();
        model.take(delivery.rows);
        states.push(expected(&model, &kind));
        let table = tables(store.clone()).open(PATH).await.unwrap().unwrap();
        compare(&table, &model, &kind, &at(step)).await;
    }
    let table = tables(store.clone()).open(PATH).await.unwrap().unwrap();
    let newest = table.version().await.unwrap();
    let mut state = 0;
    for version in 0..=newest {
        let rows = rows_of(table.provider_at(version).await.unwrap()).await;
        let found = states.iter().skip(state).position(|expected| *expected == rows);
        state += found.unwrap_or_else(|| panic!("{}: version {version} shows what never was", at(STEPS)));
    }
}

/// Answers that are cut off look like damage.
fn may_fail(error: &TableError, files: &Faulty, at: &str) {
    let may = error.is_temporary()
        || (files.tears() && matches!(error, TableError::Corrupt { .. } | TableError::Engine { .. }));
    assert!(may, "{at}: {error:?}");
}

async fn follow_many(schedules: u64) {
    let seed = freshet_testkit::seed();
    stream::iter(0..schedules)
        .map(|schedule| {
            let seed = seed.wrapping_add(schedule);
            let kind = if seed % 4 == 0 {
                TableKind::Append
            } else if seed % 4 == 1 {
                patch()
            } else {
                upsert()
            };
            let followed = tokio::spawn(follow(seed, kind));
            async move { followed.await.unwrap() }
        })
        .buffer_unordered(4)
        .collect::<()>()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_repeated_and_torn_requests_change_nothing() {
    follow_many(500).await;
}

#[ignore = "for `make soak`: takes twenty times as long"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_schedules_of_faults_change_nothing() {
    follow_many(10_000).await;
}
