//! An RPC node between the relayer and the chain that can stop a call in its tracks: the only thing simulated here is
//! the network, and only its silence.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// How far a settlement had come when the relayer was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Charges are in the ledger, and no group is under way.
    BeforeSealing,
    /// A group is sealed; its transaction is being simulated.
    Sealed,
    /// The transaction is signed and stored; no node has it.
    Signed,
    /// The transaction is with the cluster; the relayer does not know.
    Sent,
    /// The cluster has confirmed it; the relayer has not been told.
    Confirmed,
    /// The ledger has counted it.
    Counted,
}

impl Stage {
    pub const ALL: [Self; 6] =
        [Self::BeforeSealing, Self::Sealed, Self::Signed, Self::Sent, Self::Confirmed, Self::Counted];
}

pub struct Proxy {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    http: reqwest::Client,
    armed: Mutex<Option<Stage>>,
    hit: Notify,
}

impl Proxy {
    pub async fn start(upstream: &str) -> Self {
        let shared = Arc::new(Shared {
            upstream: upstream.into(),
            http: reqwest::Client::new(),
            armed: Mutex::default(),
            hit: Notify::new(),
        });
        let router = axum::Router::new().route("/", post(forward)).with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    /// Waits until a call shows that a settlement has come to `stage`; that call is then never answered.
    pub async fn reach(&self, stage: Stage) {
        *self.shared.armed.lock().unwrap() = Some(stage);
        self.shared.hit.notified().await;
    }

    pub fn disarm(&self) {
        *self.shared.armed.lock().unwrap() = None;
    }
}

async fn forward(State(shared): State<Arc<Shared>>, body: Bytes) -> impl IntoResponse {
    let call: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let method = call["method"].as_str().unwrap_or_default();
    let armed = *shared.armed.lock().unwrap();
    let before = matches!(
        (armed, method),
        (Some(Stage::Sealed), "simulateTransaction") | (Some(Stage::Signed), "sendTransaction")
    );
    if before {
        return never(&shared).await;
    }
    let request = shared.http.post(&shared.upstream).header(CONTENT_TYPE, "application/json").body(body);
    let answer = request.send().await.unwrap().text().await.unwrap();
    let after = match (armed, method) {
        (Some(Stage::Sent), "sendTransaction") => true,
        (Some(Stage::Confirmed), "getSignatureStatuses") => answer.contains("\"confirmed\""),
        _ => false,
    };
    if after {
        return never(&shared).await;
    }
    ([(CONTENT_TYPE, "application/json")], answer)
}

async fn never<T>(shared: &Shared) -> T {
    shared.hit.notify_one();
    std::future::pending().await
}
