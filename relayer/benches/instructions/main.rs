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
#[path = "../load/connection.rs"]
mod connection;
mod counts;
mod exact;
#[path = "../load/node.rs"]
mod node;
#[path = "../load/process.rs"]
mod process;
#[path = "../load/provider.rs"]
mod provider;

use anyhow::{Context, Result, bail};
use asks::{Asks, Shape};
use connection::Connection;
use counts::Counts;
use process::Child;
use std::path::{Path, PathBuf};

/// Requests of the shorter run.
const REQUESTS: u32 = 200;
/// What is counted: a name, whether the answer is streamed, and whether the request is signed.
const CASES: [(&str, bool, bool); 4] = [
    ("whole-bearer", false, false),
    ("whole-signed", false, true),
    ("stream-bearer", true, false),
    ("stream-signed", true, true),
];

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
    cases: Vec<String>,
}

impl Arguments {
    fn read() -> Result<Self> {
        let mut read = Self { check: false, keep: None, cases: Vec::new() };
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--check" => read.check = true,
                "--keep" => read.keep = Some(given.next().context("--keep needs a folder")?.into()),
                case if CASES.iter().any(|(name, ..)| *name == case) => read.cases.push(case.into()),
                other => bail!("{other} is neither --check, --keep DIR nor a case: {:?}", CASES.map(|(name, ..)| name)),
            }
        }
        Ok(read)
    }
}

fn count(arguments: &Arguments) -> Result<()> {
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let folder = arguments.keep.as_deref().unwrap_or(scratch.path());
    std::fs::create_dir_all(folder)?;
    let mut counts = Counts::default();
    for (name, streamed, signed) in CASES {
        if !arguments.cases.is_empty() && !arguments.cases.iter().any(|case| case == name) {
            continue;
        }
        let run = |requests| -> Result<u64> {
            let file = folder.join(format!("{name}.{requests}.callgrind"));
            serve(requests, streamed, signed, &file).with_context(|| format!("{name}, {requests} requests"))
        };
        let difference = run(2 * REQUESTS)?.checked_sub(run(REQUESTS)?).context("more requests cost less")?;
        counts.add(name, difference / u64::from(REQUESTS));
    }
    if arguments.check { counts.check() } else { counts.write() }
}

/// The instructions of a relayer that served so many requests, one after the other.
fn serve(requests: u32, streamed: bool, signed: bool, file: &Path) -> Result<u64> {
    let provider = Child::start("provider", &[], &[])?;
    let out = format!("--callgrind-out-file={}", file.display());
    let valgrind = ["valgrind", "--tool=callgrind", "--quiet", &out];
    let mut node = Child::start("node", &[&provider.address], &valgrind)?;
    let shape = Shape {
        path: "/v1/chat/completions".into(),
        model: provider::MODEL.into(),
        words: "say hello".into(),
        bytes: 1_024,
        streamed,
        headers: if signed { Vec::new() } else { vec![node::payer().bearer()] },
    };
    let asks =
        if signed { Asks::signed(&shape, &node::payer(), requests, exact::BEGAN) } else { Asks::repeated(&shape) };
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
    let written = std::fs::read_to_string(file)?;
    let totals = written.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    totals.context("callgrind wrote no totals")
}
