//! Looks at all of a relayer's set-up, from its files to what the Internet sees of it, and says what is wrong and what mends it. It
//! changes nothing, and does not stop at the first fault.

mod chain;
mod files;
mod ledger;
mod machine;
mod nodes;
mod service;

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::registry::Registry;
use crate::words::printable;
use serde::Serialize;
use std::path::Path;

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The configuration, keypairs and other files with secrets.
    Files,
    /// The database and its disk.
    Ledger,
    /// Addresses to listen on, and limits of the system.
    Machine,
    /// Each RPC node.
    Nodes,
    /// The program, the relayer's account, and the money that settlement takes.
    Chain,
    /// The relayer that runs here, and what others see of it.
    Service,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Well,
    /// It works, and a person should look at it.
    Warning,
    /// It does not work, or not for long.
    Fault,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where it belongs.
    pub part: Part,
    /// How it stands.
    pub grade: Grade,
    /// What is so, in a sentence.
    pub says: String,
    /// What mends it, in a sentence; nothing where all is well.
    pub mend: Option<String>,
}

/// What was found of one part so far.
#[derive(Debug)]
struct Findings {
    part: Part,
    all: Vec<Finding>,
}

impl Findings {
    fn of(part: Part) -> Self {
        Self { part, all: Vec::new() }
    }

    fn well(&mut self, says: impl AsRef<str>) {
        self.add(Grade::Well, says.as_ref(), None);
    }

    fn warning(&mut self, says: impl AsRef<str>, mend: impl AsRef<str>) {
        self.add(Grade::Warning, says.as_ref(), Some(mend.as_ref()));
    }

    fn fault(&mut self, says: impl AsRef<str>, mend: impl AsRef<str>) {
        self.add(Grade::Fault, says.as_ref(), Some(mend.as_ref()));
    }

    /// Words of strangers are in it: it stays one line.
    fn add(&mut self, grade: Grade, says: &str, mend: Option<&str>) {
        self.all.push(Finding { part: self.part, grade, says: printable(says), mend: mend.map(printable) });
    }
}

/// Everything that can be said of a relayer with this configuration, which was read from `file` and can be used.
pub async fn examine(config: &Config, file: &Path) -> Vec<Finding> {
    let ([files, nodes, chain], registry) = online(config, file).await;
    let service = service::look(config, registry.as_ref()).await;
    let ledger = ledger::look(config, registry.as_ref(), service.runs_here());
    let machine = machine::look(config, &service).await;
    [files, ledger, machine, nodes, chain, service.findings].into_iter().flat_map(|part| part.all).collect()
}

/// What would keep a relayer with this configuration from starting or, where it is asked `online`, from selling: its files, its nodes and
/// the chain. What runs is not looked at.
pub async fn check(config: &Config, file: &Path, online: bool) -> Vec<Finding> {
    if !online {
        return files::look(config, file).0.all;
    }
    let (found, _) = self::online(config, file).await;
    found.into_iter().flat_map(|part| part.all).collect()
}

/// Files, nodes and chain, and the registry as most nodes have it, if any has.
async fn online(config: &Config, file: &Path) -> ([Findings; 3], Option<Registry>) {
    let (mut files, keys) = files::look(config, file);
    files::credentials(&mut files, config);
    let (nodes, registry) = nodes::look(config, SystemClock.unix()).await;
    let chain = chain::look(config, registry.as_ref(), &keys).await;
    ([files, nodes, chain], registry)
}
