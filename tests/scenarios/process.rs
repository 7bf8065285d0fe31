//! Running the binary.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use freshet_testkit::eventually;
use serde_json::Value;

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_freshet");

/// Becomes the binary, and leaves someone behind who kills it once standard input ends: that is when the test process does, in
/// whatever way. The process id stays the same, so that signals reach the binary itself.
const BECOME: &str = r#"
exec 3<&0
(read -r <&3; kill -KILL $$) >/dev/null 2>&1 &
exec "$@" 3<&- </dev/null
"#;

/// How the binary is run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launch {
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// No file may become larger than this; 1,024 bytes each. A write beyond fails, as on a full disk.
    pub(crate) largest_file_kib: Option<u32>,
}

/// What a command that ended has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// Fails the test where the status is another.
    #[track_caller]
    pub(crate) fn with_status(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Its standard output, which must be JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

impl Launch {
    fn command(&self) -> Command {
        let limit = match self.largest_file_kib {
            // Ignored, the signal of a too large file leaves the error of the write.
            Some(kib) => format!("trap '' XFSZ\nulimit -S -f {kib}"),
            None => String::new(),
        };
        let mut command = Command::new("bash");
        command.arg("-c").arg(format!("{limit}{BECOME}")).arg("freshet").arg(BINARY).args(&self.arguments);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_ascii_uppercase();
            if text.starts_with("FRESHET_") || text.starts_with("AWS_") || text.ends_with("_PROXY") {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self) -> Said {
        let mut command = tokio::process::Command::from(self.command());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("bash runs");
        // Kept until the end: closing it kills the command.
        let stdin = child.stdin.take();
        let output = child.wait_with_output().await.unwrap();
        drop(stdin);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Said { status: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Starts it with its standard output in one file, and its standard error at the end of another.
    pub(crate) fn spawn(&self, stdout: &PathBuf, stderr: &PathBuf) -> Process {
        let stderr = File::options().create(true).append(true).open(stderr).unwrap();
        let mut command = self.command();
        command.stdout(File::create(stdout).unwrap()).stderr(stderr);
        Process(command.spawn().expect("bash runs"))
    }
}

/// A running binary, killed when dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM, and what it exits with; fails after 30 s.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let sent = Command::new("kill").arg("-TERM").arg(self.id()).status().unwrap();
        assert!(sent.success());
        self.ended(Duration::from_secs(30)).await
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self, deadline: Duration) -> ExitStatus {
        eventually(deadline, async || self.0.try_wait().unwrap().is_some()).await.expect("it ends");
        self.0.try_wait().unwrap().unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    pub(crate) fn id(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
