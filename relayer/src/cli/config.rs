//! `steam config check`: whether the relayer would start with a configuration file, without starting it.

use super::error::{CliError, Result};
use super::output::{Report, line};
use super::serve::Settings;
use super::solana::Global;
use crate::chain::node_url;
use crate::doctor::{self, Finding, Grade};
use serde::Serialize;
use std::io::{self, Write};

/// The relayer's configuration
#[derive(Debug, clap::Subcommand)]
pub enum Config {
    /// Check a configuration file, and show what the relayer would run with
    Check(Check),
}

/// Check a configuration file
#[derive(Debug, clap::Args)]
pub struct Check {
    /// What to check.
    #[command(flatten)]
    pub settings: Settings,
    /// Ask the RPC nodes too: whether each answers all that the relayer asks, whether the relayer is registered with these keys
    /// and has the SOL to settle, and whether charges settle within the program's delays
    #[arg(long)]
    pub online: bool,
}

#[derive(Serialize)]
struct Checked {
    file: String,
    listen: String,
    rpc_urls: Vec<String>,
    relayer: Option<String>,
    ledger: String,
    bearer_keys: bool,
    /// Whether the nodes were asked too.
    online: bool,
    /// What others may read or reach that is the relayer's alone.
    warnings: Vec<String>,
}

impl Config {
    pub async fn run(self, global: &Global) -> Result<()> {
        let Self::Check(Check { settings, online }) = self;
        let config = settings.load().map_err(|error| unusable(&settings, error))?;
        let warnings = sound(doctor::check(&config, &settings.file, online).await)?;
        global.output.print(&Checked {
            file: settings.file.display().to_string(),
            listen: config.server.listen.to_string(),
            rpc_urls: config.chain.rpc_urls.iter().map(|url| node_url::shown(url)).collect(),
            relayer: config.chain.relayer.map(|relayer| relayer.to_string()),
            ledger: config.ledger.shown(),
            bearer_keys: config.server.bearer_keys,
            online,
            warnings,
        })
    }
}

/// What is said of a configuration that cannot be used.
pub(super) fn unusable(settings: &Settings, error: CliError) -> CliError {
    match std::fs::File::open(&settings.file) {
        Ok(_) => error.into_invalid(),
        // What cannot be read was not checked.
        Err(_) => error,
    }
}

/// The warnings of what was found.
///
/// # Errors
/// The first fault, and how many there are besides.
fn sound(found: Vec<Finding>) -> Result<Vec<String>> {
    let of = |grade| found.iter().filter(move |finding| finding.grade == grade);
    let mut faults = of(Grade::Fault);
    if let Some(first) = faults.next() {
        let error = CliError::invalid("config", first.says.clone()).next(first.mend.as_deref().unwrap_or("correct it"));
        return Err(match faults.count() {
            0 => error,
            more => error.note(&format!("there are {more} more: `steam doctor` tells all of them")),
        });
    }
    Ok(of(Grade::Warning)
        .map(|warning| format!("{}: {}", warning.says, warning.mend.as_deref().unwrap_or_default()))
        .collect())
}

impl Report for Checked {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let chain = if self.online { ", and the chain agrees with it" } else { "" };
        writeln!(out, "{} is a valid configuration{chain}", self.file)?;
        line(out, "listen", &self.listen)?;
        line(out, "rpc", self.rpc_urls.join(", "))?;
        line(out, "relayer", self.relayer.as_deref().unwrap_or("-"))?;
        line(out, "ledger", &self.ledger)?;
        line(out, "bearer keys", if self.bearer_keys { "accepted" } else { "refused" })?;
        self.warnings.iter().try_for_each(|warning| writeln!(out, "warning: {warning}"))
    }
}
