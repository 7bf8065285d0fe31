//! Free ports.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::bail;
use rand::RngExt as _;

/// Below the ports that systems hand out by themselves (from 32,768 on Linux): an outgoing connection can't take the port
/// between this look and the server's start, nor while the server is down between a kill and a restart.
const PORTS: std::ops::Range<u16> = 10_000..22_000;

/// A TCP port of the loopback interface that nothing listens on.
pub fn free_port() -> anyhow::Result<u16> {
    for _ in 0..1_000 {
        let port = rand::rng().random_range(PORTS);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port found from {} to {}", PORTS.start, PORTS.end)
}
