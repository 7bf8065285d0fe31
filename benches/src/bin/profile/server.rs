//! Ours: an index in a store in a file, and the profile function over it.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use freshet_access::{Access, SigningKey};
use freshet_catalog::{Catalog, Precondition};
use freshet_function_profile::{ProfileContext, router};
use freshet_model::{ApiKeyDefinition, Definition, IndexId, ResourceKind, TenantId};
use freshet_platform::Clock;
use freshet_profile::{IndexRef, ProfileRow, Shape, refresh};
use freshet_store::{RedbStore, Store};
use futures::stream;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tempfile::TempDir;

use crate::data::{Question, sample, scattered};

const INDEX: &str = "ix-bench0001";
const STORE: &str = "store.redb";
const KEY: &str = "signing-key.pem";
/// Requests that a load goes through again and again.
const REQUESTS: usize = 100_000;

/// An index that is served by a process of its own, until it is dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) profiles_per_second: f64,
    token: String,
    process: Child,
    _directory: TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Builds an index and serves it.
pub(crate) fn build(profiles: u64) -> anyhow::Result<Served> {
    let directory = tempfile::tempdir()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let (token, profiles_per_second) = runtime.block_on(fill(directory.path(), profiles))?;
    drop(runtime);
    let mut process = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .context("the server")?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().context("its output")?).read_line(&mut line)?;
    Ok(Served { address: line.trim().parse()?, profiles_per_second, token, process, _directory: directory })
}

async fn fill(directory: &Path, profiles: u64) -> anyhow::Result<(String, f64)> {
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&directory.join(STORE))?);
    let tenant = TenantId::parse("bench")?;
    let catalog = Arc::new(Catalog::new(Arc::clone(&store)));
    let now = Timestamp::now();
    let definitions = [
        (ResourceKind::Databases, "retail", json!({"external": [{"name": "t", "location": "t", "format": "csv"}]})),
        (
            ResourceKind::Indexes,
            "customers",
            json!({
                "id": INDEX, "database": "retail", "query": "SELECT * FROM t", "key": "customer_id",
                "filters": ["household", "city", "tier"], "refresh": "manual",
            }),
        ),
    ];
    for (kind, name, definition) in definitions {
        let definition = Definition::read(kind, "", &definition).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        catalog.put(&tenant, kind, name, definition, Precondition::None, now).await?;
    }
    let signing_key = SigningKey::generate()?;
    std::fs::write(directory.join(KEY), signing_key.to_pem().expose_secret())?;
    let access = Access::new(Arc::clone(&store), catalog, signing_key);
    let definition = ApiKeyDefinition::read("", &json!({"scopes": ["profiles:read"]}))
        .map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let made = access.create_key(&tenant, "bench", definition, now).await?;
    let scopes = made.key.definition.scopes.clone();
    let token = access.issue(&tenant, &made.key, &scopes, now + SignedDuration::from_hours(24), now)?;

    let rows = stream::iter((0..profiles).map(|number| {
        let sample = sample(number);
        Ok::<_, Infallible>(ProfileRow { id: Some(sample.id), attributes: sample.attributes })
    }));
    let shape = Shape::of("retail", "SELECT * FROM t", "customer_id", ["household", "city", "tier"])?;
    let index = IndexRef { tenant, id: IndexId::parse(INDEX)? };
    let started = Instant::now();
    let report = refresh(&*store, &index, &shape, rows, now, &Timestamp::now).await?;
    anyhow::ensure!(report.profiles == profiles, "{report:?}");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let profiles_per_second = profiles as f64 / started.elapsed().as_secs_f64();
    Ok((token.expose_secret().to_owned(), profiles_per_second))
}

/// Serves the index of a directory on a free port of the loopback address, which it prints.
#[expect(clippy::print_stdout, reason = "that is how the bench learns of the port")]
pub(crate) fn serve(directory: &Path) -> anyhow::Result<()> {
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&directory.join(STORE))?);
    let catalog = Arc::new(Catalog::new(Arc::clone(&store)));
    let signing_key = SigningKey::from_pem(&SecretString::from(std::fs::read_to_string(directory.join(KEY))?))?;
    let access = Arc::new(Access::new(Arc::clone(&store), Arc::clone(&catalog), signing_key));
    let context = Arc::new(ProfileContext::new(store, catalog, access, Clock::system())?);
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            // An answer is one small write: it must not wait for the acknowledgement of the one before.
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, router(context)).await?;
        Ok(())
    })
}

impl Served {
    /// Requests of a kind, scattered over all profiles.
    pub(crate) fn requests(&self, profiles: u64, question: Question) -> Arc<Vec<Vec<u8>>> {
        let requests = scattered(profiles).take(REQUESTS).map(|number| {
            let sample = sample(number);
            let path = match question {
                Question::ById => format!("/api/indexes/{INDEX}/profiles/{}", sample.id),
                Question::ByFilters => format!(
                    "/api/indexes/{INDEX}/profiles?filter%5Bhousehold%5D={}&filter%5Bcity%5D={}&filter%5Btier%5D={}",
                    sample.household, sample.city, sample.tier
                ),
            };
            format!(
                "GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\nX-Amperity-Tenant: bench\r\n\r\n",
                self.token
            )
            .into_bytes()
        });
        Arc::new(requests.collect())
    }
}
