//! What the kernel says of a process, and of the disk.

use anyhow::{Context, Result};
use std::fs;
use std::io::Write;
use std::time::Instant;

/// Clock ticks a second in `/proc`.
const TICKS: f64 = 100.0;

/// Seconds of CPU that process `id` has used.
pub fn cpu(id: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(") ").context("an unknown form of /proc")?;
    let ticks = |field: usize| fields.split(' ').nth(field).and_then(|ticks| ticks.parse::<f64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).context("an unknown form of /proc")?;
    Ok((user + system) / TICKS)
}

/// KiB of memory that process `id` has.
pub fn memory(id: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("an unknown form of /proc")?;
    line.trim().trim_end_matches(" kB").parse().context("an unknown form of /proc")
}

/// Milliseconds to write 4 KiB and sync them, where the ledger is: the median of 200.
pub fn sync_ms() -> Result<f64> {
    let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        file.write_all(&[7; 4_096])?;
        file.as_file().sync_data()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
