//! An S3 server whose conditional PUT holds under races.

use anyhow::{Context as _, ensure};
use tokio::sync::OnceCell;

use crate::install::installed;
use crate::port::free_port;
use crate::random::random_name;
use crate::supervisor::{ServerCommand, Supervised, server_directory};

/// What SeaweedFS adds to the port of a service for the same service over gRPC.
const GRPC_OFFSET: u16 = 10_000;

/// A running SeaweedFS: S3 with path-style addresses, in any region.
///
/// Of several PUTs of one object at the same moment, the later ones wait for a lock that is tried once a second.
pub struct SeaweedFs {
    server: Supervised,
    s3_port: u16,
    filer_port: u16,
    access_key: String,
    secret_key: String,
}

impl SeaweedFs {
    /// The one that all tests of this binary share. It can't be killed.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<SeaweedFs> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// A new one, gone when dropped.
    pub async fn start() -> anyhow::Result<Self> {
        let directory = server_directory("seaweedfs")?;
        let path = |name: &str| directory.path().join(name).display().to_string();
        let access_key = random_name("access");
        let secret_key = random_name("secret");
        let mut arguments: Vec<String> = vec![
            "mini".to_owned(),
            format!("-dir={}", path("data")),
            format!("-s3.localSocket={}", path("s3.sock")),
            format!("-filer.localSocket={}", path("filer.sock")),
        ];
        arguments.extend(
            [
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-master.telemetry=false",
                // Small volumes: every bucket takes several, and they are counted.
                "-master.volumeSizeLimitMB=32",
                "-admin.ui=false",
                "-webdav=false",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
            ]
            .map(str::to_owned),
        );
        let mut leftovers = Vec::new();
        let mut ports = Vec::new();
        for service in ["s3", "filer", "master", "volume", "admin"] {
            let port = free_port()?;
            arguments.push(format!("-{service}.port={port}"));
            leftovers.push(format!("/tmp/seaweedfs-{service}-grpc-{}.sock", port + GRPC_OFFSET));
            ports.push(port);
        }
        let &[s3_port, filer_port, ..] = ports.as_slice() else { anyhow::bail!("no ports") };
        std::fs::create_dir(directory.path().join("data"))?;
        let command = ServerCommand {
            program: installed("python/bin/weed")?,
            arguments,
            environment: vec![
                ("AWS_ACCESS_KEY_ID", access_key.clone()),
                ("AWS_SECRET_ACCESS_KEY", secret_key.clone()),
                ("HOME", directory.path().display().to_string()),
                ("TMPDIR", directory.path().display().to_string()),
            ],
            leftovers,
        };
        let server = Supervised::new("seaweedfs", directory, command)?;
        let mut seaweedfs = Self { server, s3_port, filer_port, access_key, secret_key };
        seaweedfs.run().await?;
        Ok(seaweedfs)
    }

    /// `http://127.0.0.1:PORT`, of S3.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.s3_port)
    }

    /// The `AWS_ACCESS_KEY_ID` that may do everything.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// The `AWS_SECRET_ACCESS_KEY` of [`SeaweedFs::access_key`].
    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// Makes a bucket.
    pub async fn create_bucket(&self, name: &str) -> anyhow::Result<()> {
        // A bucket is a folder of the file service, which asks for no signature.
        let url = format!("http://127.0.0.1:{}/buckets/{name}/", self.filer_port);
        let response = client()?.post(&url).send().await?;
        ensure!(response.status().is_success(), "can't make bucket {name}: {}", response.text().await?);
        Ok(())
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.server.kill()
    }

    /// Starts it again, on the same ports and with its data; kills it first if it runs.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        self.run().await
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        let health = format!("{}/healthz", self.endpoint());
        let client = client()?;
        self.server
            .start(async || client.get(&health).send().await.is_ok_and(|response| response.status().is_success()))
            .await
    }
}

fn client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().build().context("no HTTP client")
}
