//! The profile function on Lambda, behind an HTTP API.

use std::sync::Arc;

use freshet_function_profile::{ProfileContext, router};
use freshet_platform::{Settings, StoreServices, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::from_process(&[])?;
    telemetry::start_logs(&settings)?;
    let services = StoreServices::open(&settings).await?;
    let context = Arc::new(ProfileContext::of_services(&services)?);
    lambda_http::run(router(context)).await.map_err(anyhow::Error::from_boxed)
}
