//! The processes of a measurement, and what the kernel says of them.

use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Which process this is.
pub const ROLE: &str = "STEAM_BENCH_ROLE";
/// Clock ticks a second in `/proc`.
const TICKS: f64 = 100.0;

/// A process that ends with this one, or with its place in it.
pub struct Child {
    process: std::process::Child,
    /// Where it listens.
    pub address: String,
}

impl Child {
    /// Starts this program in another role and waits for it to say where it listens.
    pub fn start(role: &str, arguments: &[&str]) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(arguments)
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut address)?;
        if address.is_empty() {
            bail!("the {role} did not start");
        }
        Ok(Self { process, address: address.trim().to_owned() })
    }

    /// Seconds of CPU it has used.
    pub fn cpu(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name, in brackets, may hold anything.
        let (_, fields) = stat.rsplit_once(") ").context("an unknown form of /proc")?;
        let ticks = |field: usize| fields.split(' ').nth(field).and_then(|ticks| ticks.parse::<f64>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("an unknown form of /proc")?;
        Ok((user + system) / TICKS)
    }

    /// KiB of memory it has.
    pub fn memory(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("an unknown form of /proc")?;
        line.trim().trim_end_matches(" kB").parse().context("an unknown form of /proc")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Tells the parent where this process listens.
pub fn listening(address: std::net::SocketAddr) {
    println!("{address}");
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
