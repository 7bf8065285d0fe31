//! Python, for engines that read our tables from outside.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::install::installed;

/// Runs a Python script with `duckdb`, `deltalake` and `polars` at hand, and returns what it printed.
///
/// `args` are its `sys.argv[1:]`. A script that fails is an error with its standard error.
/// `duckdb_delta.connect()` is DuckDB with its Delta extension:
///
/// ```no_run
/// # async fn example(table: &str) -> anyhow::Result<()> {
/// let script = "\
/// import duckdb_delta, sys
/// print(duckdb_delta.connect().execute('SELECT count(*) FROM delta_scan(?)', sys.argv[1:]).fetchone()[0])";
/// let rows = freshet_testkit::python_script(script, &[table]).await?;
/// # Ok(())
/// # }
/// ```
pub async fn python_script(script: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(installed("python/bin/python")?)
        .arg("-c")
        .arg(script)
        .args(args)
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("can't run python")?;
    ensure!(output.status.success(), "python: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// The directory of a `python3` that has `duckdb`, `deltalake` and `polars`: for the `PATH` of scripts that users run.
pub fn python_directory() -> anyhow::Result<PathBuf> {
    installed("python/bin")
}
