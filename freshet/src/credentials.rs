//! What `freshet up` leaves in its data directory for the command line: where it listens, and the first admin key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use freshet_model::TenantId;
use freshet_platform::write_private;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::error::CommandError;

/// The first admin key of a tenant.
#[derive(Debug, Clone)]
pub(crate) struct AdminCredentials {
    /// The tenant.
    pub(crate) tenant: TenantId,
    /// Its identity.
    pub(crate) client_id: String,
    /// Its secret.
    pub(crate) client_secret: SecretString,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    client_id: String,
    client_secret: String,
}

const PREFIX: &str = "admin-";

fn path_of(data: &Path, tenant: &TenantId) -> PathBuf {
    data.join(format!("{PREFIX}{tenant}.json"))
}

/// Whether a tenant's admin key is in a data directory.
#[must_use]
pub(crate) fn has_admin(data: &Path, tenant: &TenantId) -> bool {
    path_of(data, tenant).exists()
}

/// Writes a tenant's admin key, readable by its owner alone.
///
/// # Errors
/// The file can't be written, or is there already.
pub(crate) fn write_admin(data: &Path, credentials: &AdminCredentials) -> Result<(), CommandError> {
    let path = path_of(data, &credentials.tenant);
    let stored = Stored {
        client_id: credentials.client_id.clone(),
        client_secret: credentials.client_secret.expose_secret().to_owned(),
    };
    let text = serde_json::to_vec(&stored).map_err(|source| file_error(&path, source.into()))?;
    write_private(&path, &text).map_err(|source| file_error(&path, source))
}

/// The admin key of a tenant in a data directory; without a tenant, the only one there.
///
/// # Errors
/// There is none, or several and no tenant says which, or the file can't be read.
pub(crate) fn read_admin(data: &Path, tenant: Option<&str>) -> Result<AdminCredentials, CommandError> {
    let found = tenants_in(data);
    let tenant = match (tenant, found.as_slice()) {
        (Some(tenant), _) => TenantId::parse(tenant).map_err(|wrong| CommandError::Input(wrong.to_string()))?,
        (None, [only]) => only.clone(),
        (None, []) => {
            return Err(CommandError::Credentials(format!(
                "there are no credentials in {}: start a server there with: freshet up --data {0}\nor name one with --url and --token (FRESHET_URL, FRESHET_TOKEN)",
                data.display()
            )));
        }
        (None, several) => {
            let names: Vec<&str> = several.iter().map(TenantId::as_str).collect();
            return Err(CommandError::Credentials(format!(
                "{} holds credentials of several tenants; say which with --tenant: {}",
                data.display(),
                names.join(", ")
            )));
        }
    };
    let path = path_of(data, &tenant);
    let text = fs::read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CommandError::Credentials(format!(
            "{} holds no credentials of tenant {tenant}; make them with: freshet up --tenant {tenant} --data {0}",
            data.display()
        )),
        _ => file_error(&path, source),
    })?;
    let stored: Stored = serde_json::from_slice(&text).map_err(|source| file_error(&path, source.into()))?;
    Ok(AdminCredentials {
        tenant,
        client_id: stored.client_id,
        client_secret: SecretString::from(stored.client_secret),
    })
}

fn tenants_in(data: &Path) -> Vec<TenantId> {
    let Ok(entries) = fs::read_dir(data) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| TenantId::parse(name.strip_prefix(PREFIX)?.strip_suffix(".json")?).ok()).collect()
}

/// Remembers where the server of a data directory listens.
///
/// # Errors
/// The file can't be written.
pub(crate) fn write_url(data: &Path, url: &str) -> Result<(), CommandError> {
    let path = data.join("url");
    fs::write(&path, url).map_err(|source| file_error(&path, source))
}

/// Where the server of a data directory listens, or listened last.
#[must_use]
pub(crate) fn read_url(data: &Path) -> Option<String> {
    fs::read_to_string(data.join("url")).ok().map(|text| text.trim().to_owned())
}

fn file_error(path: &Path, source: io::Error) -> CommandError {
    CommandError::File { path: path.to_owned(), source }
}
