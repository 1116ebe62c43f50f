//! The client against a relayer that keeps its word, and against one that does not.

mod recovery;

use super::*;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer, SigningKey};
use futures::StreamExt;
use rand::RngCore;
use serde_json::json;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use steam_protocol::key::SessionKey;
use steam_protocol::receipt::{CountedBy, FinishReason, Receipt, SignedReceipt};
use steam_protocol::request::{RequestBinding, control_headers_hash};
use steam_protocol::units::{MicroUsdc, Pico, Price, Usage, charge, receipt_fee};
use steam_protocol::voucher::{Voucher, verify_strict};
use steam_protocol::{Hash, sha256};
use tokio::sync::Barrier;

const CEILING: MicroUsdc = MicroUsdc(100_000);
/// The relayer's account.
const RELAYER: [u8; 32] = [2; 32];
const VAULT: [u8; 32] = [3; 32];
const DOMAIN: Hash = [1; 32];

/// How the relayer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Honest,
    NoReceipt,
    AnotherKey,
    UnknownKeyId,
    AnotherRequest,
    AnotherVault,
    AlteredAnswer,
    AboveCeiling,
    WrongArithmetic,
    Refuses,
    ProxyFails,
    /// Breaks its answer off after the first words, and has the receipt.
    BreaksOff,
    /// Serves the request, breaks the connection before the answer begins, and is still charging when asked again.
    LosesAnswer,
    /// Breaks the first connection before it serves the request.
    LosesRequest,
    /// Charges, and sends no receipt with its answer.
    HidesReceipt,
    /// Never answers.
    Hangs,
    /// Charges, and never answers.
    ChargesAndHangs,
    /// Charges, sends the first words, and no more.
    Stalls,
}

struct Mock {
    url: String,
    manner: Mutex<Manner>,
    /// µUSDC of each voucher, in order of arrival.
    authorized: Mutex<Vec<u64>>,
    /// Holds answers back until so many requests are there.
    together: Mutex<Option<Arc<Barrier>>>,
    /// The receipt of an answer that was lost, in base64.
    stored: Mutex<Option<String>>,
    /// The receipts of what was charged, in their order.
    charged: Mutex<Vec<SignedReceipt>>,
}

fn session() -> SessionKey {
    SessionKey::from_seed(&[9; 32])
}

fn receipt_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn vault_key() -> VaultKey {
    VaultKey { vault: VAULT, generation: 5, slot: 1, epoch: 6 }
}

impl Mock {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let relayer = Arc::new(Self {
            url,
            manner: Mutex::new(Manner::Honest),
            authorized: Mutex::default(),
            together: Mutex::default(),
            stored: Mutex::default(),
            charged: Mutex::default(),
        });
        let router = axum::Router::new().fallback(answer).with_state(relayer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        relayer
    }

    fn client(&self, name: &str) -> Client {
        let relayer = Relayer {
            domain: DOMAIN,
            address: RELAYER,
            receipt_keys: vec![(1, receipt_key().verifying_key().to_bytes())],
        };
        Client::new(Api::new(&self.url).unwrap(), relayer, vault_key(), session(), state_file(name)).unwrap()
    }

    fn behaves(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// The first time it serves and breaks off, the second time it is still charging, then it has the receipt.
    fn loses_answer(&self, request_hash: Hash) -> Response {
        let body = json!({ "error": { "message": "it was sent before", "code": "replay" } }).to_string();
        let mut response = (StatusCode::CONFLICT, body).into_response();
        let times = self.authorized().len();
        assert!(times > 1, "the connection breaks");
        let mut stored = self.stored.lock().unwrap();
        match (times, &*stored) {
            (2, _) => {
                *stored = Some(BASE64.encode(receipt(Manner::Honest, Pico(1), request_hash, [9; 32]).to_bytes()));
            }
            (_, receipt) => {
                let receipt = receipt.as_ref().unwrap().parse().unwrap();
                response.headers_mut().insert("steam-receipt", receipt);
            }
        }
        response
    }

    fn authorized(&self) -> Vec<u64> {
        self.authorized.lock().unwrap().clone()
    }

    /// What the key was charged.
    fn charged(&self) -> Pico {
        self.charged.lock().unwrap().last().map_or(Pico::ZERO, |signed| signed.receipt.key_cumulative)
    }

    /// Charges a request.
    fn charge(&self, manner: Manner, request_hash: Hash, response_hash: Hash) -> SignedReceipt {
        let mut charged = self.charged.lock().unwrap();
        let before = charged.last().map_or(0, |signed| signed.receipt.key_cumulative.0);
        let signed = receipt(manner, Pico(before + cost().0), request_hash, response_hash);
        charged.push(signed.clone());
        signed
    }

    /// The list of receipts. A page has two at the most.
    fn listed(&self, query: &str) -> Response {
        let part = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name));
        let charged = self.charged.lock().unwrap();
        let mut rows: Vec<_> =
            charged.iter().enumerate().map(|(place, signed)| (format!("gen-{}", place + 10), signed)).collect();
        if part("order=") == Some("desc") {
            rows.reverse();
        }
        let after = part("after=").map_or(0, |id| 1 + rows.iter().position(|(known, _)| known == id).unwrap());
        let limit = part("limit=").unwrap().parse::<usize>().unwrap().min(2);
        let row =
            |(id, signed): &(String, &SignedReceipt)| json!({ "id": id, "receipt": BASE64.encode(signed.to_bytes()) });
        let data: Vec<_> = rows.iter().skip(after).take(limit).map(row).collect();
        json!({ "has_more": rows.len() > after + limit, "data": data }).to_string().into_response()
    }
}

fn state_file(name: &str) -> PathBuf {
    static RUN: LazyLock<u64> = LazyLock::new(|| rand::rng().next_u64());
    let folder = std::env::temp_dir().join(format!("steam-client-{:x}", *RUN));
    folder.join(format!("{name}.json"))
}

async fn ask(client: &Client, stream: bool) -> Result<Whole, ClientError> {
    let body = json!({ "model": "m", "messages": [], "stream": stream }).to_string();
    client.send(Request::json("chat/completions", body), CEILING).await?.collect().await
}

/// What one answer costs, fees included.
fn cost() -> Pico {
    let (price, usage) = quoted();
    let charged = charge(&price, &usage);
    charged.checked_add(receipt_fee(charged, 100).unwrap()).unwrap()
}

fn quoted() -> (Price, Usage) {
    (
        Price::basic(500_000, 100_000, 1_500_001, 0),
        Usage { requests: 1, input: 12, cached: 0, output: 41, ..Usage::default() },
    )
}

async fn answer(
    State(relayer): State<Arc<Mock>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let manner = *relayer.manner.lock().unwrap();
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert!(!headers.contains_key("authorization"), "the key stays with its holder");
    let nonce: [u8; 16] = hex::decode(text("steam-nonce")).unwrap().try_into().unwrap();
    assert_eq!(text("content-digest"), format!("sha-256=:{}:", BASE64.encode(sha256(&[&body]))));
    let request_hash = RequestBinding {
        relayer: &RELAYER,
        method: method.as_str(),
        path: uri.path(),
        body_hash: &sha256(&[&body]),
        control_hash: &control_headers_hash(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))),
        max_cost: MicroUsdc(text("steam-max-cost").parse().unwrap()),
        not_after: text("steam-not-after").parse().unwrap(),
        nonce: &nonce,
    }
    .hash();
    let authorized = MicroUsdc(text("steam-authorized").parse().unwrap());
    let voucher = Voucher { domain: DOMAIN, vault: VAULT, generation: 5, epoch: 6, authorized, request_hash };
    let signature: [u8; 64] = BASE64.decode(text("steam-signature")).unwrap().try_into().unwrap();
    assert!(verify_strict(&session().address(), &voucher.message(), &signature), "the voucher is the key's");
    if method == Method::GET {
        assert_eq!(authorized, MicroUsdc(0), "reading allows nothing");
        return match (uri.path(), &*relayer.stored.lock().unwrap()) {
            ("/v1/receipts/gen-1", Some(receipt)) => json!({ "receipt": receipt }).to_string().into_response(),
            ("/v1/receipts", _) => relayer.listed(uri.query().unwrap()),
            _ => StatusCode::NOT_FOUND.into_response(),
        };
    }
    relayer.authorized.lock().unwrap().push(authorized.0);
    let barrier = relayer.together.lock().unwrap().clone();
    if let Some(barrier) = barrier {
        barrier.wait().await;
    }
    match manner {
        Manner::Refuses => {
            let body = json!({ "error": { "message": "no funds", "code": "insufficient_funds" } });
            return (StatusCode::PAYMENT_REQUIRED, body.to_string()).into_response();
        }
        Manner::ProxyFails => return (StatusCode::BAD_GATEWAY, "<html>").into_response(),
        Manner::LosesRequest if relayer.authorized().len() == 1 => panic!("the connection breaks"),
        Manner::LosesAnswer => return relayer.loses_answer(request_hash),
        Manner::Hangs => std::future::pending().await,
        Manner::ChargesAndHangs => {
            relayer.charge(manner, request_hash, [9; 32]);
            std::future::pending().await
        }
        _ => {}
    }
    let max_cost = MicroUsdc(text("steam-max-cost").parse().unwrap());
    // The highest total that the key ever signed counts, whatever request it came with.
    let highest = relayer.authorized().into_iter().max().map(MicroUsdc).unwrap();
    if highest.pico() < relayer.charged().checked_add(max_cost.pico()).unwrap() {
        let body = json!({ "error": { "message": "sign for more", "code": "authorized_too_low" } });
        return (StatusCode::PAYMENT_REQUIRED, body.to_string()).into_response();
    }
    let streamed = serde_json::from_slice::<serde_json::Value>(&body).unwrap()["stream"] == true;
    let mut said = if streamed {
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n: keep-alive\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"lo\"}}]}\n\n"
            .to_owned()
    } else {
        json!({ "choices": [{ "message": { "content": "Hello" } }] }).to_string()
    };
    let hash = sha256(&[said.as_bytes()]);
    let signed = match manner {
        Manner::Honest | Manner::HidesReceipt | Manner::Stalls => relayer.charge(manner, request_hash, hash),
        _ => receipt(manner, Pico(1), request_hash, hash),
    };
    let signed = BASE64.encode(signed.to_bytes());
    if manner == Manner::AlteredAnswer {
        said = said.replace("lo", "p!");
    }
    if manner == Manner::Stalls {
        *relayer.stored.lock().unwrap() = Some(signed);
        let parts =
            futures::stream::iter([Ok::<_, std::io::Error>(said[..20].to_owned())]).chain(futures::stream::pending());
        let headers = [("content-type", "text/event-stream"), ("steam-generation-id", "gen-1")];
        return (headers, axum::body::Body::from_stream(parts)).into_response();
    }
    if manner == Manner::BreaksOff {
        *relayer.stored.lock().unwrap() = Some(signed);
        let parts =
            futures::stream::iter([Ok(said[..20].to_owned()), Err(std::io::Error::other("the connection breaks"))]);
        // The beginning is sent before the end is known.
        let parts = parts.then(async |part| {
            if part.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
            part
        });
        let headers = [("content-type", "text/event-stream"), ("steam-generation-id", "gen-1")];
        return (headers, axum::body::Body::from_stream(parts)).into_response();
    }
    let silent = [Manner::NoReceipt, Manner::HidesReceipt].contains(&manner);
    if streamed {
        let seal = if silent { String::new() } else { format!(": steam-receipt {signed}\n\n") };
        return ([("content-type", "text/event-stream")], format!("{said}{seal}data: [DONE]\n\n")).into_response();
    }
    let mut response = ([("content-type", "application/json")], said).into_response();
    if !silent {
        response.headers_mut().insert("steam-receipt", signed.parse().unwrap());
    }
    response
}

fn receipt(manner: Manner, key_cumulative: Pico, request_hash: Hash, response_hash: Hash) -> SignedReceipt {
    let (price, mut usage) = quoted();
    if manner == Manner::AboveCeiling {
        usage.output = 100_000;
    }
    let charged = charge(&price, &usage);
    let extra = if manner == Manner::WrongArithmetic { 1 } else { 0 };
    let receipt = Receipt {
        key_id: if manner == Manner::UnknownKeyId { 2 } else { 1 },
        domain: DOMAIN,
        relayer: RELAYER,
        vault: if manner == Manner::AnotherVault { [4; 32] } else { VAULT },
        generation: 5,
        key_epoch: 6,
        key_slot: 1,
        number: 1,
        request_hash: if manner == Manner::AnotherRequest { [8; 32] } else { request_hash },
        response_hash,
        provider: [5; 32],
        offer: [6; 32],
        price_version: 1,
        price: price.into(),
        usage,
        counted_by: CountedBy::Provider,
        charge: Pico(charged.0 + extra),
        fee_bps: 100,
        fee: receipt_fee(charged, 100).unwrap(),
        key_cumulative,
        finish_reason: FinishReason::Stop,
        started_at_ms: 1,
        ttft_ms: 1,
        duration_ms: 1,
        routing_hash: [0; 32],
    };
    let key = if manner == Manner::AnotherKey { SigningKey::from_bytes(&[8; 32]) } else { receipt_key() };
    let signature = key.sign(&receipt.message()).to_bytes();
    SignedReceipt { receipt, signature }
}

#[tokio::test]
async fn verified_receipts_are_what_is_spent() {
    let relayer = Mock::start().await;
    let client = relayer.client("spent");
    for (asked, streamed) in [(1, true), (2, false), (3, true)] {
        let whole = ask(&client, streamed).await.unwrap();
        let text = String::from_utf8(whole.bytes).unwrap();
        let ends = if streamed { "lo\"}}]}\n\n\ndata: [DONE]\n\n" } else { "\"Hello\"}}]}" };
        assert!(text.ends_with(ends), "{text:?}");
        assert_eq!(client.state().spent().unwrap(), Pico(cost().0 * asked));
        assert_eq!(client.state().unresolved().unwrap(), MicroUsdc(0));
    }
    // Each voucher is what receipts say was spent, rounded up, and its own ceiling.
    let spent = |times: u128| Pico(cost().0 * times).ceil_micro().unwrap().0;
    assert_eq!(relayer.authorized(), [CEILING.0, spent(1) + CEILING.0, spent(2) + CEILING.0]);
}

#[tokio::test]
async fn a_receipt_that_does_not_hold_counts_for_nothing() {
    for (manner, says) in [
        (Manner::NoReceipt, "without a receipt"),
        (Manner::AnotherKey, "not by the relayer's receipt key"),
        (Manner::UnknownKeyId, "receipt key 2"),
        (Manner::AnotherRequest, "request hash"),
        (Manner::AnotherVault, "vault"),
        (Manner::AlteredAnswer, "response hash"),
        (Manner::AboveCeiling, "more than"),
        (Manner::WrongArithmetic, "price times its tokens"),
    ] {
        for streamed in [true, false] {
            let relayer = Mock::start().await;
            let client = relayer.client(&format!("bad-{manner:?}-{streamed}"));
            relayer.behaves(manner);
            let error = ask(&client, streamed).await.unwrap_err().to_string();
            assert!(error.contains(says), "{manner:?}: {error}");
            assert_eq!(client.state().spent().unwrap(), Pico::ZERO, "{manner:?}");
            assert_eq!(client.state().unresolved().unwrap(), CEILING, "{manner:?}");
        }
    }
}

#[tokio::test]
async fn what_has_no_receipt_adds_up_and_then_the_key_stops() {
    let relayer = Mock::start().await;
    let client = relayer.client("stops").max_unresolved(MicroUsdc(250_000)).unwrap();
    relayer.behaves(Manner::NoReceipt);
    for _ in 0..2 {
        assert!(matches!(ask(&client, true).await, Err(ClientError::NoReceipt)));
    }
    let refused = ask(&client, true).await;
    assert!(matches!(refused, Err(ClientError::State(StateError::Unresolved { .. }))), "{refused:?}");
    assert_eq!(relayer.authorized(), [CEILING.0, 2 * CEILING.0], "the third was not sent");
    // The file remembers after a restart.
    drop(client);
    let again = relayer.client("stops");
    assert_eq!(again.state().unresolved().unwrap(), MicroUsdc(2 * CEILING.0));
    assert_eq!(again.state().high_water().unwrap(), MicroUsdc(2 * CEILING.0));
}

#[tokio::test]
async fn a_refusal_frees_the_ceiling_and_a_proxys_error_does_not() {
    let relayer = Mock::start().await;
    let client = relayer.client("refusal");
    relayer.behaves(Manner::Refuses);
    let refused = ask(&client, true).await;
    assert!(
        matches!(&refused, Err(ClientError::Api(ApiError::Refused(refusal))) if refusal.status == 402 && refusal.message == "no funds")
    );
    assert_eq!(client.state().unresolved().unwrap(), MicroUsdc(0));
    relayer.behaves(Manner::ProxyFails);
    assert!(matches!(ask(&client, true).await, Err(ClientError::Api(ApiError::Status { status: 502 }))));
    assert_eq!(client.state().unresolved().unwrap(), CEILING);
}

#[tokio::test]
async fn requests_in_flight_are_each_covered() {
    let relayer = Mock::start().await;
    *relayer.together.lock().unwrap() = Some(Arc::new(Barrier::new(3)));
    let client = relayer.client("flight");
    let (a, b, c) = tokio::join!(ask(&client, true), ask(&client, false), ask(&client, true));
    assert!([a, b, c].iter().all(Result::is_ok));
    let mut authorized = relayer.authorized();
    authorized.sort_unstable();
    assert_eq!(authorized, [CEILING.0, 2 * CEILING.0, 3 * CEILING.0]);
    assert_eq!(client.state().spent().unwrap(), Pico(3 * cost().0));
}

#[tokio::test]
async fn an_unreachable_relayer_was_not_asked() {
    let relayer = Mock::start().await;
    let client = relayer.client("unreachable").at(Api::new("http://127.0.0.1:1").unwrap());
    assert!(matches!(ask(&client, true).await, Err(ClientError::Api(ApiError::Connect { .. }))));
    assert_eq!(client.state().unresolved().unwrap(), MicroUsdc(0));
}

#[tokio::test]
async fn money_that_moved_without_a_receipt_is_noticed() {
    let relayer = Mock::start().await;
    let client = relayer.client("settled");
    // A file that knows of nothing takes what is settled as spent.
    client.state().check_settled(Pico(70)).unwrap();
    assert_eq!(client.state().spent().unwrap(), Pico(70));
    let strict = relayer.client("settled").max_unknown(MicroUsdc(0)).unwrap();
    let beyond = strict.state().check_settled(Pico(71));
    assert!(matches!(beyond, Err(StateError::UnknownSpending { unknown: Pico(1), .. })), "{beyond:?}");
    assert_eq!(client.state().spent().unwrap(), Pico(70));
    relayer.behaves(Manner::NoReceipt);
    ask(&client, true).await.unwrap_err();
    client.state().check_settled(Pico(70 + CEILING.pico().0)).unwrap();
}

#[tokio::test]
async fn the_state_is_its_owners_and_its_keys_alone() {
    let relayer = Mock::start().await;
    let client = relayer.client("private");
    ask(&client, true).await.unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(state_file("private")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let another = VaultKey { epoch: 7, ..vault_key() };
    let opened = StateFile::open(state_file("private"), DOMAIN, &another, session().address());
    assert!(matches!(opened, Err(StateError::Foreign(_))), "{opened:?}");
    std::fs::write(state_file("private"), "{").unwrap();
    assert!(matches!(client.state().spent(), Err(StateError::Foreign(_))));
    assert!(!format!("{client:?}").contains("sk-steam"));
}

#[tokio::test]
async fn control_headers_are_signed_and_credentials_left_out() {
    let mock = Mock::start().await;
    let client = mock.client("controls");
    let mut request = Request::json("chat/completions", r#"{"stream":false}"#);
    for (name, value) in [
        ("steam-route-only", "a, b"),
        ("anthropic-beta", "x"),
        ("authorization", "Bearer sk-other"),
        ("steam-nonce", "00"),
        ("x-trace", "1"),
    ] {
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    client.send(request, CEILING).await.unwrap().collect().await.unwrap();
    assert_eq!(client.state().spent().unwrap(), cost());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_counted_by_its_receipt() {
    let mock = Mock::start().await;
    let client = mock.client("breaks-off");
    mock.behaves(Manner::BreaksOff);
    let lost = ask(&client, true).await;
    assert!(matches!(&lost, Err(ClientError::AnswerLost { .. })), "{lost:?}");
    assert_eq!(client.state().spent().unwrap(), cost());
    assert_eq!(client.state().unresolved().unwrap(), MicroUsdc(0));
    // A receipt of another request is no excuse.
    let stored = mock.stored.lock().unwrap().clone();
    mock.behaves(Manner::NoReceipt);
    assert!(matches!(ask(&client, true).await, Err(ClientError::NoReceipt)));
    *mock.stored.lock().unwrap() = stored;
    assert_eq!(client.state().unresolved().unwrap(), CEILING);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_counted_once() {
    let mock = Mock::start().await;
    let client = mock.client("loses-answer");
    mock.behaves(Manner::LosesAnswer);
    let lost = ask(&client, true).await;
    assert!(matches!(&lost, Err(ClientError::AnswerLost { .. })), "{lost:?}");
    assert_eq!(mock.authorized(), [CEILING.0; 3], "the same bytes, three times");
    assert_eq!(client.state().spent().unwrap(), cost());
    assert_eq!(client.state().unresolved().unwrap(), MicroUsdc(0));
}

#[tokio::test]
async fn a_request_that_never_arrived_is_sent_again_with_its_signature() {
    let mock = Mock::start().await;
    let client = mock.client("loses-request");
    mock.behaves(Manner::LosesRequest);
    ask(&client, false).await.unwrap();
    assert_eq!(mock.authorized(), [CEILING.0; 2]);
    assert_eq!(client.state().spent().unwrap(), cost());
    assert_eq!(client.state().high_water().unwrap(), CEILING);
}
