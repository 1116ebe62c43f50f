//! The proxy on a socket, before a relayer on a socket, before providers on sockets.

use super::*;
use crate::relay::testing::VAULT;
use crate::relay::testing::mock::{HELLO, Mock, STOP, Step, USAGE, answer, good, stream};
use crate::relay::testing::world::{World, receipt_key, request};
use serde_json::{Value, json};
use std::path::Path;
use steam_client::{Api, Client, Relayer, VaultKey};
use steam_protocol::units::{MicroUsdc, Pico};

const CEILING: MicroUsdc = MicroUsdc(100_000);

/// A proxy for the world's key, with its file in a folder.
struct Local {
    address: SocketAddr,
    proxy: Arc<Proxy>,
    http: reqwest::Client,
}

fn client(world: &World, state: &Path) -> Client {
    let identity = world.identity();
    let relayer = Relayer {
        domain: identity.domain,
        address: identity.relayer.to_bytes(),
        receipt_keys: vec![(0, receipt_key())],
    };
    let place = VaultKey { vault: VAULT.to_bytes(), generation: 7, slot: 0, epoch: 1 };
    Client::new(Api::new(&world.url("")).unwrap(), relayer, place, world.key(), state.to_owned()).unwrap()
}

impl Local {
    async fn start(world: &World, state: &Path, at_once: usize) -> Self {
        Self::guarded(world, state, at_once, Guard::default()).await
    }

    async fn guarded(world: &World, state: &Path, at_once: usize, guard: Guard) -> Self {
        let most = MicroUsdc(CEILING.0 * at_once as u64);
        let client = client(world, state).max_unresolved(most).unwrap();
        let proxy = Arc::new(Proxy::new(client, CEILING, at_once, guard, Format::Text));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, proxy.clone(), std::future::pending(), Format::Text));
        Self { address, proxy, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What a stock SDK sends.
    fn sdk(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = self.http.post(self.url(path)).bearer_auth("sk-dummy").header("x-api-key", "sk-dummy");
        request.header("content-type", "application/json").body(body.to_string())
    }

    async fn chat(&self, members: Value) -> reqwest::Response {
        self.sdk("/v1/chat/completions", &request(members)).send().await.unwrap()
    }

    /// What was spent and what is open, once all is counted.
    async fn counted(&self) -> (Pico, MicroUsdc) {
        for _ in 0..500 {
            if self.proxy.tasks.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(self.proxy.tasks.is_empty(), "a task outlived its request");
        let state = self.proxy.client.state();
        (state.spent().unwrap(), state.unresolved().unwrap())
    }
}

/// A relayer at this machine's time.
async fn world(mock: &Mock) -> World {
    let mut world = World::with(vec![mock.offer(1)], |config| {
        (config.upstream.first_token_timeout_ms, config.upstream.idle_timeout_ms) = (10_000, 10_000);
    })
    .await;
    world.now();
    world
}

/// What the ledger has of the key, in pico-USDC.
async fn charged(world: &World) -> Pico {
    world.settled_down().await;
    let (status, usage) = world.get("/v1/usage?group_by=key").await;
    assert_eq!(status, 200, "{usage}");
    Pico(usage["total"]["cost_pico"].as_str().unwrap().parse().unwrap())
}

#[tokio::test]
async fn a_stock_request_is_signed_paid_and_verified() {
    let mock = good(true).await;
    let (world, files) = (world(&mock).await, tempfile::tempdir().unwrap());
    let local = Local::start(&world, &files.path().join("state.json"), 10).await;
    for path in ["/v1/chat/completions", "/chat/completions/"] {
        let streamed = local.sdk(path, &request(json!({"stream": true}))).send().await.unwrap();
        assert_eq!(streamed.status(), 200);
        assert_eq!(streamed.headers()["content-type"], "text/event-stream");
        let text = streamed.text().await.unwrap();
        assert!(text.contains("hello") && text.ends_with("data: [DONE]\n\n"), "{text}");
    }
    let (spent, open) = local.counted().await;
    assert_eq!((spent, open), (charged(&world).await, MicroUsdc(0)));
    assert!(spent > Pico::ZERO);
    let whole = good(false).await;
    let whole_world = self::world(&whole).await;
    let local = Local::start(&whole_world, &files.path().join("whole.json"), 10).await;
    let answer = local.chat(json!({})).await;
    assert!(answer.headers().contains_key("steam-receipt") && answer.headers().contains_key("steam-generation-id"));
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["choices"][0]["message"]["role"], "assistant", "{body}");
    assert_eq!(local.counted().await, (charged(&whole_world).await, MicroUsdc(0)));
    let heads = whole.requests.lock().unwrap().clone();
    assert!(!heads.iter().any(|(head, _)| head.contains("sk-dummy") || head.contains("sk-steam")), "no key goes on");
}

#[tokio::test]
async fn a_stream_passes_as_it_comes() {
    let mut steps = stream(&[HELLO]);
    steps.push(Step::Pause(1_500));
    steps.extend([STOP, USAGE, "[DONE]"].map(|event| Step::Say(format!("data: {event}\n\n"))));
    let mock = Mock::new("slow", steps).await;
    let (world, files) = (world(&mock).await, tempfile::tempdir().unwrap());
    let local = Local::start(&world, &files.path().join("state.json"), 10).await;
    let asked = tokio::time::Instant::now();
    let mut answer = local.chat(json!({"stream": true})).await;
    let mut seen = String::new();
    while !seen.contains("hello") {
        seen.push_str(std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(asked.elapsed() < Duration::from_millis(1_200), "the first words came after {:?}", asked.elapsed());
    while let Some(more) = answer.chunk().await.unwrap() {
        seen.push_str(std::str::from_utf8(&more).unwrap());
    }
    assert!(seen.ends_with("data: [DONE]\n\n"), "{seen}");
    assert!(asked.elapsed() >= Duration::from_millis(1_500));
    assert_eq!(local.counted().await, (charged(&world).await, MicroUsdc(0)));
}

#[tokio::test]
async fn many_requests_at_once_are_all_covered_and_the_others_wait() {
    let mut steps = stream(&[HELLO]);
    steps.push(Step::Pause(200));
    steps.extend([STOP, USAGE, "[DONE]"].map(|event| Step::Say(format!("data: {event}\n\n"))));
    let mock = Mock::new("busy", steps).await;
    let (world, files) = (world(&mock).await, tempfile::tempdir().unwrap());
    let local = Local::start(&world, &files.path().join("state.json"), 4).await;
    let ask = async || {
        let answer = local.chat(json!({"stream": true})).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.text().await.unwrap().ends_with("data: [DONE]\n\n"));
    };
    let began = tokio::time::Instant::now();
    futures::future::join_all((0..12).map(|_| ask())).await;
    assert!(began.elapsed() >= Duration::from_millis(600), "no more than four at once: {:?}", began.elapsed());
    assert_eq!(mock.count(), 12, "none was refused, none sent twice");
    assert_eq!(local.counted().await, (charged(&world).await, MicroUsdc(0)));
    assert!(local.proxy.client.state().high_water().unwrap() <= MicroUsdc(4 * CEILING.0 + 1_000), "within the limit");
}

#[tokio::test]
async fn who_leaves_pays_for_what_came_and_nothing_stays_open() {
    let mut steps = stream(&[HELLO]);
    steps.push(Step::Forever);
    let mock = Mock::new("endless", steps).await;
    let (world, files) = (world(&mock).await, tempfile::tempdir().unwrap());
    let local = Local::start(&world, &files.path().join("state.json"), 10).await;
    let mut answer = local.chat(json!({"stream": true})).await;
    assert!(answer.chunk().await.unwrap().is_some());
    drop(answer);
    let (spent, open) = local.counted().await;
    assert_eq!((spent, open), (charged(&world).await, MicroUsdc(0)));
    assert!(spent > Pico::ZERO);

    // Before there is an answer, nothing is charged.
    let silent = Mock::new("silent", vec![Step::Forever]).await;
    let world = self::world(&silent).await;
    let local = Local::start(&world, &files.path().join("silent.json"), 10).await;
    let asked = local.sdk("/v1/chat/completions", &request(json!({}))).timeout(Duration::from_millis(300)).send().await;
    assert!(asked.unwrap_err().is_timeout());
    assert_eq!(local.counted().await, (Pico::ZERO, MicroUsdc(0)));
    assert_eq!((charged(&world).await, silent.count()), (Pico::ZERO, 1));
}

#[tokio::test]
async fn a_lost_file_is_made_up_for_by_the_relayers_receipts() {
    let mock = good(true).await;
    let (world, files) = (world(&mock).await, tempfile::tempdir().unwrap());
    let state = files.path().join("state.json");
    let local = Local::start(&world, &state, 10).await;
    for _ in 0..3 {
        assert_eq!(local.chat(json!({"stream": true})).await.text().await.unwrap().matches("[DONE]").count(), 1);
    }
    local.counted().await;
    std::fs::remove_file(&state).unwrap();
    // The same proxy goes on, and so does one that starts anew.
    assert_eq!(local.chat(json!({"stream": true})).await.status(), 200);
    assert_eq!(local.counted().await, (charged(&world).await, MicroUsdc(0)));
    std::fs::write(&state, "").unwrap();
    let again = Local::start(&world, &state, 10).await;
    assert_eq!(again.chat(json!({"stream": true})).await.status(), 200);
    assert_eq!(again.counted().await, (charged(&world).await, MicroUsdc(0)));
    assert_eq!(mock.count(), 5);
}

#[tokio::test]
async fn pages_and_names_that_are_not_the_proxys_spend_nothing() {
    let mock = good(true).await;
    let (world, files) = (world(&mock).await, tempfile::tempdir().unwrap());
    let guard = Guard { origins: vec!["http://app.example".into()], ..Guard::default() };
    let local = Local::guarded(&world, &files.path().join("state.json"), 10, guard).await;
    for (name, value, status) in [
        ("host", "evil.example", 421),
        ("origin", "http://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "cross-site", 403),
    ] {
        let refused = local.sdk("/v1/chat/completions", &request(json!({}))).header(name, value).send().await.unwrap();
        assert_eq!(refused.status(), status, "{name}: {value}");
        assert!(!refused.headers().contains_key("access-control-allow-origin"));
        let body: Value = refused.json().await.unwrap();
        // Both OpenAI's and Anthropic's clients find what they look for.
        assert_eq!((&body["type"], body["error"]["message"].is_string()), (&json!("error"), true), "{body}");
    }
    assert_eq!(mock.count(), 0);
    let page =
        local.sdk("/v1/chat/completions", &request(json!({"stream": true}))).header("origin", "http://app.example");
    let answer = page.send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "http://app.example");
    assert!(answer.text().await.unwrap().contains("hello"));
    let preflight = local.http.request(reqwest::Method::OPTIONS, local.url("/v1/chat/completions"));
    let preflight = preflight
        .header("origin", "http://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let preflight = preflight.send().await.unwrap();
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-headers"], "authorization,content-type");
    local.counted().await;
}

#[tokio::test]
async fn lists_and_refusals_pass_and_cost_nothing() {
    let mock = good(true).await;
    let (world, files) = (world(&mock).await, tempfile::tempdir().unwrap());
    let local = Local::start(&world, &files.path().join("state.json"), 10).await;
    let got = async |path: &str| {
        let answer = local.http.get(local.url(path)).bearer_auth("sk-dummy").send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(got("/v1/models").await.1["data"][0]["id"], "m");
    assert_eq!(got("/v1/key").await.0, 200, "signed as the key");
    assert_eq!(got("/v1/receipts?limit=1").await.1["data"], json!([]));
    assert_eq!(got("/v1/receipts?limit=0").await.0, 400);
    assert_eq!(got("/v1/nothing").await.0, 404);
    let count = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let counted = local.sdk("/v1/messages/count_tokens", &count).send().await.unwrap();
    assert_eq!(counted.status(), 200);
    assert!(counted.json::<Value>().await.unwrap()["input_tokens"].as_u64().unwrap() > 0);

    let unknown = local.chat(json!({"model": "nobody/has-it"})).await;
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.json::<Value>().await.unwrap()["error"]["code"], "model_not_found");
    let message = json!({"model": "nobody/has-it", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]});
    let unknown = local.sdk("/v1/messages?beta=true", &message).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.json::<Value>().await.unwrap()["error"]["type"], "not_found_error", "in the client's dialect");
    assert_eq!(local.sdk("/v1/chat/completions?x=1", &request(json!({}))).send().await.unwrap().status(), 400);
    assert_eq!(local.sdk("/v1/withdrawals", &json!({})).send().await.unwrap().status(), 404);
    assert_eq!(local.http.head(local.url("/")).send().await.unwrap().status(), 200);
    let upgrade = local.http.get(local.url("/v1/responses")).header("upgrade", "websocket").send().await.unwrap();
    assert_eq!(upgrade.status(), 426);
    assert_eq!(local.counted().await, (Pico::ZERO, MicroUsdc(0)));
    assert_eq!((charged(&world).await, mock.count()), (Pico::ZERO, 0));
}

#[tokio::test]
async fn a_body_that_is_announced_larger_than_any_relayer_takes_is_not_waited_for() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mock = good(false).await;
    let (world, files) = (world(&mock).await, tempfile::tempdir().unwrap());
    let local = Local::start(&world, &files.path().join("state.json"), 10).await;
    let address = local.url("").trim_start_matches("http://").to_owned();
    let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-length: 99999999999\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    connection.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    assert_eq!(mock.count(), 0);
}

#[tokio::test]
async fn an_answer_that_cannot_be_trusted_is_not_handed_on_as_one() {
    let mock = Mock::new("whole", answer("200 OK", crate::relay::testing::mock::WHOLE)).await;
    let (world, files) = (world(&mock).await, tempfile::tempdir().unwrap());
    let identity = world.identity();
    // The chain knows another receipt key.
    let relayer =
        Relayer { domain: identity.domain, address: identity.relayer.to_bytes(), receipt_keys: vec![(0, [7; 32])] };
    let place = VaultKey { vault: VAULT.to_bytes(), generation: 7, slot: 0, epoch: 1 };
    let api = Api::new(&world.url("")).unwrap();
    let client = Client::new(api, relayer, place, world.key(), files.path().join("state.json")).unwrap();
    let proxy = Arc::new(Proxy::new(client, CEILING, 10, Guard::default(), Format::Text));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, proxy.clone(), std::future::pending(), Format::Text));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{address}/v1/chat/completions");
    let refused = http.post(url).body(request(json!({})).to_string()).header("content-type", "application/json");
    let refused = refused.send().await.unwrap();
    assert_eq!(refused.status(), 502);
    assert_eq!(refused.headers()["x-should-retry"], "false", "a stock SDK does not pay again");
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["code"], "receipt");
    assert_eq!(proxy.client.state().unresolved().unwrap(), CEILING, "it stays counted");
}

#[tokio::test]
async fn it_ends_once_requests_under_way_have() {
    let mut steps = stream(&[HELLO]);
    steps.push(Step::Pause(500));
    steps.extend([STOP, USAGE, "[DONE]"].map(|event| Step::Say(format!("data: {event}\n\n"))));
    let mock = Mock::new("slow", steps).await;
    let (world, files) = (world(&mock).await, tempfile::tempdir().unwrap());
    let client = client(&world, &files.path().join("state.json"));
    let proxy = Arc::new(Proxy::new(client, CEILING, 10, Guard::default(), Format::Text));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, asked) = tokio::sync::oneshot::channel::<()>();
    let stopped = async {
        let _ = asked.await;
        Ok(())
    };
    let serving = tokio::spawn(serve(listener, proxy.clone(), stopped, Format::Text));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{address}/v1/chat/completions");
    let body = request(json!({"stream": true})).to_string();
    let answer = http.post(&url).body(body).header("content-type", "application/json").send().await.unwrap();
    stop.send(()).unwrap();
    let text = answer.text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    tokio::time::timeout(Duration::from_secs(5), serving).await.unwrap().unwrap().unwrap();
    assert_eq!(proxy.client.state().spent().unwrap(), charged(&world).await);
    assert!(http.get(&url).send().await.unwrap_err().is_connect(), "nobody listens any more");
}
