//! Where `make servers` and `make test-spark` put what they install.

use std::path::{Path, PathBuf};

use anyhow::ensure;

/// The directory that `scripts/install-servers.sh` fills: a path relative to the root of the workspace, or an absolute one.
fn servers_directory() -> PathBuf {
    let directory = std::env::var_os("FRESHET_SERVERS").unwrap_or_else(|| ".servers".into());
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(directory)
}

/// The path of an installed file or directory, given relative to the servers' directory.
pub(crate) fn installed(relative: &str) -> anyhow::Result<PathBuf> {
    installed_by("make servers", relative)
}

/// The same of something that another command installs.
pub(crate) fn installed_by(command: &str, relative: &str) -> anyhow::Result<PathBuf> {
    let path = servers_directory().join(relative);
    ensure!(path.exists(), "{} is missing: run `{command}`", path.display());
    Ok(path)
}
