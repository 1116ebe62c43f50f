//! An answer as it arrives: its bytes, and at the end the receipt, verified and counted.

use crate::api::{Api, ApiError, STREAM_SILENT_FOR};
use crate::error::ClientError;
use crate::scan::{Piece, Scanner, decode};
use crate::sign::{Signer, unix_now};
use crate::state::StateFile;
use crate::verify::Expected;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::Hash;
use steam_protocol::receipt::SignedReceipt;

/// Largest answer that is read whole, in bytes.
pub const MAX_ANSWER: usize = 64 << 20;
/// Pauses before each look for the receipt of an answer that was cut: the relayer charges what it had sent, which takes a
/// moment.
pub(crate) const LOOKS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1_000)];

/// Part of an answer.
#[derive(Clone, Debug)]
pub enum Part {
    /// Bytes, as they came. What follows the receipt, which it does not cover, is the end of a stream or left out.
    Bytes(Bytes),
    /// The receipt, verified and counted as spent.
    Receipt(Box<SignedReceipt>),
}

/// A whole answer with its receipt.
#[derive(Clone, Debug)]
pub struct Whole {
    /// Every byte.
    pub bytes: Vec<u8>,
    /// Verified.
    pub receipt: SignedReceipt,
    /// The relayer's id for this answer.
    pub completion_id: Option<String>,
}

/// How the bytes are read.
#[derive(Debug)]
enum Body {
    /// Server-sent events, with the receipt among them.
    Stream(Scanner),
    /// Anything else: the receipt came in the header, and is for all of the bytes.
    Whole(Sha256),
}

/// What an answer's end needs.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) api: Api,
    pub(crate) signer: Arc<Signer>,
    pub(crate) expected: Expected,
    pub(crate) state: Arc<StateFile>,
}

/// An answer under way. Dropping it before the receipt leaves the request's ceiling unresolved.
#[derive(Debug)]
pub struct Answer {
    /// The relayer's id for this answer.
    pub completion_id: Option<String>,
    /// The response's headers.
    pub headers: HeaderMap,
    response: Option<reqwest::Response>,
    body: Body,
    ready: VecDeque<Piece>,
    account: Account,
    counted: bool,
}

impl Answer {
    pub(crate) fn new(response: reqwest::Response, account: Account) -> Self {
        let headers = response.headers().clone();
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let streamed = text("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        Self {
            completion_id: text("steam-generation-id").map(ToOwned::to_owned),
            body: if streamed { Body::Stream(Scanner::default()) } else { Body::Whole(Sha256::new()) },
            response: Some(response),
            ready: VecDeque::new(),
            account,
            counted: false,
            headers,
        }
    }

    /// Whether the answer is a stream of server-sent events.
    pub fn is_stream(&self) -> bool {
        matches!(self.body, Body::Stream(_))
    }

    /// The next part; nothing after the end. A receipt comes before nothing but the end of a stream.
    ///
    /// # Errors
    /// [`ClientError::NoReceipt`] if the answer ends without one and the relayer has none, [`ClientError::AnswerLost`] if the
    /// connection failed and the receipt was found, what is wrong with the receipt, or the connection's error.
    pub async fn next(&mut self) -> Result<Option<Part>, ClientError> {
        loop {
            match self.ready.pop_front() {
                Some(Piece::Bytes(bytes)) => return Ok(Some(Part::Bytes(bytes))),
                Some(Piece::Receipt(receipt, hash)) => {
                    self.account.expected.check(&receipt, Some(hash))?;
                    self.account.count(&receipt).await?;
                    self.counted = true;
                    return Ok(Some(Part::Receipt(receipt)));
                }
                None => {}
            }
            let Some(response) = &mut self.response else {
                return if self.counted { Ok(None) } else { Err(ClientError::NoReceipt) };
            };
            let patience = match self.body {
                Body::Stream(_) => STREAM_SILENT_FOR,
                Body::Whole(_) => Duration::MAX,
            };
            let error = match tokio::time::timeout(patience, response.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    self.take(bytes)?;
                    continue;
                }
                Ok(Ok(None)) => {
                    self.end().await?;
                    continue;
                }
                Ok(Err(error)) => ApiError::Transport(error.without_url()),
                Err(_) => ApiError::Silent(patience),
            };
            self.response = None;
            return Err(self.lost(error.into()).await);
        }
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// As [`Self::next`]; [`ApiError::TooLarge`].
    pub async fn collect(mut self) -> Result<Whole, ClientError> {
        let (mut bytes, mut receipt) = (Vec::new(), None);
        while let Some(part) = self.next().await? {
            match part {
                Part::Bytes(more) if bytes.len() + more.len() > MAX_ANSWER => {
                    return Err(ApiError::TooLarge(MAX_ANSWER).into());
                }
                Part::Bytes(more) => bytes.extend_from_slice(&more),
                Part::Receipt(signed) => receipt = Some(*signed),
            }
        }
        let receipt = receipt.ok_or(ClientError::NoReceipt)?;
        Ok(Whole { bytes, receipt, completion_id: self.completion_id })
    }

    /// Leaves the answer: the relayer stops, and charges what it has sent. Returns the receipt for that, verified and counted,
    /// if it was not counted before and the relayer has one.
    ///
    /// # Errors
    /// What is wrong with the receipt, or with the state.
    pub async fn leave(mut self) -> Result<Option<Box<SignedReceipt>>, ClientError> {
        self.response = None;
        if self.counted {
            return Ok(None);
        }
        self.account.find(self.completion_id.as_deref()).await
    }

    fn take(&mut self, bytes: Bytes) -> Result<(), ClientError> {
        match &mut self.body {
            Body::Stream(scanner) => self.ready.extend(scanner.push(&bytes)?),
            Body::Whole(hash) => {
                hash.update(&bytes);
                self.ready.push_back(Piece::Bytes(bytes));
            }
        }
        Ok(())
    }

    /// The end of the response: where the receipt of a whole answer is checked, and a missing one is looked for.
    async fn end(&mut self) -> Result<(), ClientError> {
        self.response = None;
        match &mut self.body {
            Body::Whole(hash) => {
                if let Some(encoded) = self.headers.get("steam-receipt") {
                    let hash: Hash = hash.clone().finalize().into();
                    self.ready.push_back(Piece::Receipt(Box::new(decode(encoded.as_bytes())?), hash));
                    return Ok(());
                }
            }
            Body::Stream(scanner) => self.ready.extend(scanner.finish().map(Piece::Bytes)),
        }
        if self.counted { Ok(()) } else { Err(self.lost(ClientError::NoReceipt).await) }
    }

    /// What an answer that was cut comes to: its receipt, if the relayer has one, else `error`.
    async fn lost(&self, error: ClientError) -> ClientError {
        if self.counted {
            return error;
        }
        match self.account.find(self.completion_id.as_deref()).await {
            Ok(Some(receipt)) => ClientError::AnswerLost { receipt },
            Ok(None) => error,
            Err(worse) => worse,
        }
    }
}

impl Account {
    /// Counts a verified receipt as spent.
    pub(crate) async fn count(&self, signed: &SignedReceipt) -> Result<(), ClientError> {
        match self.expected.request {
            Some(_) => Ok(self.state.resolve(&signed.receipt).await?),
            None => Ok(self.state.count(&signed.receipt).await?),
        }
    }

    /// Counts the receipt of an answer that is not here.
    pub(crate) async fn count_lost(&self, receipt: Box<SignedReceipt>) -> Result<Box<SignedReceipt>, ClientError> {
        self.expected.check(&receipt, None)?;
        self.count(&receipt).await?;
        Ok(receipt)
    }

    /// Asks the relayer for the receipt of the answer `id`, verifies it and counts it. None if there is none.
    async fn find(&self, id: Option<&str>) -> Result<Option<Box<SignedReceipt>>, ClientError> {
        #[derive(serde::Deserialize)]
        struct Document {
            receipt: String,
        }
        let Some(id) = id.filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')) else {
            return Ok(None);
        };
        let path = format!("receipts/{id}");
        let url = self.api.url(&path)?;
        for pause in LOOKS {
            tokio::time::sleep(pause).await;
            let headers = self.signer.read(url.path(), unix_now());
            let found: Result<Document, ApiError> = self.api.call(Method::GET, &path, headers, None::<&()>).await;
            // Nothing was found: the answer's own error says why it is not here.
            let Ok(document) = found else { continue };
            return self.count_lost(Box::new(decode(document.receipt.as_bytes())?)).await.map(Some);
        }
        Ok(None)
    }
}
