//! Every function in one process: what `freshet up` and `freshet demo` run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{MethodRouter, get};
use freshet_access::AccessError;
use freshet_catalog::CatalogError;
use freshet_database::{DatabaseReader, ExternalFiles};
use freshet_function_admin::AdminContext;
use freshet_function_ingest::IngestContext;
use freshet_function_profile::ProfileContext;
use freshet_function_query::{QueryContext, QueryLimits};
use freshet_function_writer::{ConsumeSettings, WriterContext, consume};
use freshet_http::{TenantHeader, authorize, describe, service_routes, with_common_layers};
use freshet_job_maintain::MaintainContext;
use freshet_job_runner::{RunnerContext, RunnerLimits, run_loop};
use freshet_model::{ApiKeyDefinition, Scope, TenantId};
use freshet_platform::{Services, Settings, StoreSettings, telemetry};
use freshet_table::{IndexSettings, Maintenance, Tables};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;
use utoipa_axum::router::OpenApiRouter;

use crate::credentials::{AdminCredentials, has_admin, write_admin, write_url};
use crate::error::CommandError;
use crate::listen::serve;

/// How long requests in flight may take to end once the server is to stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// The name of the first admin key.
const ADMIN_KEY: &str = "admin";

/// A server that listens.
#[derive(Debug)]
pub(crate) struct Running {
    url: String,
    http: JoinHandle<()>,
    writer: JoinHandle<()>,
    runner: JoinHandle<()>,
    maintain: JoinHandle<()>,
    metrics: JoinHandle<()>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Waits until a part of the server has ended, which none does by itself: what is left of it would take records in and write no
    /// tables, or the other way round.
    pub(crate) async fn broken(&mut self) -> CommandError {
        let (what, ended) = tokio::select! {
            ended = &mut self.http => ("serving HTTP", ended),
            ended = &mut self.writer => ("writing tables", ended),
            ended = &mut self.runner => ("running databases, indexes and activations", ended),
            ended = &mut self.maintain => ("maintaining tables", ended),
        };
        CommandError::Failed(
            ended.err().map_or_else(|| format!("{what} has ended"), |source| format!("{what} has ended: {source}")),
        )
    }

    /// Waits until the server has stopped: requests in flight answered, the batch in hand written.
    pub(crate) async fn stopped(self) {
        let all = async { tokio::join!(self.http, self.writer, self.runner, self.maintain, self.metrics) };
        if tokio::time::timeout(STOP_LIMIT, all).await.is_err() {
            tracing::warn!("requests or a batch did not end in time; nothing that was acknowledged is lost");
        }
    }
}

pub(crate) fn failed(what: &str, source: impl std::error::Error) -> CommandError {
    let mut text = format!("{what}: {source}");
    let mut cause = source.source();
    while let Some(inner) = cause {
        let shown = inner.to_string();
        if !text.contains(&shown) {
            text.push_str(": ");
            text.push_str(&shown);
        }
        cause = inner.source();
    }
    CommandError::Failed(text)
}

/// Starts the server: opens what it works on, makes the tenant's admin key where there is none, listens, and writes tables
/// until `stop` is cancelled.
///
/// # Errors
/// Something can't be opened, or the address is taken.
pub(crate) async fn start(
    settings: &Settings,
    listen: SocketAddr,
    tenant: &TenantId,
    stop: CancellationToken,
) -> Result<Running, CommandError> {
    let metrics = telemetry::start_metrics().map_err(|source| failed("metrics", source))?;
    let services = Services::open(settings).await.map_err(|source| failed("freshet can't start", source))?;
    ensure_admin(&services, settings, tenant).await?;
    let index = IndexSettings {
        memory_bytes: settings.index_memory,
        directory: Some(settings.index.clone()),
        ..IndexSettings::default()
    };
    let tables = Tables::new(Arc::clone(&services.files), services.root.clone()).with_index(index);
    let tables = Arc::new(tables);
    let external = ExternalFiles::new(Arc::clone(&services.files), services.external.clone());
    let reader = Arc::new(DatabaseReader::new(Arc::clone(&tables), external));
    let listener = TcpListener::bind(listen).await.map_err(|source| {
        CommandError::Failed(format!("can't listen on {listen}: {source}; choose another address with --listen"))
    })?;
    let address = listener.local_addr().map_err(|source| failed("can't listen", source))?;
    let url = format!("http://{address}");
    write_url(&settings.data, &url)?;
    let app = router(&services, settings, &reader, metrics_route(&services, address, metrics.clone()))?;
    let http = tokio::spawn(serve(listener, app, stop.clone()));
    let context = WriterContext::new(
        Arc::clone(&services.queue),
        Arc::clone(&services.store),
        Arc::clone(&services.catalog),
        Arc::clone(&tables),
        services.clock.clone(),
    );
    let consuming = ConsumeSettings::of_group(&settings.group);
    let writer = tokio::spawn(consume(Arc::new(context), consuming, stop.clone()));
    let runner = RunnerContext::of_services(&services.others, reader, RunnerLimits::of(&settings.data))
        .map_err(|source| failed("databases, indexes and activations can't be run", source))?;
    let runner = tokio::spawn(run_loop(Arc::new(runner), stop.clone()));
    let maintain = MaintainContext::new(Arc::clone(&services.catalog), tables, Maintenance::default());
    let maintain = tokio::spawn(freshet_job_maintain::run_loop(Arc::new(maintain), stop.clone()));
    let metrics = tokio::spawn(keep_up(metrics, stop));
    info!(url, tenant = %tenant, "freshet is ready");
    Ok(Running { url, http, writer, runner, maintain, metrics })
}

/// The recorder asks for this now and then, so that histograms don't grow.
async fn keep_up(metrics: PrometheusHandle, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => {}
            _ = ticks.tick() => metrics.run_upkeep(),
        }
    }
}

fn router(
    services: &Services,
    settings: &Settings,
    reader: &Arc<DatabaseReader>,
    metrics: MethodRouter,
) -> Result<Router, CommandError> {
    let ingest = Arc::new(IngestContext::of_services(services));
    let limits = QueryLimits::of_server(&settings.data);
    let query = QueryContext::of_services(&services.others, Arc::clone(reader), limits)
        .map_err(|source| failed("queries can't run", source))?;
    let query = Arc::new(query);
    let admin = Arc::new(AdminContext {
        store: Arc::clone(&services.store),
        catalog: Arc::clone(&services.catalog),
        access: Arc::clone(&services.access),
        queue: Arc::clone(&services.queue),
        tables: Arc::clone(reader.tables()),
        clock: services.clock.clone(),
    });
    let (store, catalog, access) = (&services.store, &services.catalog, &services.access);
    let profile =
        ProfileContext::new(Arc::clone(store), Arc::clone(catalog), Arc::clone(access), services.clock.clone())
            .map_err(|source| failed("profiles can't be looked up", source))?;
    let (routes, mut api) = OpenApiRouter::new()
        .merge(freshet_function_ingest::ingest_routes(Arc::clone(&ingest)))
        .merge(freshet_function_query::query_routes(query))
        .merge(freshet_function_profile::profile_routes(Arc::new(profile)))
        .merge(freshet_function_admin::admin_routes(Arc::clone(&admin)))
        .split_for_parts();
    describe(&mut api, "Freshet", "Real-time tables over Delta Lake");
    let health = move || {
        let admin = Arc::clone(&admin);
        async move { admin.health().await }
    };
    Ok(with_common_layers(routes.merge(service_routes(api, health)).route("/metrics", metrics)))
}

/// What `/metrics` answers. It names tenants, streams and tables: who comes from another machine needs the scope `admin`.
fn metrics_route(services: &Services, address: SocketAddr, metrics: PrometheusHandle) -> MethodRouter {
    if address.ip().is_loopback() {
        return get(move || async move { metrics.render() });
    }
    let (access, clock) = (Arc::clone(&services.access), services.clock.clone());
    get(move |headers: HeaderMap| async move {
        authorize(&headers, &access, clock.now(), Scope::Admin, TenantHeader::Optional).await.map(|_| metrics.render())
    })
}

/// Makes the tenant's first admin key at the first start, and leaves it in the data directory for its owner alone.
async fn ensure_admin(services: &Services, settings: &Settings, tenant: &TenantId) -> Result<(), CommandError> {
    if has_admin(&settings.data, tenant) {
        return Ok(());
    }
    let scopes = Scope::ALL.to_vec();
    let definition = ApiKeyDefinition { scopes, streams: None, databases: None, indexes: None };
    let now = services.clock.now();
    let made = match services.access.create_key(tenant, ADMIN_KEY, definition, now).await {
        Err(AccessError::Catalog(CatalogError::PreconditionFailed { .. })) => {
            if !matches!(settings.store, StoreSettings::Redb(_)) {
                info!(%tenant, "the tenant has an admin key already; its credentials are with whoever made it");
                return Ok(());
            }
            // The process was killed between making the key and writing its secret: no one has it, so it gets another.
            services.access.rotate(tenant, ADMIN_KEY, now).await
        }
        made => made,
    };
    let made = made.map_err(|source| failed("the first admin key can't be made", source))?;
    let credentials =
        AdminCredentials { tenant: tenant.clone(), client_id: made.key.id.to_string(), client_secret: made.secret };
    write_admin(&settings.data, &credentials)
}

/// Waits for SIGTERM or Ctrl-C.
pub(crate) async fn interrupted() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        result = tokio::signal::ctrl_c() => drop(result),
    }
}
