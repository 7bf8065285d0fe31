//! Python, for engines that read our tables from outside.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::install::{installed, installed_by};
use crate::supervisor::server_directory;

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
    run(Command::new(installed("python/bin/python")?), script, args).await
}

/// Runs a Python script with Apache Spark and Delta at hand, and returns what it printed: like [`python_script`], with another
/// installation, which only `make test-spark` makes. Starting Spark takes some ten seconds.
///
/// `spark_delta.connect()` is a session of its own:
///
/// ```no_run
/// # async fn example(table: &str) -> anyhow::Result<()> {
/// let script = "\
/// import spark_delta, sys
/// with spark_delta.connect() as spark:
///     print(spark.sql(f'SELECT count(*) FROM delta.`{sys.argv[1]}`').first()[0])";
/// let rows = freshet_testkit::spark_script(script, &[table]).await?;
/// # Ok(())
/// # }
/// ```
pub async fn spark_script(script: &str, args: &[&str]) -> anyhow::Result<String> {
    let scratch = server_directory("spark")?;
    let mut python = Command::new(installed_by("scripts/install-servers.sh spark", "spark/python/bin/python")?);
    // Whatever Spark the user has set up for themselves is another one.
    for name in ["SPARK_HOME", "SPARK_CONF_DIR", "PYSPARK_SUBMIT_ARGS", "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"] {
        python.env_remove(name);
    }
    python.current_dir(scratch.path()).env("TMPDIR", scratch.path()).env("SPARK_LOCAL_IP", "127.0.0.1");
    run(python, script, args).await
}

async fn run(mut python: Command, script: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = python
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
