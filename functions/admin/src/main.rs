//! The admin function on Lambda.

use std::sync::Arc;

use freshet_function_admin::{AdminContext, router};
use freshet_platform::{FileServices, Services, Settings, telemetry};
use freshet_table::Tables;

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    let settings = Settings::from_process(&[])?;
    telemetry::start_logs(&settings)?;
    let services = Services::open(&settings).await?;
    let tables = Arc::new(Tables::new(Arc::clone(&services.files), services.root.clone()));
    let Services { queue, others } = services;
    let FileServices { store, catalog, access, clock, .. } = others;
    lambda_http::run(router(Arc::new(AdminContext { store, catalog, access, queue, tables, clock }))).await
}
