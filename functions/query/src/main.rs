//! The query function on Lambda, behind an HTTP API.

use std::sync::Arc;

use freshet_database::{DatabaseReader, ExternalFiles};
use freshet_function_query::{QueryContext, QueryLimits, router};
use freshet_platform::{FileServices, Settings, telemetry};
use freshet_table::Tables;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::from_process(&[])?;
    telemetry::start_logs(&settings)?;
    let services = FileServices::open(&settings).await?;
    let tables = Arc::new(Tables::new(Arc::clone(&services.files), services.root.clone()));
    let external = ExternalFiles::new(Arc::clone(&services.files), services.external.clone());
    let reader = Arc::new(DatabaseReader::new(tables, external));
    let limits = QueryLimits::behind_gateway(&settings.data);
    let context = Arc::new(QueryContext::of_services(&services, reader, limits)?);
    lambda_http::run(router(context)).await.map_err(anyhow::Error::from_boxed)
}
