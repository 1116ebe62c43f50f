//! `steam receipt`: read a receipt, and check it without asking the relayer that signed it.

mod chain;
mod prices;
mod routing;
mod source;

#[cfg(feature = "localnet")]
pub(super) use chain::message;

use super::amount::show_pico;
use super::error::{CliError, Result};
use super::output::{Report, line, name_of};
use super::parse::{address, endpoint};
use super::price::ShownTariff;
use super::secret::KeySource;
use super::solana::Global;
use crate::chain::Pubkey;
use crate::clock::{Clock, SystemClock};
use crate::relay::decision::Record;
use crate::views::ReceiptFields;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Serialize, Serializer};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use steam_protocol::receipt::{Receipt, SignedReceipt};
use steam_protocol::units::Pico;
use steam_protocol::{merkle, sha256};

/// Check what was charged
#[derive(Debug, clap::Subcommand)]
pub enum ReceiptCommand {
    /// Show what a receipt says, without checking it
    Show(Show),
    /// Check signature and amounts; with --proof that it was settled in a batch, with --routing why this
    /// provider served it, with --on-chain all of it on chain
    Verify(Verify),
}

/// Show a receipt
#[derive(Debug, clap::Args)]
pub struct Show {
    /// The receipt: a file, base64, or - for standard input
    #[arg(value_name = "RECEIPT", default_value = "-")]
    pub receipt: String,
}

/// Check a receipt
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The receipt: a file, base64, or - for standard input
    #[arg(value_name = "RECEIPT", default_value = "-")]
    pub receipt: String,
    /// The relayer's receipt key, as `steam relayer status` shows it; not needed with --on-chain
    #[arg(long, value_name = "ADDRESS", value_parser = address, required_unless_present = "on_chain")]
    pub receipt_key: Option<Pubkey>,
    /// File with the answer's bytes as received, to check that the receipt is for them
    #[arg(long, value_name = "FILE")]
    pub answer: Option<PathBuf>,
    /// JSON file with the proof that the receipt is in a settled batch, as /v1/receipts/{id} has it
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
    /// Check the routing decision too and make the choice again; the record is asked of the relayer, or in this FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub routing: Option<Option<PathBuf>>,
    /// Base URL of the relayer's API, to ask for the record [default: what it registered, with --on-chain]
    #[arg(long, value_name = "URL", value_parser = endpoint, env = "STEAM_BASE_URL")]
    pub endpoint: Option<String>,
    /// Where the key is that the record belongs to.
    #[command(flatten)]
    pub key: KeySource,
    /// Look the receipt key up on chain, and with --proof the settlement, with --routing the prices too
    #[arg(long, visible_alias = "rpc")]
    pub on_chain: bool,
}

impl ReceiptCommand {
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::Show(show) => {
                let (signed, _) = source::read(&show.receipt)?;
                global.output.print(&Shown::of(&signed, Vec::new()))
            }
            Self::Verify(verify) => verify.run(global).await,
        }
    }
}

impl Verify {
    async fn run(self, global: &Global) -> Result<()> {
        if self.key.key_file.is_some() && self.routing.is_none() {
            return Err(
                CliError::usage("--key-file is only used with --routing").next("add --routing, or leave it out")
            );
        }
        let (signed, enclosed) = source::read(&self.receipt)?;
        let proof = match &self.proof {
            Some(path) => Some(source::read_proof(path)?),
            None => enclosed,
        };
        let mut held = Vec::new();
        let onchain = if self.on_chain { Some(chain::Chain::open(global, &signed.receipt).await?) } else { None };
        let keys: Vec<Pubkey> =
            self.receipt_key.into_iter().chain(onchain.as_ref().map(|chain| chain.receipt_key)).collect();
        for key in keys {
            signed.verify(&key.to_bytes()).map_err(|error| not_held("receipt", &error.to_string()))?;
            held.push(format!("signed by the receipt key {key}"));
        }
        held.push("charge and fee are price times tokens".into());
        if onchain.is_some() {
            held.push("the key is the relayer's on chain, and the domain this cluster's".into());
        }
        if let Some(path) = &self.answer {
            let answer = std::fs::read(path).map_err(|error| {
                CliError::new("answer", format!("cannot read --answer {}: {error}", path.display()))
                    .next("name the file that holds the answer's bytes")
            })?;
            if sha256(&[&answer]) != signed.receipt.response_hash {
                return Err(not_held("answer", "the receipt is for another answer: the hash of --answer differs"));
            }
            held.push("the answer is the one it was signed for".into());
        }
        if let Some(proof) = &proof {
            let leaf = merkle::leaf(&signed.to_bytes());
            if merkle::root_from_proof(&leaf, proof.index, proof.count, &proof.path) != Some(proof.root) {
                return Err(not_held("proof", "the proof does not lead from the receipt to its root"));
            }
            held.push(format!("receipt {} of {} under the batch's root", proof.index, proof.count));
            if let Some(chain) = &onchain {
                chain.settled(&signed.receipt, proof).await?;
                held.push(format!("settled on chain by transaction {}", proof.transaction));
            }
        }
        let mut unproven = Vec::new();
        if let Some(file) = &self.routing {
            let record = self.record(file.as_deref(), &signed.receipt, onchain.as_ref()).await?;
            let record = routing::check(&record, &signed.receipt)?;
            held.push("the routing decision is the one it was signed with, and tells of the same answer".into());
            held.push(format!("the choice follows from what is recorded: {}", chosen(&record)));
            unproven.extend(routing::UNPROVEN.map(ToOwned::to_owned));
            match &onchain {
                Some(chain) => priced(&chain.prices(&record).await?, &mut held, &mut unproven),
                None => unproven.push("the prices of the other offers; --on-chain checks them".into()),
            }
        }
        global.output.print(&Shown { unproven, ..Shown::of(&signed, held) })
    }

    async fn record(&self, file: Option<&Path>, receipt: &Receipt, onchain: Option<&chain::Chain>) -> Result<Vec<u8>> {
        if let Some(file) = file {
            return routing::read(file);
        }
        let base = self.endpoint.clone().or_else(|| onchain.map(|chain| chain.relayer_url.clone()));
        let base = base.ok_or_else(|| {
            CliError::usage("--routing does not say whom to ask for the record")
                .next("name the relayer with --endpoint, use --on-chain, or give the record with --routing=FILE")
        })?;
        routing::fetch(receipt, &base, &self.key, SystemClock.unix()).await
    }
}

/// What the chain says of the recorded prices, in words.
fn priced(compared: &prices::Compared, held: &mut Vec<String>, unproven: &mut Vec<String>) {
    held.push(format!("{} candidates at the price recorded, as on chain", compared.same));
    if compared.forgotten > 0 {
        let forgotten = compared.forgotten;
        unproven.push(format!("the price of {forgotten} candidates, whose version the chain no longer keeps"));
    }
    for (offer, model) in &compared.unnamed {
        unproven.push(format!("why the offer {offer} of {model}, listed on chain now, is not in the record"));
    }
}

/// The choice in a few words.
fn chosen(record: &Record) -> String {
    let candidates: usize = record.routes.iter().map(|route| route.candidates.len()).sum();
    let excluded: usize = record.routes.iter().map(|route| route.excluded.len()).sum();
    let tried: Vec<String> =
        record.attempts.iter().map(|attempt| format!("{} ({})", attempt.name, attempt.outcome)).collect();
    format!("{candidates} candidates, {excluded} excluded; tried {}", tried.join(", "))
}

/// Something that was checked and does not hold.
fn not_held(code: &str, sentence: &str) -> CliError {
    CliError::invalid(format!("invalid_{code}"), sentence)
        .next("keep the receipt: it is evidence; ask the relayer for /v1/receipts/{id} of this answer")
}

/// A receipt, as the HTTP API has it but for the price, and what a check of it came to.
#[derive(Serialize)]
struct Shown {
    /// What was checked and holds; empty for `show`.
    verified: Vec<String>,
    /// What the relayer says and nothing here proves.
    unproven: Vec<String>,
    /// The signed bytes, base64.
    receipt: String,
    #[serde(flatten, serialize_with = "as_reported")]
    fields: ReceiptFields,
    #[serde(skip)]
    cost: Pico,
}

/// With the price as every report has it: the API's has numbers.
fn as_reported<S: Serializer>(fields: &ReceiptFields, to: S) -> std::result::Result<S::Ok, S::Error> {
    let written = |error: serde_json::Error| serde::ser::Error::custom(error);
    let mut shown = serde_json::to_value(fields).map_err(written)?;
    shown["price"] = serde_json::to_value(ShownTariff::from(&fields.price)).map_err(written)?;
    shown.serialize(to)
}

/// Charge and fee.
pub(super) fn cost(receipt: &Receipt) -> Pico {
    Pico(receipt.charge.0.saturating_add(receipt.fee.0))
}

impl Shown {
    fn of(signed: &SignedReceipt, verified: Vec<String>) -> Self {
        Self {
            verified,
            unproven: Vec::new(),
            receipt: BASE64.encode(signed.to_bytes()),
            fields: ReceiptFields::from(&signed.receipt),
            cost: cost(&signed.receipt),
        }
    }
}

impl Report for Shown {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for fact in &self.verified {
            writeln!(out, "holds: {fact}")?;
        }
        for word in &self.unproven {
            writeln!(out, "not proven: {word}")?;
        }
        if self.verified.is_empty() {
            writeln!(out, "Not checked; `steam receipt verify` checks it.")?;
        }
        let fields = &self.fields;
        let usage = &fields.usage;
        line(out, "receipt", format!("number {} of vault {}", fields.number, fields.vault))?;
        line(out, "relayer", &fields.relayer)?;
        line(out, "provider", &fields.provider)?;
        line(out, "offer", format!("{}, price version {}", fields.offer, fields.price_version))?;
        let tokens = format!("{} in, {} cached, {} out", usage.input, usage.cached, usage.output);
        line(out, "tokens", format!("{tokens}; counted by {}", name_of(&fields.counted_by)))?;
        line(out, "cost", format!("{} USDC, {} bps of fee included", show_pico(self.cost), fields.fee_bps))?;
        line(out, "ended", name_of(&fields.finish_reason))?;
        line(out, "time", format!("first token after {} ms, {} ms in all", fields.ttft_ms, fields.duration_ms))?;
        line(out, "request", &fields.request_hash)?;
        line(out, "response", &fields.response_hash)?;
        line(out, "routing", &fields.routing_hash)
    }
}
