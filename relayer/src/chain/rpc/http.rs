//! Carries calls to an RPC node over HTTP. The node is somebody else's: what it may send is bounded, where it sends us is not followed,
//! and what it says of itself never repeats its URL, which may hold an access key.

use crate::body::{Body, BodyError};
use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde_json::Value;
use solana_rpc_client::rpc_sender::{RpcSender, RpcTransportStats};
use solana_rpc_client_api::client_error::{Error, ErrorKind, Result};
use solana_rpc_client_api::request::{RpcError, RpcRequest, RpcResponseErrorData};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Largest answer, in bytes, packed or not: the accounts of a hundred thousand offers.
const MAX_ANSWER: usize = 128 << 20;
/// What is said of an answer that is none.
const NO_NODE: &str = "no JSON of an RPC node";
/// Times a call is made that the node has no time for.
const TRIES: u32 = 4;
/// Pause before the next of them, unless the node says less.
const PAUSE: Duration = Duration::from_millis(500);

/// A way to one node.
pub struct Http {
    client: Client,
    url: String,
    calls: AtomicU64,
}

/// What a node says went wrong.
#[derive(Deserialize)]
struct Refusal {
    code: i64,
    message: String,
}

impl Http {
    /// The way to the node at `url`, which has `patience` for each call.
    ///
    /// # Errors
    /// TLS or the resolver cannot be set up.
    pub fn new(url: &str, patience: Duration) -> reqwest::Result<Self> {
        let client = Client::builder()
            .timeout(patience)
            .redirect(redirect::Policy::none())
            .referer(false)
            .pool_idle_timeout(patience)
            .build()?;
        Ok(Self { client, url: url.into(), calls: AtomicU64::default() })
    }

    /// Posts a call, and once more a few times if the node has no time for it.
    async fn post(&self, call: Bytes) -> Result<Response> {
        let mut tried = 1;
        let response = loop {
            let post =
                self.client.post(&self.url).header(CONTENT_TYPE, "application/json").header(ACCEPT_ENCODING, "gzip");
            let response = post.body(call.clone()).send().await.map_err(|error| failed(&error))?;
            if response.status() != StatusCode::TOO_MANY_REQUESTS || tried == TRIES {
                break response;
            }
            tokio::time::sleep(pause(&response)).await;
            tried += 1;
        };
        let status = response.status();
        if status.is_redirection() {
            return Err(custom(format!("it leads on to {}, where nobody is asked", destination(&response, &self.url))));
        }
        if !status.is_success() {
            return Err(custom(format!("HTTP {}", status.as_u16())));
        }
        Ok(response)
    }
}

#[async_trait]
impl RpcSender for Http {
    async fn send(&self, request: RpcRequest, params: Value) -> Result<Value> {
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let call = serde_json::json!({ "jsonrpc": "2.0", "id": id, "method": request.to_string(), "params": params });
        let response = self.post(call.to_string().into()).await?;
        let body = Body::whole(response, MAX_ANSWER).await.map_err(|error| match error {
            BodyError::TooLong => custom(format!("its answer is longer than {} MiB", MAX_ANSWER >> 20)),
            BodyError::Coding | BodyError::Unpack => custom(NO_NODE.into()),
            BodyError::Http(error) => failed(&error),
        })?;
        let mut answer: Value = serde_json::from_slice(&body).map_err(|_| custom(NO_NODE.into()))?;
        if let Ok(Refusal { code, message }) = Refusal::deserialize(&answer["error"]) {
            return Err(RpcError::RpcResponseError { code, message, data: RpcResponseErrorData::Empty }.into());
        }
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(custom(NO_NODE.into())),
        }
    }

    fn get_transport_stats(&self) -> RpcTransportStats {
        RpcTransportStats::default()
    }

    fn url(&self) -> String {
        self.url.clone()
    }
}

fn custom(text: String) -> Error {
    ErrorKind::Custom(text).into()
}

/// What went wrong on the way, without the URL.
fn failed(error: &reqwest::Error) -> Error {
    custom(if error.is_timeout() {
        "timed out".into()
    } else if error.is_connect() {
        "cannot connect".into()
    } else {
        "the connection failed before the whole answer arrived".into()
    })
}

fn pause(response: &Response) -> Duration {
    let said = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    said.map_or(PAUSE, |seconds| Duration::from_secs(seconds).min(PAUSE))
}

/// Scheme, host and port to which a node sends on.
fn destination(response: &Response, from: &str) -> String {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let to = location.and_then(|to| Url::parse(from).ok()?.join(to).ok());
    to.map_or_else(|| "somewhere".into(), |to| to.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A node that answers each call with the next of these bytes, whatever is asked; what it was asked is returned.
    async fn node(answers: Vec<Vec<u8>>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/key?api-key=s3cret", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4_096];
                let read = stream.read(&mut request).await.unwrap();
                asked.push(String::from_utf8_lossy(&request[..read]).to_lowercase());
                // It may have heard enough before all is sent.
                let _ = stream.write_all(&answer).await;
            }
            asked
        });
        (url, served)
    }

    fn whole(head: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(body).unwrap();
        packed.finish().unwrap()
    }

    async fn ask(answers: Vec<Vec<u8>>) -> (std::result::Result<Value, String>, Vec<String>) {
        let (url, served) = node(answers).await;
        let http = Http::new(&url, Duration::from_secs(20)).unwrap();
        let said = http.send(RpcRequest::GetBlockHeight, Value::Null).await.map_err(|error| error.to_string());
        (said, served.await.unwrap())
    }

    #[tokio::test]
    async fn an_answer_is_read_packed_or_not_and_a_refusal_is_the_nodes_own() {
        let answer = br#"{"jsonrpc":"2.0","id":0,"result":7}"#;
        assert_eq!(ask(vec![whole("200 OK", answer)]).await.0, Ok(7.into()));
        let packed = whole("200 OK\r\nContent-Encoding: gzip", &gzip(answer));
        let (said, asked) = ask(vec![packed]).await;
        assert_eq!(said, Ok(7.into()));
        assert!(
            asked[0].contains("accept-encoding: gzip") && asked[0].contains("\"method\":\"getblockheight\""),
            "{asked:?}"
        );
        let null = ask(vec![whole("200 OK", br#"{"result":null}"#)]).await.0;
        assert_eq!(null, Ok(Value::Null));
        let refused = ask(vec![whole("200 OK", br#"{"error":{"code":-32601,"message":"no such method"}}"#)]).await.0;
        assert!(
            refused.as_ref().is_err_and(|said| said.contains("-32601") && said.contains("no such method")),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn who_has_no_time_is_asked_again_and_not_for_ever() {
        let busy = || whole("429 Too Many Requests\r\nRetry-After: 0", b"");
        let answer = whole("200 OK", br#"{"result":7}"#);
        assert_eq!(ask(vec![busy(), busy(), busy(), answer]).await.0, Ok(7.into()));
        let patient = whole("429 Too Many Requests\r\nRetry-After: 119", b"");
        let began = std::time::Instant::now();
        let (said, asked) = ask(vec![patient.clone(), patient.clone(), patient.clone(), patient]).await;
        assert!(said.unwrap_err().contains("HTTP 429") && asked.len() == 4);
        assert!(began.elapsed() < Duration::from_secs(60), "it does not say how long we wait");
    }

    #[tokio::test]
    async fn where_a_node_sends_us_is_not_followed_and_told_without_keys() {
        let said =
            ask(vec![whole("307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/internal?api-key=s3cret", b"")])
                .await
                .0;
        let said = said.unwrap_err();
        assert!(
            said.contains("leads on to http://127.0.0.1:1,") && !said.contains("s3cret") && !said.contains("internal"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn what_is_no_answer_or_never_ends_is_told() {
        for body in [&b"<html>"[..], b"[]", b"{}", b"null", b""] {
            assert!(ask(vec![whole("200 OK", body)]).await.0.unwrap_err().contains("no JSON of an RPC node"));
        }
        let bomb = gzip(&vec![b' '; MAX_ANSWER + 1]);
        let said = ask(vec![whole("200 OK\r\nContent-Encoding: gzip", &bomb)]).await.0.unwrap_err();
        assert!(bomb.len() < 1 << 20 && said.contains("longer than 128 MiB"), "{said}");
        let endless = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec(), vec![b' '; MAX_ANSWER + 1]].concat();
        assert!(ask(vec![endless]).await.0.unwrap_err().contains("longer than 128 MiB"));
        let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{".to_vec();
        assert!(ask(vec![cut]).await.0.unwrap_err().contains("before the whole answer"));
    }
}
