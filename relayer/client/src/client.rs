//! Signs, sends and accounts for requests of one key at one relayer.

use crate::answer::{Account, Answer};
use crate::api::{Api, ApiError, is_replay, refused};
use crate::error::ClientError;
use crate::identity::{Relayer, VaultKey};
use crate::request::Request;
use crate::scan::decode;
use crate::sign::{Bound, Signer, bearer, unix_now};
use crate::state::{StateError, StateFile};
use crate::verify::Expected;
use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, Url};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::Hash;
use steam_protocol::key::SessionKey;
use steam_protocol::units::MicroUsdc;

/// Pauses before each time that a signed request is sent again after its connection failed. It is served once: what was
/// served before comes back as its receipt.
const RESENDS: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(800), Duration::from_millis(1_600)];

/// The relayer's code for a voucher that allows less than the key's receipts and this request come to.
const TOO_LOW: &str = "authorized_too_low";

/// See the crate.
pub struct Client {
    pub(crate) api: Api,
    relayer: Relayer,
    pub(crate) key: VaultKey,
    pub(crate) signer: Arc<Signer>,
    pub(crate) state: Arc<StateFile>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.api.base()).field("key", self.signer.session()).finish()
    }
}

/// A signed request, ready to be sent, also more than once.
struct Outgoing {
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    bound: Bound,
}

impl Client {
    /// A client of the relayer at `api` for the key `session`, which stands at `key`. `state_path` is this key's alone, and is
    /// created if missing.
    ///
    /// # Errors
    /// [`ClientError::State`] if the file is another key's or cannot be read.
    pub fn new(
        api: Api,
        relayer: Relayer,
        key: VaultKey,
        session: SessionKey,
        state_path: PathBuf,
    ) -> Result<Self, ClientError> {
        let state = Arc::new(StateFile::open(state_path, relayer.domain, &key, session.address())?);
        let signer = Arc::new(Signer::new(&relayer, key, session));
        Ok(Self { api, relayer, key, signer, state })
    }

    /// The most that requests without a verified receipt may add up to, those in flight included; $1 unless set.
    ///
    /// # Errors
    /// [`ClientError::State`] if the client is already in use.
    pub fn max_unresolved(mut self, most: MicroUsdc) -> Result<Self, ClientError> {
        Arc::get_mut(&mut self.state).ok_or(StateError::InUse)?.max_unresolved = most;
        Ok(self)
    }

    /// The most that chain and receipts may show beyond what the state file knows; $1 unless set. So much could a dishonest
    /// relayer invent.
    ///
    /// # Errors
    /// [`ClientError::State`] if the client is already in use.
    pub fn max_unknown(mut self, most: MicroUsdc) -> Result<Self, ClientError> {
        Arc::get_mut(&mut self.state).ok_or(StateError::InUse)?.max_unknown = most;
        Ok(self)
    }

    /// This client at another address of the relayer.
    #[cfg(test)]
    pub(crate) fn at(self, api: Api) -> Self {
        Self { api, ..self }
    }

    /// What this key has spent and what it has allowed.
    pub fn state(&self) -> &StateFile {
        &self.state
    }

    /// The relayer's API.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Signs and sends a request that costs at most `max_cost`. A connection that fails before the answer begins is tried
    /// again with the same signature, which the relayer serves once. A state that turns out to be behind what the key spent
    /// is brought up to date, and the request signed anew.
    ///
    /// # Errors
    /// [`ClientError::AnswerLost`] if the request was served and its answer lost; [`ApiError::Refused`], in
    /// [`ClientError::Api`], if the relayer refused; the others of [`ClientError`].
    pub async fn send(&self, request: Request, max_cost: MicroUsdc) -> Result<Answer, ClientError> {
        self.send_unless(request, max_cost, std::future::pending()).await
    }

    /// As [`Self::send`], until `left` is ready before the answer begins: then the connection is dropped, and what was charged
    /// for the request is looked up and counted.
    ///
    /// # Errors
    /// [`ClientError::Left`], and as [`Self::send`].
    pub async fn send_unless(
        &self,
        request: Request,
        max_cost: MicroUsdc,
        left: impl Future<Output = ()> + Send,
    ) -> Result<Answer, ClientError> {
        let mut left = std::pin::pin!(left);
        match self.send_once(&request, max_cost, left.as_mut()).await {
            Err(ClientError::Api(error)) if error.code() == Some(TOO_LOW) => {
                // Another holder spent with the key, or the state was lost.
                self.recover().await?;
                self.send_once(&request, max_cost, left).await
            }
            sent => sent,
        }
    }

    async fn send_once(
        &self,
        request: &Request,
        max_cost: MicroUsdc,
        left: impl Future<Output = ()> + Send,
    ) -> Result<Answer, ClientError> {
        let url = self.api.url(&request.path)?;
        let mut headers = request.own_headers();
        let bound = self.signer.bind("POST", url.path(), &headers, &request.body, max_cost, unix_now());
        let authorized = self.begin(&bound).await?;
        headers.extend(self.signer.headers(&bound, authorized));
        let account = self.account(Some(&bound));
        let outgoing = Outgoing { url, headers, body: request.body.clone(), bound };
        tokio::select! {
            biased;
            () = left => {
                self.end_without_answer(&outgoing.bound).await?;
                Err(ClientError::Left)
            }
            sent = self.transmit(&outgoing, &account) => Ok(Answer::new(sent?, account)),
        }
    }

    /// Notes a request on disk before it is on the wire: after a crash, what was allowed is known. Returns the total to sign.
    async fn begin(&self, bound: &Bound) -> Result<MicroUsdc, ClientError> {
        let begin = || self.state.begin(bound.request_hash, bound.max_cost, bound.not_after);
        match begin().await {
            Err(StateError::Unresolved { max_cost, most, .. }) if max_cost <= most => {
                // The relayer may have receipts of answers that were lost or left.
                self.recover().await?;
                Ok(begin().await?)
            }
            begun => Ok(begun?),
        }
    }

    /// As [`Self::send`], but shows the relayer the key as a bearer token: it then can take what the key's limits on chain
    /// leave, and a request whose connection failed is not sent again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send_bearer(&self, request: Request) -> Result<Answer, ClientError> {
        let url = self.api.url(&request.path)?;
        let mut headers = request.own_headers();
        headers.extend(bearer(self.signer.session()));
        let response = self.api.post(url, headers, request.body).await?;
        if !response.status().is_success() {
            return Err(refused(response).await.into());
        }
        Ok(Answer::new(response, self.account(None)))
    }

    /// Signs and sends a request that costs nothing and allows nothing to be spent: a list, or a count of tokens. The
    /// response's status may be any.
    ///
    /// # Errors
    /// [`ApiError`] if there is no response.
    pub async fn send_free(&self, method: Method, request: Request) -> Result<Response, ApiError> {
        let url = self.api.url(&request.path)?;
        let mut headers = request.own_headers();
        headers.extend(self.signer.free(method.as_str(), url.path(), &headers, &request.body, unix_now()));
        self.api.send(method, url, headers, request.body).await
    }

    pub(crate) fn account(&self, bound: Option<&Bound>) -> Account {
        let request = bound.map(|bound| (bound.request_hash, bound.max_cost));
        Account {
            api: self.api.clone(),
            signer: self.signer.clone(),
            expected: self.expected(request),
            state: self.state.clone(),
        }
    }

    /// What a receipt of this key must say. `request` is its hash and ceiling.
    pub(crate) fn expected(&self, request: Option<(Hash, MicroUsdc)>) -> Expected {
        Expected { relayer: self.relayer.clone(), key: self.key, request }
    }

    /// Sends the same bytes until the relayer answers, as often as [`RESENDS`] has it.
    async fn transmit(&self, outgoing: &Outgoing, account: &Account) -> Result<Response, ClientError> {
        let mut first_error = None;
        for pause in std::iter::once(Duration::ZERO).chain(RESENDS) {
            tokio::time::sleep(pause).await;
            let error = match self.post(outgoing).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) if is_replay(response.status()) => self.replayed(response, account).await?,
                Ok(response) => return Err(self.refused(response, &outgoing.bound).await?),
                Err(error @ ApiError::Connect { .. }) if first_error.is_none() => {
                    self.state.release(outgoing.bound.request_hash).await?;
                    return Err(error.into());
                }
                Err(error) => error,
            };
            first_error.get_or_insert(error);
        }
        Err(first_error.map_or(ClientError::NoReceipt, Into::into))
    }

    async fn post(&self, outgoing: &Outgoing) -> Result<Response, ApiError> {
        self.api.post(outgoing.url.clone(), outgoing.headers.clone(), outgoing.body.clone()).await
    }

    /// The same request was sent before. Its receipt ends it; without one it may still be running.
    async fn replayed(&self, response: Response, account: &Account) -> Result<ApiError, ClientError> {
        match response.headers().get("steam-receipt") {
            Some(encoded) => {
                let receipt = account.count_lost(Box::new(decode(encoded.as_bytes())?)).await?;
                Err(ClientError::AnswerLost { receipt })
            }
            None => Ok(refused(response).await),
        }
    }

    /// A refusal in the relayer's own words frees the ceiling: authorisations are cumulative, so a relayer that lies about
    /// it gains nothing beyond what was signed. Anything else may be a proxy that gave up on an answer under way.
    async fn refused(&self, response: Response, bound: &Bound) -> Result<ClientError, ClientError> {
        let charged = response.headers().contains_key("steam-receipt");
        let error = refused(response).await;
        if matches!(error, ApiError::Refused(_)) && !charged {
            self.state.release(bound.request_hash).await?;
        }
        Ok(error.into())
    }
}
