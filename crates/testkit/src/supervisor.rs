//! A server that can be killed and started again, and that doesn't outlive the test process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

/// Far beyond what any of the servers needs, so that only a broken one is given up on.
const START_WITHIN: Duration = Duration::from_secs(90);
const END_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(25);
const LOG_LINES_SHOWN: usize = 30;

/// How a server is run.
pub(crate) struct ServerCommand {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Files that the server is known to leave outside of its directory. Without blanks in their names.
    pub(crate) leftovers: Vec<String>,
}

/// A server process under its supervisor, in a directory of its own.
pub(crate) struct Supervised {
    name: &'static str,
    directory: TempDir,
    supervisor: Child,
    /// `None` only while dropping: closing it is what ends the supervisor.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// A temporary directory for a server named `name`.
pub(crate) fn server_directory(name: &str) -> anyhow::Result<TempDir> {
    Ok(tempfile::Builder::new().prefix(&format!("freshet-{name}-")).tempdir()?)
}

impl Supervised {
    /// Starts the supervisor; the server itself is started by [`Supervised::start`].
    pub(crate) fn new(name: &'static str, directory: TempDir, command: ServerCommand) -> anyhow::Result<Self> {
        let mut supervisor = Command::new("bash")
            .arg("-c")
            .arg(include_str!("supervisor.sh"))
            .arg(format!("freshet-testkit-{name}"))
            .arg(directory.path())
            .arg(command.leftovers.join(" "))
            .arg(command.program)
            .args(command.arguments)
            .envs(command.environment)
            .current_dir(directory.path())
            // Its own group: Ctrl-C at the terminal ends the tests, and the supervisor then cleans up after them.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("can't run bash")?;
        let commands = supervisor.stdin.take();
        let answers = supervisor.stdout.take().context("the supervisor has no standard output")?;
        Ok(Self { name, directory, supervisor, commands, answers: BufReader::new(answers) })
    }

    /// Starts the server and waits until `is_ready`.
    pub(crate) async fn start(&mut self, mut is_ready: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
        self.ask("start", "started")?;
        let start = Instant::now();
        while !is_ready().await {
            if !self.is_running()? {
                bail!("{} ended while it started; its log ends with:\n{}", self.name, self.end_of_log());
            }
            if start.elapsed() > START_WITHIN {
                bail!("{} isn't ready after {START_WITHIN:?}; its log ends with:\n{}", self.name, self.end_of_log());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Kills the server and all its children with SIGKILL. Its directory stays.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.ask("kill", "killed")
    }

    /// Asks the server to end, with SIGTERM, and waits until it has. Its directory stays.
    pub(crate) async fn end(&mut self) -> anyhow::Result<()> {
        self.ask("end", "asked")?;
        let start = Instant::now();
        while self.is_running()? {
            ensure!(start.elapsed() < END_WITHIN, "{} doesn't end within {END_WITHIN:?}", self.name);
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Where the server's standard output and error go, of all its starts.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.exchange("look")? == "runs")
    }

    fn ask(&mut self, command: &str, expected: &str) -> anyhow::Result<()> {
        let answer = self.exchange(command)?;
        ensure!(answer == expected, "the supervisor of {} answered {answer:?} to {command:?}", self.name);
        Ok(())
    }

    fn exchange(&mut self, command: &str) -> anyhow::Result<String> {
        let commands = self.commands.as_mut().context("the supervisor is gone")?;
        writeln!(commands, "{command}").with_context(|| format!("the supervisor of {} is gone", self.name))?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    }

    fn end_of_log(&self) -> String {
        let bytes = std::fs::read(self.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = log.lines().collect();
        lines.into_iter().rev().take(LOG_LINES_SHOWN).rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.commands.take());
        // Nothing can be done about a failure here, and the test's own outcome matters more.
        let _ = self.supervisor.wait();
    }
}
