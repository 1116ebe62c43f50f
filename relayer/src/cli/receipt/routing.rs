//! The decision record of a receipt: from a file, or from the relayer by a request that the key signs.

use super::{CliError, not_held};
use crate::cli::error::Result;
use crate::cli::relayer_api::{DecisionDocument, RelayerApi, explain};
use crate::cli::secret::KeySource;
use crate::relay::decision::{self, Record};
use std::io::Read;
use std::path::Path;
use steam_client::{ApiError, Refusal};
use steam_protocol::receipt::Receipt;

/// More than any record has.
const MOST: usize = 8 << 20;

/// What a valid record proves and what it does not, for the report.
pub const UNPROVEN: [&str; 3] = [
    "what was measured of each provider, and that the draws were random",
    "when attempts began and ended, and what went wrong with those that failed",
    "that no offer was left out, and the reasons given for those excluded",
];

/// Checks a record's bytes against a receipt.
pub fn check(bytes: &[u8], receipt: &Receipt) -> Result<Record> {
    decision::check(bytes, receipt).map_err(|fault| not_held("routing", &fault.to_string()))
}

/// Reads a record from a file: its bytes, or the JSON of `/v1/generation`.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let fail = |problem: String| {
        CliError::new("no_record", format!("--routing {}: {problem}", path.display()))
            .next("save the JSON of /v1/generation/{id}, or leave the file out to ask the relayer")
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| fail(error.to_string()))?;
    file.take(MOST as u64).read_to_end(&mut bytes).map_err(|error| fail(error.to_string()))?;
    match serde_json::from_slice::<DecisionDocument>(&bytes) {
        Ok(document) => document.record().ok_or_else(|| fail("decision_base64 is no base64".into())),
        Err(_) => Ok(bytes),
    }
}

/// Asks the relayer at `base` for the record of a receipt, at `now_unix`. The key signs and is not sent.
pub async fn fetch(receipt: &Receipt, base: &str, key: &KeySource, now_unix: i64) -> Result<Vec<u8>> {
    let key = key.read()?;
    let relayer = RelayerApi::new(base)?;
    let document = relayer.decision(receipt, key, now_unix).await.map_err(|error| match &error {
        ApiError::Refused(refusal) => {
            let Refusal { status, message, .. } = refusal.as_ref();
            CliError::new(
                "no_record",
                format!("the relayer refused the decision record with status {status}: {message}"),
            )
            .next("use the API key the answer was paid with: --key-file or STEAM_API_KEY")
        }
        _ => {
            explain(&error).next("name the relayer with --endpoint, or save /v1/generation/{id} and use --routing=FILE")
        }
    })?;
    document.record().ok_or_else(|| explain(&ApiError::Malformed("its decision record is no base64".into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::NOW;
    use crate::relay::testing::mock::good;
    use crate::relay::testing::world::{Streamed, World};
    use serde_json::json;

    #[tokio::test]
    async fn a_record_is_fetched_by_a_signature_or_read_from_what_was_saved() {
        let world = World::new(vec![good(true).await.offer(1), good(true).await.offer(2)]).await;
        let answer = Streamed::read(world.chat(json!({"stream": true})).await).await;
        let receipt = answer.receipt.unwrap().receipt;
        let files = tempfile::tempdir().unwrap();
        let secret = files.path().join("key");
        std::fs::write(&secret, world.key().reveal()).unwrap();
        let key = KeySource { key_file: Some(secret.clone()) };

        let fetched = fetch(&receipt, &world.url(""), &key, NOW).await.unwrap();
        assert_eq!(check(&fetched, &receipt).unwrap().id, answer.id);
        assert_eq!(fetch(&receipt, &world.url("/v1/"), &key, NOW).await.unwrap(), fetched);

        let saved = files.path().join("record.json");
        std::fs::write(&saved, &fetched).unwrap();
        assert_eq!(read(&saved).unwrap(), fetched);
        let (_, body) = world.get(&format!("/v1/generation?id={}", answer.id)).await;
        std::fs::write(&saved, body.to_string()).unwrap();
        assert_eq!(read(&saved).unwrap(), fetched);
        assert_eq!(body["data"]["provider_name"], "good");
        assert_eq!(body["data"]["tokens_completion"], 3);

        // Nobody else's key will do, and no other answer's record.
        std::fs::write(&secret, steam_protocol::key::SessionKey::from_seed(&[77; 32]).reveal()).unwrap();
        let error = fetch(&receipt, &world.url(""), &key, NOW).await.unwrap_err();
        assert!(error.to_string().contains("401"), "{error}");
        let second = Streamed::read(world.chat(json!({"stream": true})).await).await.receipt.unwrap().receipt;
        assert!(check(&fetched, &second).unwrap_err().to_string().contains("hash"));
        let error = fetch(&receipt, "http://127.0.0.1:1", &key, NOW).await.unwrap_err();
        assert!(error.to_string().contains("cannot reach"), "{error}");
    }
}
