//! An RPC node with one fault: it hands on what it is asked to a real node, and spoils the answer.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use std::sync::Arc;
use steam::chain::Pubkey;

const CLOCK: &str = "SysvarC1ock11111111111111111111111111111111";

/// What is wrong with a node.
#[derive(Clone)]
pub enum Fault {
    /// It answers everything with this status.
    Status(u16),
    /// It refuses everything with these words.
    Says(String),
    /// It sends on to another address.
    Redirect,
    /// It is a web page.
    Page,
    /// It does not know this method.
    Without(&'static str),
    /// It has another genesis.
    OtherCluster,
    /// It is so many blocks behind.
    Behind(u64),
    /// It does not have this account, asked for alone.
    NoFeeAccount(Pubkey),
    /// Its cluster's clock is so many seconds before or after the real one's.
    Clock(i64),
    /// It says that another settler belongs to this relayer.
    Liar(Pubkey),
}

/// Starts one before the node at `real`. Its URL.
pub async fn start(real: &str, fault: Fault) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let state = Arc::new((real.to_owned(), fault));
    let router = Router::new().fallback(answer).with_state(state);
    tokio::spawn(axum::serve(listener, router).into_future());
    url
}

async fn answer(State(node): State<Arc<(String, Fault)>>, body: Bytes) -> Response {
    let (real, fault) = &*node;
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let method = asked["method"].as_str().unwrap_or_default();
    match fault {
        Fault::Status(status) => return StatusCode::from_u16(*status).unwrap().into_response(),
        Fault::Says(words) => {
            let error = json!({ "code": -32000, "message": words });
            return told(&json!({ "jsonrpc": "2.0", "id": asked["id"], "error": error }));
        }
        Fault::Redirect => {
            return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "http://127.0.0.1:1/internal")])
                .into_response();
        }
        Fault::Page => return ([(header::CONTENT_TYPE, "text/html")], "<html>hello</html>").into_response(),
        Fault::Without(missing) if *missing == method => {
            let error = json!({ "code": -32601, "message": "Method not found" });
            return told(&json!({ "jsonrpc": "2.0", "id": asked["id"], "error": error }));
        }
        _ => {}
    }
    let client = reqwest::Client::new();
    let real = client.post(real).header(header::CONTENT_TYPE, "application/json").body(body).send().await.unwrap();
    let mut said: Value = real.json().await.unwrap();
    spoil(fault, method, &asked, &mut said["result"]);
    told(&said)
}

fn told(said: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], said.to_string()).into_response()
}

fn spoil(fault: &Fault, method: &str, asked: &Value, result: &mut Value) {
    let addresses: Vec<&str> = asked["params"][0].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match (fault, method) {
        (Fault::OtherCluster, "getGenesisHash") => *result = Pubkey::new_from_array([3; 32]).to_string().into(),
        (Fault::Behind(blocks), "getBlockHeight") => *result = result.as_u64().unwrap().saturating_sub(*blocks).into(),
        (Fault::NoFeeAccount(account), "getMultipleAccounts") if addresses == [account.to_string().as_str()] => {
            result["value"][0] = Value::Null;
        }
        (Fault::Clock(seconds), "getMultipleAccounts") => {
            let Some(at) = addresses.iter().position(|address| *address == CLOCK) else { return };
            let data = &mut result["value"][at]["data"][0];
            let mut bytes = BASE64.decode(data.as_str().unwrap()).unwrap();
            // The last of its five numbers, set by this machine's clock.
            let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
            bytes[32..40].copy_from_slice(&(now + seconds).to_le_bytes());
            *data = BASE64.encode(bytes).into();
        }
        (Fault::Liar(account), "getMultipleAccounts") => {
            let Some(at) = addresses.iter().position(|address| *address == account.to_string()) else { return };
            let data = &mut result["value"][at]["data"][0];
            let mut bytes = BASE64.decode(data.as_str().unwrap()).unwrap();
            // Where the settler's address is: after the discriminator and the authority.
            bytes[40] ^= 1;
            *data = BASE64.encode(bytes).into();
        }
        _ => {}
    }
}
