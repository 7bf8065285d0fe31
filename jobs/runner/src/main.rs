//! The runner as a Lambda function that a schedule invokes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use freshet_database::{DatabaseReader, ExternalFiles};
use freshet_job_runner::{RunnerContext, RunnerLimits, work};
use freshet_platform::{FileServices, Settings, telemetry};
use freshet_table::Tables;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

/// How long it looks for more to do: a job has 15 minutes, and a run that has begun is not cut off.
const WORK_FOR: Duration = Duration::from_mins(10);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let settings = Settings::from_process(&[])?;
    telemetry::start_logs(&settings)?;
    let services = FileServices::open(&settings).await?;
    let tables = Arc::new(Tables::new(Arc::clone(&services.files), services.root.clone()));
    let external = ExternalFiles::new(Arc::clone(&services.files), services.external.clone());
    let reader = Arc::new(DatabaseReader::new(tables, external));
    let context = RunnerContext::of_services(&services, reader, RunnerLimits::of(&settings.data))?;
    let context = Arc::new(context);
    lambda_runtime::run(service_fn(|_event: LambdaEvent<Value>| {
        let context = Arc::clone(&context);
        async move { work(&context, Instant::now() + WORK_FOR).await.map_err(Error::from) }
    }))
    .await
}
