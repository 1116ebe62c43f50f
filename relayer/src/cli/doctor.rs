//! `steam doctor`: everything that can be said of a relayer's set-up, and what mends what is wrong.

use super::config::unusable;
use super::error::{CliError, Result};
use super::output::{Report, counted, paragraph};
use super::serve::Settings;
use super::solana::Global;
use crate::doctor::{self, Finding, Grade};
use serde::Serialize;
use std::io::{self, Write};

/// Look at a relayer's whole set-up, and say what is wrong and what mends it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is changed. Run it as the relayer's user and with its environment, so that it sees what the relayer sees.\n\
        It ends with 3 if something does not work; warnings alone end with 0."
)]
pub struct Doctor {
    /// What to look at.
    #[command(flatten)]
    pub settings: Settings,
    /// Show also what is as it should be
    #[arg(long)]
    pub all: bool,
}

#[derive(Serialize)]
struct Looked {
    file: String,
    faults: usize,
    warnings: usize,
    findings: Vec<Finding>,
    /// Whether text shows also what is well.
    #[serde(skip)]
    all: bool,
}

impl Doctor {
    /// Looks at everything.
    ///
    /// # Errors
    /// If the configuration cannot be used, or something does not work.
    pub async fn run(self, global: &Global) -> Result<()> {
        let Self { settings, all } = self;
        let config = settings.load().map_err(|error| unusable(&settings, error))?;
        let findings = doctor::examine(&config, &settings.file).await;
        let of = |grade| findings.iter().filter(|finding| finding.grade == grade).count();
        let (faults, warnings) = (of(Grade::Fault), of(Grade::Warning));
        let file = settings.file.display().to_string();
        global.output.print(&Looked { file, faults, warnings, findings, all })?;
        match faults {
            0 => Ok(()),
            count => Err(CliError::invalid("unwell", format!("{} of this set-up", counted(count as u64, "fault")))
                .next("mend what is told above, and run `steam doctor` again")),
        }
    }
}

impl Report for Looked {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for finding in &self.findings {
            let mark = match finding.grade {
                Grade::Well if self.all => "ok",
                Grade::Well => continue,
                Grade::Warning => "warning",
                Grade::Fault => "fault",
            };
            paragraph(out, 0, &format!("{mark}: {}", finding.says))?;
            if let Some(mend) = &finding.mend {
                paragraph(out, 4, mend)?;
            }
        }
        let looked = self.findings.len() as u64;
        let (faults, warnings) = (counted(self.faults as u64, "fault"), counted(self.warnings as u64, "warning"));
        writeln!(out, "{} looked at: {faults}, {warnings}", counted(looked, "thing"))
    }
}
