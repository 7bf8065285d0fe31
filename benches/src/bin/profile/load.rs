//! Loads: requests at a rate, or as fast as they are answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Of latencies in milliseconds at a rate: p50, p99.
    pub(crate) percentiles: (f64, f64),
    /// Requests a second as fast as they are answered.
    pub(crate) saturated: f64,
}

impl Measured {
    pub(crate) fn p50(&self) -> f64 {
        self.percentiles.0
    }

    pub(crate) fn p99(&self) -> f64 {
        self.percentiles.1
    }
}

/// Sends requests over so many connections, at a rate a second in all or as fast as they are answered, and says how long each took in
/// milliseconds, from when it was due.
pub(crate) fn http_load(
    address: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    connections: usize,
    rate: Option<u32>,
    lasts: Duration,
) -> anyhow::Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut workers = Vec::new();
        for worker in 0..connections {
            let requests = Arc::clone(requests);
            workers.push(tokio::spawn(connection(address, requests, worker, connections, rate, lasts)));
        }
        let mut latencies = Vec::new();
        for worker in workers {
            latencies.extend(worker.await??);
        }
        Ok(latencies)
    })
}

async fn connection(
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    worker: usize,
    workers: usize,
    rate: Option<u32>,
    lasts: Duration,
) -> anyhow::Result<Vec<f64>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let started = Instant::now();
    let pace = rate.map(|rate| Duration::from_secs(1) / rate);
    let (mut latencies, mut buffer) = (Vec::new(), Vec::new());
    for (count, number) in (worker..).step_by(workers).enumerate() {
        let due = match pace {
            Some(pace) => started + pace * u32::try_from(count * workers + worker)?,
            None => Instant::now(),
        };
        if due.duration_since(started) >= lasts {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        let request = requests.get(number % requests.len()).context("there are requests")?;
        stream.write_all(request).await?;
        read_answer(&mut stream, &mut buffer).await?;
        latencies.push(due.elapsed().as_secs_f64() * 1e3);
    }
    Ok(latencies)
}

/// Reads one answer, which must be a 200 with a length.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    buffer.clear();
    let mut wanted = None;
    loop {
        if wanted.is_some_and(|wanted| buffer.len() >= wanted) {
            return Ok(());
        }
        ensure!(stream.read_buf(buffer).await? > 0, "the server closed the connection");
        if wanted.is_none() {
            wanted = length(buffer)?;
        }
    }
}

/// The bytes of the whole answer, once its head is there.
fn length(answer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(answer.get(..end).unwrap_or_default())?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("a length")?;
    Ok(Some(end + 4 + length.parse::<usize>()?))
}
