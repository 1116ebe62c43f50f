//! Instructions a request costs the relayer, counted by callgrind, which no other load on the machine changes:
//!
//! ```text
//! cargo bench --profile production -p steam --no-default-features --bench instructions -- [--check] [--keep DIR] [CASE …]
//! ```
//!
//! The relayer is one process under valgrind with its HTTP server, its ledger on disk and its writer thread; provider and
//! client are processes of their own that are not counted. Its random numbers have a fixed seed and its clocks stand
//! still but for a millisecond a request. It serves [`REQUESTS`] requests, and a new one serves twice as many: the
//! difference leaves starting and stopping out. The counts are written to counts.txt, or compared with it by `--check`. `--keep` leaves what callgrind wrote for `callgrind_annotate`.

#[path = "../load/asks.rs"]
mod asks;
mod callgrind;
#[path = "../load/connection.rs"]
mod connection;
mod counts;
#[path = "../load/dialect.rs"]
mod dialect;
mod exact;
#[path = "../load/node.rs"]
mod node;
#[path = "../load/process.rs"]
mod process;
#[path = "../load/provider.rs"]
mod provider;

use anyhow::{Context, Result, bail};
use asks::{Asks, Shape};
use callgrind::Instructions;
use connection::Connection;
use counts::Counts;
use dialect::Dialect;
use process::Child;
use std::path::{Path, PathBuf};
use steam_router::state::capability;

/// Requests of the shorter run.
const REQUESTS: u32 = 200;

/// What is counted.
struct Case {
    name: String,
    /// The dialects of the client and of the provider.
    client: Dialect,
    provider: Dialect,
    streamed: bool,
    signed: bool,
    /// The most it may cost, in times of the same answer by chat to chat.
    most: f64,
}

/// The same dialect at both ends costs no more than chat, but for what a count may vary by.
const SAME: f64 = 1.0 + counts::TOLERANCE / 100.0;
/// A translated request.
const TRANSLATED: f64 = 1.5;

/// The dialect's name, and the bit of an offer whose provider speaks it.
fn known(dialect: Dialect) -> (&'static str, u64) {
    match dialect {
        Dialect::Chat => ("chat", capability::CHAT),
        Dialect::Messages => ("messages", capability::MESSAGES),
        Dialect::Responses => ("responses", capability::RESPONSES),
    }
}

/// Capabilities of an offer that can do everything and speaks this dialect of conversations alone.
fn alone(dialect: Dialect) -> u64 {
    !Dialect::ALL.into_iter().fold(0, |all, dialect| all | known(dialect).1) | known(dialect).1
}

/// Whole and streamed answers: chat by bearer and by signature, then every other pair of dialects by bearer.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, streamed) in [("whole", false), ("stream", true)] {
        for (payment, signed) in [("bearer", false), ("signed", true)] {
            let (name, most) = (format!("{kind}-{payment}"), f64::INFINITY);
            cases.push(Case { name, client: Dialect::Chat, provider: Dialect::Chat, streamed, signed, most });
        }
    }
    for client in Dialect::ALL {
        for provider in Dialect::ALL {
            for (kind, streamed) in [("whole", false), ("stream", true)] {
                let name = format!("{kind}-{}-{}", known(client).0, known(provider).0);
                let most = if client == provider { SAME } else { TRANSLATED };
                cases.push(Case { name, client, provider, streamed, signed: false, most });
            }
        }
    }
    // Chat by bearer is the first of all.
    cases.retain(|case| case.most.is_infinite() || (case.client, case.provider) != (Dialect::Chat, Dialect::Chat));
    cases
}

fn main() -> Result<()> {
    match std::env::var(process::ROLE).as_deref() {
        Ok("provider") => provider::run(),
        Ok("node") => exact::run(),
        _ => count(&Arguments::read()?),
    }
}

/// How the program is used.
struct Arguments {
    check: bool,
    keep: Option<PathBuf>,
    wanted: Vec<String>,
}

impl Arguments {
    fn read() -> Result<Self> {
        let names: Vec<String> = cases().into_iter().map(|case| case.name).collect();
        let mut read = Self { check: false, keep: None, wanted: Vec::new() };
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--check" => read.check = true,
                "--keep" => read.keep = Some(given.next().context("--keep needs a folder")?.into()),
                case if names.iter().any(|name| name == case) => read.wanted.push(case.into()),
                other => bail!("{other} is neither --check, --keep DIR nor a case: {}", names.join(", ")),
            }
        }
        Ok(read)
    }
}

fn count(arguments: &Arguments) -> Result<()> {
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let folder = arguments.keep.as_deref().unwrap_or(scratch.path());
    std::fs::create_dir_all(folder)?;
    let (mut counts, mut unhashed) = (Counts::default(), Vec::new());
    for case in cases() {
        let name = &case.name;
        if !arguments.wanted.is_empty() && !arguments.wanted.contains(name) {
            continue;
        }
        let run = |requests| -> Result<Instructions> {
            let file = folder.join(format!("{name}.{requests}.callgrind"));
            serve(requests, &case, &file).with_context(|| format!("{name}, {requests} requests"))
        };
        let each = run(2 * REQUESTS)?.less(&run(REQUESTS)?, REQUESTS).context("more requests cost less")?;
        counts.add(name, each.all);
        unhashed.push((case, each.all - each.hashing));
    }
    let dear = too_dear(&unhashed);
    if arguments.check { counts.check() } else { counts.write() }?;
    if dear.is_empty() { Ok(()) } else { bail!("dearer than they may be beside chat: {}", dear.join(", ")) }
}

/// Shows what each pair of dialects costs beside the same answer by chat, and returns those that cost more than they may.
/// Hashing is left out: how many bytes an answer has is its provider's choice, and valgrind has none of the instructions by
/// which processors hash a kilobyte in less than a microsecond.
fn too_dear(unhashed: &[(Case, u64)]) -> Vec<&str> {
    let mut dear = Vec::new();
    for (case, own) in unhashed.iter().filter(|(case, _)| case.most.is_finite()) {
        let usual =
            |(chat, _): &&(Case, u64)| chat.most.is_infinite() && !chat.signed && chat.streamed == case.streamed;
        let Some((_, chat)) = unhashed.iter().find(usual) else { continue };
        let times = *own as f64 / *chat as f64;
        println!("{:<26} {times:.3} of chat without hashing, at most {:.2}", case.name, case.most);
        if times > case.most {
            dear.push(case.name.as_str());
        }
    }
    dear
}

/// The instructions of a relayer that served so many requests, one after the other.
fn serve(requests: u32, case: &Case, file: &Path) -> Result<Instructions> {
    let capabilities = if case.most.is_finite() { alone(case.provider) } else { u64::MAX };
    let provider = Child::start("provider", &[], &[])?;
    let out = format!("--callgrind-out-file={}", file.display());
    let valgrind = ["valgrind", "--tool=callgrind", "--quiet", &out];
    let mut node = Child::start("node", &[&provider.address, &capabilities.to_string()], &valgrind)?;
    let shape = Shape {
        path: case.client.path().into(),
        model: provider::MODEL.into(),
        words: "say hello".into(),
        bytes: 1_024,
        streamed: case.streamed,
        headers: if case.signed { Vec::new() } else { vec![node::payer().bearer()] },
    };
    let asks =
        if case.signed { Asks::signed(&shape, &node::payer(), requests, exact::BEGAN) } else { Asks::repeated(&shape) };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut connection = Connection::open(&node.address).await?;
        for _ in 0..requests {
            connection.call(asks.next()?).await?;
        }
        anyhow::Ok(())
    })?;
    // The relayer ends with its standard input, and callgrind then writes.
    drop(node.process.stdin.take());
    let status = node.process.wait()?;
    if !status.success() {
        bail!("the relayer under valgrind failed: {status}");
    }
    Instructions::read(&std::fs::read_to_string(file)?)
}
