//! How much memory this process takes at most.

use anyhow::Context as _;

const MEGABYTE: f64 = 1e6;

/// Forgets what it took so far: from here on the peak is anew, beginning with what it takes now.
///
/// # Errors
/// The system has no such thing (only Linux has).
pub fn reset_peak() -> anyhow::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("resetting the peak of memory")
}

/// The most resident memory since [`reset_peak`], in megabytes.
///
/// # Errors
/// The system doesn't say.
pub fn peak() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024.0 / MEGABYTE)
}
