//! Where receipts and proofs come from: bytes, base64, or the JSON of `/v1/receipts/{id}`.

use crate::cli::error::{CliError, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer};
use std::io::Read;
use std::path::Path;
use steam_protocol::Hash;
use steam_protocol::receipt::SignedReceipt;

/// More than any receipt with its proof has.
const MOST: u64 = 1 << 20;

/// That a receipt is a leaf under the root of a settled batch.
#[derive(Clone, Debug, Deserialize)]
pub struct Proof {
    /// Signature of the settlement.
    pub transaction: String,
    /// The batch's root.
    #[serde(deserialize_with = "hash")]
    pub root: Hash,
    /// The leaf's place.
    pub index: u64,
    /// Leaves in the batch.
    pub count: u64,
    /// Siblings, nearest first.
    #[serde(deserialize_with = "hashes")]
    pub path: Vec<Hash>,
    /// The vault's seq that the batch settled.
    pub seq: u32,
}

#[derive(Deserialize)]
struct Document {
    receipt: String,
    proof: Option<Proof>,
}

/// What to give in place of what is no receipt.
const NEXT: &str = "give the value of the Steam-Receipt header, a file that holds it, or the JSON of /v1/receipts/{id}";

/// Reads a receipt: `text` is `-`, a file, or base64.
pub fn read(text: &str) -> Result<(SignedReceipt, Option<Proof>)> {
    let fail = |problem: String| CliError::invalid("no_receipt", problem).next(NEXT);
    let bytes = if text == "-" {
        read_some(std::io::stdin().lock()).map_err(|error| fail(format!("cannot read standard input: {error}")))?
    } else {
        match std::fs::File::open(text).and_then(read_some) {
            Ok(bytes) => bytes,
            Err(_) if BASE64.decode(text.trim()).is_ok() => text.as_bytes().to_vec(),
            Err(error) => {
                let problem = format!("the argument is no receipt in base64, and as a file cannot be read: {error}");
                return Err(CliError::new("no_receipt", problem).next(NEXT));
            }
        }
    };
    parse(&bytes).ok_or_else(|| fail("this is no signed receipt, neither as bytes, nor in base64, nor as JSON".into()))
}

fn parse(bytes: &[u8]) -> Option<(SignedReceipt, Option<Proof>)> {
    if let Ok(signed) = SignedReceipt::from_bytes(bytes) {
        return Some((signed, None));
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let (encoded, proof) = match serde_json::from_str::<Document>(text) {
        Ok(document) => (document.receipt, document.proof),
        Err(_) => (text.to_owned(), None),
    };
    let signed = SignedReceipt::from_bytes(&BASE64.decode(encoded.trim()).ok()?).ok()?;
    Some((signed, proof))
}

/// Reads a proof, alone or in the JSON of `/v1/receipts/{id}`.
pub fn read_proof(path: &Path) -> Result<Proof> {
    let fail = |problem: String| {
        CliError::new("no_proof", format!("--proof {}: {problem}", path.display()))
            .next("save the JSON of /v1/receipts/{id} once the receipt's status is settled")
    };
    let bytes = std::fs::File::open(path).and_then(read_some).map_err(|error| fail(error.to_string()))?;
    if let Ok(Document { proof: Some(proof), .. }) = serde_json::from_slice(&bytes) {
        return Ok(proof);
    }
    serde_json::from_slice(&bytes).map_err(|error| fail(format!("not the JSON of a proof: {error}")).into_invalid())
}

fn read_some(source: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse_hash(text: &str) -> std::result::Result<Hash, String> {
    let bytes = hex::decode(text).ok().or_else(|| BASE64.decode(text).ok());
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| "a hash is 32 bytes in hex or base64".into())
}

fn hash<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Hash, D::Error> {
    parse_hash(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn hashes<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<Hash>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| parse_hash(text).map_err(serde::de::Error::custom)).collect()
}
