//! AWS's services in one process.

use anyhow::Context as _;
use tokio::sync::OnceCell;

use crate::install::installed;
use crate::port::free_port;
use crate::supervisor::{ServerCommand, Supervised, server_directory};

/// A running MiniStack: DynamoDB, S3, Secrets Manager, API Gateway, and Lambda functions run as local processes.
///
/// It takes any credentials; an access key of twelve digits is an account of its own, every other one means the account
/// `000000000000`.
pub struct MiniStack {
    server: Supervised,
    port: u16,
}

impl MiniStack {
    /// The one that all tests of this binary share. It can't be killed.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<MiniStack> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// A new one, gone when dropped.
    pub async fn start() -> anyhow::Result<Self> {
        let port = free_port()?;
        let directory = server_directory("ministack")?;
        let path = |name: &str| directory.path().join(name).display().to_string();
        let command = ServerCommand {
            program: installed("python/bin/ministack")?,
            arguments: Vec::new(),
            environment: vec![
                ("GATEWAY_PORT", port.to_string()),
                ("BIND_HOST", "127.0.0.1".to_owned()),
                ("LAMBDA_EXECUTOR", "local".to_owned()),
                ("PERSIST_STATE", "1".to_owned()),
                ("STATE_DIR", path("state")),
                ("S3_PERSIST", "1".to_owned()),
                ("S3_DATA_DIR", path("s3")),
                ("TMPDIR", directory.path().display().to_string()),
                ("IOT_MTLS_ENABLED", "0".to_owned()),
                ("SFTP_ENABLED", "0".to_owned()),
            ],
            leftovers: Vec::new(),
        };
        let mut ministack = Self { server: Supervised::new("ministack", directory, command)?, port };
        ministack.run().await?;
        Ok(ministack)
    }

    /// `http://127.0.0.1:PORT`, of every service.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Stops it with SIGTERM. It saves its state at its end only, so a SIGKILL would lose what it acknowledged, which the
    /// services that it stands for never do.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.server.end().await
    }

    /// Starts a stopped one again, on the same port and with its state.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.run().await
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        let health = format!("{}/_ministack/health", self.endpoint());
        let client = reqwest::Client::builder().no_proxy().build().context("no HTTP client")?;
        self.server
            .start(async || client.get(&health).send().await.is_ok_and(|response| response.status().is_success()))
            .await
    }
}
