//! Maintenance as a Lambda function that a schedule invokes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use freshet_job_maintain::{MaintainContext, maintain_all};
use freshet_platform::{FileServices, Settings, telemetry};
use freshet_table::{Maintenance, Tables};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

/// How long it begins with further tables: a job has 15 minutes, and a table that was begun is not cut off.
const WORK_FOR: Duration = Duration::from_mins(8);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let settings = Settings::from_process(&[])?;
    telemetry::start_logs(&settings)?;
    let services = FileServices::open(&settings).await?;
    let tables = Arc::new(Tables::new(Arc::clone(&services.files), services.root.clone()));
    let context = Arc::new(MaintainContext::new(services.catalog, tables, Maintenance::default()));
    lambda_runtime::run(service_fn(|_event: LambdaEvent<Value>| {
        let context = Arc::clone(&context);
        async move { maintain_all(&context, Some(Instant::now() + WORK_FOR)).await.map_err(Error::from) }
    }))
    .await
}
