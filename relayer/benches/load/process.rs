//! The processes of a measurement: this program again, in another role.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Which process this is.
pub const ROLE: &str = "STEAM_BENCH_ROLE";

/// A process that ends with this one, or with its place in it.
pub struct Child {
    /// The process itself.
    pub process: std::process::Child,
    /// Where it listens.
    pub address: String,
}

impl Child {
    /// Starts this program in another role, run by `under` if that names a program with its arguments, and waits for it
    /// to say where it listens.
    pub fn start(role: &str, arguments: &[&str], under: &[&str]) -> Result<Self> {
        let this = std::env::current_exe()?;
        let mut command = match under {
            [] => Command::new(this),
            [program, first @ ..] => {
                let mut command = Command::new(program);
                command.args(first).arg(this);
                command
            }
        };
        let mut process =
            command.args(arguments).env(ROLE, role).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut address)?;
        if address.is_empty() {
            bail!("the {role} did not start");
        }
        Ok(Self { process, address: address.trim().to_owned() })
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
