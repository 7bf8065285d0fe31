//! The ingest function on Lambda, behind an HTTP API.

use std::sync::Arc;

use freshet_function_ingest::{IngestContext, router};
use freshet_platform::{Services, Settings, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::from_process(&[])?;
    telemetry::start_logs(&settings)?;
    let services = Services::open(&settings).await?;
    let context = Arc::new(IngestContext::of_services(&services));
    lambda_http::run(router(context)).await.map_err(anyhow::Error::from_boxed)
}
