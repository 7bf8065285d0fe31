//! Logs and metrics.

use std::io;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::{LogFormat, Settings};

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `FRESHET_LOG` can't be read.
    #[error("FRESHET_LOG: expected levels as info or freshet_table=debug,warn")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Logging was set up before in this process.
    #[error("logging is set up already")]
    Logs(#[source] tracing_subscriber::util::TryInitError),
    /// Metrics can't be recorded.
    #[error("metrics can't be recorded")]
    Metrics(#[source] BuildError),
}

/// Writes log lines to standard error, as the settings say.
///
/// # Errors
/// A filter that can't be read; a second call in one process.
pub fn start_logs(settings: &Settings) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&settings.log).map_err(TelemetryError::Filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match settings.log_format {
        LogFormat::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    }
    .map_err(TelemetryError::Logs)
}

/// Seconds: from a local append to a batch that waits for its table.
const LATENCY_BUCKETS: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];

/// Records metrics in this process; the handle renders them in Prometheus's text format.
///
/// # Errors
/// A second call in one process.
pub fn start_metrics() -> Result<PrometheusHandle, TelemetryError> {
    PrometheusBuilder::new()
        .set_buckets(LATENCY_BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(TelemetryError::Metrics)
}
