//! Loads: requests at a rate, or as fast as they are answered.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// No answer to what is asked here is longer.
const LONGEST_ANSWER: usize = 1 << 16;

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
/// milliseconds, from when it was due. A thread a connection, as the peer is asked, for a timer of an event loop wakes up to 1 ms late.
pub(crate) fn http_load(
    address: SocketAddr,
    requests: &[Vec<u8>],
    connections: usize,
    rate: Option<u32>,
    lasts: Duration,
) -> anyhow::Result<Vec<f64>> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|worker| scope.spawn(move || connection(address, requests, worker, connections, rate, lasts)))
            .collect();
        let mut latencies = Vec::new();
        for worker in workers {
            latencies.extend(worker.join().map_err(|_| anyhow::anyhow!("a connection's thread panicked"))??);
        }
        Ok(latencies)
    })
}

fn connection(
    address: SocketAddr,
    requests: &[Vec<u8>],
    worker: usize,
    workers: usize,
    rate: Option<u32>,
    lasts: Duration,
) -> anyhow::Result<Vec<f64>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let started = Instant::now();
    let pace = rate.map(|rate| Duration::from_secs(1) / rate);
    let (mut latencies, mut buffer) = (Vec::new(), vec![0; LONGEST_ANSWER]);
    for (count, number) in (worker..).step_by(workers).enumerate() {
        let due = match pace {
            Some(pace) => started + pace * u32::try_from(count * workers + worker)?,
            None => Instant::now(),
        };
        if due.duration_since(started) >= lasts {
            break;
        }
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        let request = requests.get(number % requests.len()).context("there are requests")?;
        stream.write_all(request)?;
        read_answer(&mut stream, &mut buffer)?;
        latencies.push(due.elapsed().as_secs_f64() * 1e3);
    }
    Ok(latencies)
}

/// Reads one answer, which must be a 200 with a length.
fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<()> {
    let (mut filled, mut wanted) = (0, None);
    while wanted.is_none_or(|wanted| filled < wanted) {
        let count = stream.read(buffer.get_mut(filled..).unwrap_or_default())?;
        ensure!(count > 0, "the server closed the connection, or answers more than {LONGEST_ANSWER} bytes");
        filled += count;
        if wanted.is_none() {
            wanted = length(buffer.get(..filled).unwrap_or_default())?;
        }
    }
    Ok(())
}

/// The bytes of the whole answer, once its head is there.
fn length(answer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(answer.get(..end).unwrap_or_default())?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("a length")?;
    Ok(Some(end + 4 + length.parse::<usize>()?))
}
