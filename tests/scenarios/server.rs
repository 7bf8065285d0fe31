//! A running `freshet up`.

use std::path::PathBuf;
use std::time::Duration;

use freshet_testkit::eventually;

use crate::process::{Launch, Process};

/// Far beyond what a start takes, so that only a broken one is given up on.
const START_WITHIN: Duration = Duration::from_mins(1);
const LOG_LINES_SHOWN: usize = 80;

/// `freshet up` with its data directory and its address: it can be killed and started again where it was.
pub(crate) struct Server {
    launch: Launch,
    data: PathBuf,
    url: String,
    process: Option<Process>,
}

impl Server {
    /// Of a data directory, at a port; not started yet.
    pub(crate) fn new(data: PathBuf, port: u16, environment: Vec<(String, String)>) -> Self {
        let listen = format!("127.0.0.1:{port}");
        let arguments = ["up", "--listen", &listen, "--data", data.to_str().unwrap()].map(str::to_owned).to_vec();
        let launch = Launch { arguments, environment, largest_file_kib: None };
        Self { launch, data, url: format!("http://{listen}"), process: None }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> &PathBuf {
        &self.data
    }

    /// Lets no file become larger than this from the next start on, or any where there is no limit.
    pub(crate) fn limit_files(&mut self, largest_kib: Option<u32>) {
        self.launch.largest_file_kib = largest_kib;
    }

    /// Adds a word to its command line, from the next start on.
    pub(crate) fn argument(&mut self, word: &str) {
        self.launch.arguments.push(word.to_owned());
    }

    /// Sets a variable of its environment from the next start on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.launch.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it and waits for the line that says it is ready.
    pub(crate) async fn start(&mut self) {
        let stdout = self.data.with_extension("stdout");
        let mut process = self.launch.spawn(&stdout, &self.log_path());
        let line = format!("freshet is ready at {}\n", self.url);
        let ready = eventually(START_WITHIN, async || {
            std::fs::read_to_string(&stdout).unwrap() == line || !process.is_running()
        });
        ready.await.expect("it is ready soon");
        let is_running = process.is_running();
        self.process = Some(process);
        assert!(is_running, "it ended while it started");
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// SIGTERM; it must end well within 30 s.
    pub(crate) async fn stop(&mut self) {
        let status = self.process.take().expect("it runs").terminate().await;
        assert!(status.success(), "{status}");
    }

    /// The id of the process.
    pub(crate) fn process_id(&self) -> String {
        self.process.as_ref().expect("it runs").id()
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Everything that it has logged, over all starts.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.data.with_extension("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            eprintln!("\nthe log of {} ends with:\n{}\n", self.url, end.join("\n"));
        }
    }
}
