//! An Apache Kafka broker.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::install::installed;
use crate::port::free_port;
use crate::supervisor::{ServerCommand, Supervised, server_directory};

/// What the broker logs once it serves requests.
const READY: &str = "Kafka Server started";

/// Only what tells that the broker is ready, and what goes wrong.
const LOGGING: &str = "\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1} %m%n
rootLogger.level = error
rootLogger.appenderRef.console.ref = console
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
";

/// A running Kafka of one node, broker and controller in one. It makes no topic by itself.
pub struct Kafka {
    server: Supervised,
    port: u16,
}

impl Kafka {
    /// The one that all tests of this binary share. It can't be killed.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<Kafka> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// A new one, gone when dropped.
    pub async fn start() -> anyhow::Result<Self> {
        let directory = server_directory("kafka")?;
        let port = free_port()?;
        let settings = directory.path().join("server.properties");
        std::fs::write(&settings, server_properties(port, free_port()?, directory.path()))?;
        let logging = directory.path().join("log4j2.properties");
        std::fs::write(&logging, LOGGING)?;

        let java = java();
        let java_arguments = java_arguments(&installed("kafka/libs")?, &logging);
        format_storage(&java, &java_arguments, &settings).await?;

        let mut arguments = java_arguments;
        arguments.extend(["kafka.Kafka".to_owned(), settings.display().to_string()]);
        let command = ServerCommand { program: java, arguments, environment: Vec::new(), leftovers: Vec::new() };
        let mut kafka = Self { server: Supervised::new("kafka", directory, command)?, port };
        kafka.run().await?;
        Ok(kafka)
    }

    /// `127.0.0.1:PORT`, for `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.server.kill()
    }

    /// Starts it again, on the same port and with its data; kills it first if it runs.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        self.run().await
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        let log = self.server.log_path();
        let starts_before = std::fs::read_to_string(&log).unwrap_or_default().matches(READY).count();
        self.server
            .start(async || {
                let text = tokio::fs::read_to_string(&log).await.unwrap_or_default();
                text.matches(READY).count() > starts_before
            })
            .await
    }
}

fn server_properties(port: u16, controller_port: u16, directory: &Path) -> String {
    let mut text = String::new();
    let settings = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", "1".to_owned()),
        ("controller.quorum.voters", format!("1@127.0.0.1:{controller_port}")),
        ("listeners", format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}")),
        ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}")),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned()),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("log.dirs", directory.join("data").display().to_string()),
        ("auto.create.topics.enable", "false".to_owned()),
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        // One node, so one replica of everything.
        ("default.replication.factor", "1".to_owned()),
        ("min.insync.replicas", "1".to_owned()),
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        ("share.coordinator.state.topic.replication.factor", "1".to_owned()),
        ("share.coordinator.state.topic.min.isr", "1".to_owned()),
        // The default is 50: each one a log to make when the first consumer group comes.
        ("offsets.topic.num.partitions", "1".to_owned()),
        ("transaction.state.log.num.partitions", "1".to_owned()),
        // How long a killed broker's registration keeps its next start waiting; the default is 9 s.
        ("broker.session.timeout.ms", "3000".to_owned()),
        ("broker.heartbeat.interval.ms", "500".to_owned()),
        // A killed consumer leaves its group soon, where its client asks for that.
        ("group.min.session.timeout.ms", "1000".to_owned()),
        // A record deleted by retention is gone within a second.
        ("log.retention.check.interval.ms", "1000".to_owned()),
        ("log.initial.task.delay.ms", "100".to_owned()),
    ];
    for (name, value) in settings {
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

fn java() -> PathBuf {
    match std::env::var_os("JAVA_HOME") {
        Some(home) => PathBuf::from(home).join("bin/java"),
        None => PathBuf::from("java"),
    }
}

/// For short lives: the first compiler and the plainest collector start fastest.
fn java_arguments(libraries: &Path, logging: &Path) -> Vec<String> {
    vec![
        "-Xmx384m".to_owned(),
        "-XX:TieredStopAtLevel=1".to_owned(),
        "-XX:+UseSerialGC".to_owned(),
        // Else every JVM leaves a file in the system's temporary directory when it is killed.
        "-XX:-UsePerfData".to_owned(),
        format!("-Dlog4j2.configurationFile={}", logging.display()),
        "-cp".to_owned(),
        format!("{}/*", libraries.display()),
    ]
}

async fn format_storage(java: &Path, java_arguments: &[String], settings: &Path) -> anyhow::Result<()> {
    let output = Command::new(java)
        .args(java_arguments)
        .args(["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"])
        .arg(settings)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("can't run {}: install a Java runtime, 17 or later", java.display()))?;
    ensure!(
        output.status.success(),
        "kafka's storage can't be formatted: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
