//! One relayer's HTTP API: where it is, what it says when it refuses, and answers of bounded size.

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long an answer that is not streamed may take: longer than relayers take for a request.
const SILENT_FOR: Duration = Duration::from_secs(900);
/// How long a stream may say nothing. Relayers send comments meanwhile.
pub(crate) const STREAM_SILENT_FOR: Duration = Duration::from_secs(180);
/// How long a call that asks for no completion may take.
const CALL_WITHIN: Duration = Duration::from_secs(20);
/// Largest answer to such a call, in bytes.
const MAX_CALL_BYTES: usize = 16 << 20;
/// Largest refusal that is read, in bytes.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

/// Why a relayer gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The base URL is none.
    #[error("`{0}` is no http(s) URL of a relayer")]
    Url(String),
    /// The relayer cannot be reached; nothing was sent.
    #[error("cannot reach the relayer at {url}: {}", cause(source))]
    Connect {
        /// Where.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The connection failed after the request was sent: the relayer may have served it.
    #[error("the connection to the relayer failed before the whole answer arrived: {}", cause(.0))]
    Transport(#[source] reqwest::Error),
    /// A stream stopped without an end.
    #[error("the relayer has sent nothing for {} seconds", .0.as_secs())]
    Silent(Duration),
    /// The relayer refused, in its own words.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    /// Something other than the relayer answered.
    #[error("the relayer answered with status {status}, and not in its own words")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The answer is longer than the client reads.
    #[error("the relayer's answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The answer is not what the API says.
    #[error("the relayer's answer cannot be read: {0}")]
    Malformed(String),
}

/// A refusal in the relayer's own words.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The relayer's error code.
    pub code: Option<String>,
    /// What it said.
    pub message: String,
    /// The response's headers, for who hands it on.
    pub headers: HeaderMap,
    /// All of its body, for who hands it on.
    pub body: Vec<u8>,
}

impl ApiError {
    /// The relayer's error code, if the relayer refused with one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.code.as_deref(),
            _ => None,
        }
    }
}

/// Where one relayer's API is, and the connections to it.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    base: Url,
}

impl Api {
    /// The API at `base_url`, with or without its `/v1`.
    ///
    /// # Errors
    /// [`ApiError::Url`] if it is no http(s) URL; [`ApiError::Connect`] if the system cannot make connections.
    pub fn new(base_url: &str) -> Result<Self, ApiError> {
        let url = || ApiError::Url(base_url.into());
        let mut text = base_url.trim_end_matches('/').to_owned();
        if !text.ends_with("/v1") {
            text.push_str("/v1");
        }
        let base = Url::parse(&text).map_err(|_| url())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(url());
        }
        let http = reqwest::Client::builder()
            // A signature covers one path at one relayer.
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENT_FOR)
            .build()
            .map_err(|source| ApiError::Connect { url: base_url.into(), source })?;
        Ok(Self { http, base })
    }

    /// The base URL, with its `/v1`.
    pub fn base(&self) -> &str {
        self.base.as_str()
    }

    /// The URL of `path` below the base; it may have a query.
    ///
    /// # Errors
    /// [`ApiError::Url`] if it is none.
    pub fn url(&self, path: &str) -> Result<Url, ApiError> {
        let text = format!("{}/{}", self.base(), path.trim_start_matches('/'));
        Url::parse(&text).map_err(|_| ApiError::Url(text))
    }

    /// Calls `path` with a JSON body, or none, and reads the JSON it answers.
    ///
    /// # Errors
    /// [`ApiError`], [`ApiError::Refused`] for a refusal in the relayer's own words.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, ApiError> {
        let mut request = self.http.request(method, self.url(path)?).timeout(CALL_WITHIN).headers(headers);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.failed(error))?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        let body = read(response, MAX_CALL_BYTES).await?;
        serde_json::from_slice(&body).map_err(|error| ApiError::Malformed(error.to_string()))
    }

    /// [`Self::call`] by `GET`, without a body.
    ///
    /// # Errors
    /// [`ApiError`]
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.call(Method::GET, path, HeaderMap::new(), None::<&()>).await
    }

    /// Posts raw bytes; the response's status may be any.
    pub(crate) async fn post(&self, url: Url, headers: HeaderMap, body: Bytes) -> Result<Response, ApiError> {
        self.send(Method::POST, url, headers, body).await
    }

    /// Sends raw bytes; the response's status may be any.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, ApiError> {
        let mut request = self.http.request(method, url).headers(headers);
        if !body.is_empty() {
            request = request.body(body);
        }
        request.send().await.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: reqwest::Error) -> ApiError {
        if error.is_connect() {
            return ApiError::Connect { url: self.base.to_string(), source: error.without_url() };
        }
        ApiError::Transport(error.without_url())
    }
}

/// What a response that is no success says.
pub(crate) async fn refused(response: Response) -> ApiError {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = match read(response, MAX_REFUSAL_BYTES).await {
        Ok(body) => body,
        // Its status came whole, but not its words: whoever cut it may not be the relayer.
        Err(_) => return ApiError::Status { status },
    };
    match serde_json::from_slice::<Words>(&body) {
        Ok(Words { error }) => {
            ApiError::Refused(Box::new(Refusal { status, code: error.code, message: error.message, headers, body }))
        }
        Err(_) => ApiError::Status { status },
    }
}

/// The relayer's error object, as far as it is read.
#[derive(serde::Deserialize)]
struct Words {
    error: Explained,
}

#[derive(serde::Deserialize)]
struct Explained {
    message: String,
    code: Option<String>,
}

/// Reads a body of at most `most` bytes.
async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|error| ApiError::Transport(error.without_url()))? {
        if body.len() + bytes.len() > most {
            return Err(ApiError::TooLarge(most));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

/// Whether a request was refused because the same one was sent before.
pub(crate) fn is_replay(status: StatusCode) -> bool {
    status == StatusCode::CONFLICT
}

/// Why a connection failed, without the layers around it.
pub fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".into();
    }
    if error.is_connect() {
        return "the connection was refused or failed".into();
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
