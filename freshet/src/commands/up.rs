//! `freshet up`.

use std::path::Path;

use freshet_model::TenantId;
use freshet_platform::{Settings, telemetry};
use tokio_util::sync::CancellationToken;

use super::apply;
use crate::args::{Connection, Up};
use crate::client::Client;
use crate::error::CommandError;
use crate::{output, server};

/// The tenant of a server whose user names none.
const DEFAULT_TENANT: &str = "default";

/// Runs the server until SIGTERM or Ctrl-C.
///
/// # Errors
/// It can't start, or the resources to apply are refused.
pub(crate) async fn run(connection: &Connection, up: &Up) -> Result<(), CommandError> {
    let settings = settings(&connection.data)?;
    telemetry::start_logs(&settings).map_err(|source| CommandError::Input(source.to_string()))?;
    let resources = up.apply.as_deref().map(apply::read_file).transpose()?;
    let file_tenant = resources.as_ref().and_then(|file| file.tenant.as_ref()).map(ToString::to_string);
    let tenant = connection.tenant.clone().or(file_tenant).unwrap_or_else(|| DEFAULT_TENANT.to_owned());
    let tenant = TenantId::parse(&tenant).map_err(|wrong| CommandError::Input(wrong.to_string()))?;
    let stop = CancellationToken::new();
    let mut running = server::start(&settings, up.listen, &tenant, stop.clone()).await?;
    let url = running.url().to_owned();
    let ready = async {
        if let Some(resources) = resources {
            let client = Client::connect(&of_tenant(connection, &tenant)).await?;
            apply::apply_all(&client, &resources, false).await?;
        }
        output::line(format!("freshet is ready at {url}"));
        std::future::pending::<Result<(), CommandError>>().await
    };
    let result = tokio::select! {
        result = ready => result,
        broken = running.broken() => return Err(broken),
        () = server::interrupted() => Ok(()),
    };
    stop.cancel();
    running.stopped().await;
    result
}

/// The server that has just started here, as a tenant's admin.
fn of_tenant(connection: &Connection, tenant: &TenantId) -> Connection {
    Connection { url: None, token: None, tenant: Some(tenant.to_string()), data: connection.data.clone() }
}

/// The environment's settings, with the data directory that the command line names.
pub(super) fn settings(data: &Path) -> Result<Settings, CommandError> {
    let data = data.to_str().ok_or_else(|| CommandError::Input("--data is not UTF-8".to_owned()))?;
    Settings::from_process(&[("FRESHET_DATA", data)]).map_err(|wrong| CommandError::Input(wrong.to_string()))
}
