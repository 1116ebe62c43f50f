//! Two processes of a relayer: one holds the vault, and the other one is asked.

use super::*;
use crate::app::replica::PROCESSES;
use crate::app::serve::serve_until;
use crate::config::Config;
use crate::ledger::partitions::{Held as Part, Member, Roster, partition_of};
use crate::relay::testing::mock::{HELLO, Mock, ROLE, Step, good, stream};
use crate::relay::testing::world::{Streamed, World, error};
use axum::http::HeaderValue;
use serde_json::json;
use std::future::IntoFuture;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::DropGuard;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PARTITIONS: u16 = 4;

struct Two {
    world: World,
    /// The one that holds the vault.
    holder: Arc<Entry>,
    /// Its internal port.
    internal: SocketAddr,
    /// The one that holds nothing, and where it is asked.
    other: Arc<Entry>,
    public: SocketAddr,
    partition: u16,
}

async fn listen(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

async fn world(provider: Mock, set: impl FnOnce(&mut Config)) -> World {
    World::with(vec![provider.offer(1)], |config| {
        (config.replicas.partitions, config.replicas.wait_ms) = (PARTITIONS, 400);
        set(config);
    })
    .await
}

fn entry(world: &World, me: &str) -> Arc<Entry> {
    let secret = Secret::read(SECRET).unwrap();
    Arc::new(Entry::new(world.node.shared.clone(), world.node.vaults.directory(), me.into(), secret))
}

impl Two {
    async fn new(provider: Mock) -> Self {
        let world = world(provider, |_| {}).await;
        let holder = entry(&world, "holder");
        let internal = listen(holder.internal()).await;
        Self::of(world, holder, internal).await
    }

    /// The same, whose holder listens as a process does, and is greeted until what comes with it is dropped. The lease is 0.4 s.
    async fn greeted(provider: Mock, set: impl FnOnce(&mut Config)) -> (Self, DropGuard) {
        let world = world(provider, |config| {
            config.replicas.lease_ms = 400;
            set(config);
        })
        .await;
        let holder = entry(&world, "holder");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (internal, shared) = (listener.local_addr().unwrap(), world.node.shared.clone());
        let most = PROCESSES * shared.config.server.max_connections;
        tokio::spawn(serve_until(CancellationToken::new(), listener, shared, holder.internal(), most));
        let two = Self::of(world, holder, internal).await;
        let shutdown = CancellationToken::new();
        tokio::spawn(two.other.clone().greet(shutdown.clone()));
        (two, shutdown.drop_guard())
    }

    async fn of(world: World, holder: Arc<Entry>, internal: SocketAddr) -> Self {
        let other = entry(&world, "other");
        let partition = partition_of(world.snapshot.address.as_array(), PARTITIONS);
        holder.open(partition, &world.node);
        let public = listen(other.public()).await;
        let two = Self { world, holder, internal, other, public, partition };
        two.told(&two.internal.to_string());
        two
    }

    /// Tells the other one that every partition is served at `address`.
    fn told(&self, address: &str) {
        let member = Member { id: "holder".into(), address: address.into(), beat: 1, resting: false };
        let part = |partition| Part { partition, member: Some("holder".into()), serving: true };
        self.other.places.update(&Roster { members: vec![member], partitions: (0..PARTITIONS).map(part).collect() });
    }

    fn post(&self, body: serde_json::Value) -> reqwest::RequestBuilder {
        let body = json!({"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}], "stream": body["stream"]});
        let url = format!("http://{}/v1/chat/completions", self.public);
        self.world.client.post(url).bearer_auth(self.world.key().reveal()).json(&body)
    }

    async fn refused(&self, request: reqwest::RequestBuilder) -> (u16, String, Option<HeaderValue>) {
        let response = request.send().await.unwrap();
        let again = response.headers().get("retry-after").cloned();
        let (status, told) = error(response).await;
        (status, told["code"].as_str().unwrap_or_default().to_owned(), again)
    }
}

#[tokio::test]
async fn whoever_is_asked_the_holder_answers_and_charges() {
    let two = Two::new(good(true).await).await;
    let streamed = Streamed::read(two.post(json!({"stream": true})).send().await.unwrap()).await;
    assert!(streamed.done);
    let receipt = streamed.receipt.unwrap().receipt;
    let sums = two.world.node.vaults.sums();
    assert_eq!((sums.held.0, sums.unsettled.0), (0, receipt.charge.0 + receipt.fee.0));
    let url = format!("http://{}/v1/usage", two.public);
    let usage = two.world.client.get(url).bearer_auth(two.world.key().reveal()).send().await.unwrap();
    assert_eq!(usage.status(), 200);
}

#[tokio::test]
async fn a_stream_comes_piece_by_piece_and_its_holder_sees_that_a_client_left() {
    let two = Two::new(Mock::new("slow", [stream(&[ROLE, HELLO]), vec![Step::Forever]].concat()).await).await;
    let mut answer = two.post(json!({"stream": true})).send().await.unwrap();
    let first = answer.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("hello"), "before its end");
    assert!(two.world.node.vaults.sums().held.0 > 0);
    drop(answer);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if two.world.node.vaults.sums().held.0 == 0 {
            return;
        }
    }
    panic!("the holder goes on for nobody");
}

#[tokio::test]
async fn a_stranger_at_the_internal_port_learns_and_does_nothing() {
    let two = Two::new(good(false).await).await;
    let url = |path: &str| format!("http://{}{path}", two.internal);
    let ask = |path: &str| two.world.client.get(url(path)).header("x-replica-partition", two.partition);
    for path in ["/health", "/v1/usage", "/metrics", "/nothing"] {
        for request in [
            ask(path),
            ask(path).header("x-replica-secret", SECRET.to_uppercase()),
            ask(path).header("x-replica-secret", ""),
        ] {
            let answer = request.bearer_auth(two.world.key().reveal()).send().await.unwrap();
            let status = answer.status();
            assert_eq!((status.as_u16(), answer.bytes().await.unwrap().len()), (403, 0), "{path}");
        }
    }
    let known = ask("/v1/usage").header("x-replica-secret", SECRET).bearer_auth(two.world.key().reveal());
    assert_eq!(known.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn what_only_processes_may_say_is_nothing_in_a_clients_mouth() {
    let two = Two::new(good(false).await).await;
    let owner = two.world.snapshot.owner;
    let session = format!("{owner} {} - 9999999999999", two.world.snapshot.address);
    let url = format!("http://{}/v1/usage", two.public);
    let asked = two.world.client.get(url).header("x-replica-session", &session).header("x-replica-secret", SECRET);
    let (status, _, _) = two
        .refused(
            asked
                .header("x-replica-partition", two.partition)
                .header("steam-vault", two.world.snapshot.address.to_string()),
        )
        .await;
    assert_eq!(status, 401, "nobody has signed in");
}

#[tokio::test]
async fn what_was_sent_on_is_not_sent_on_again() {
    let two = Two::new(good(false).await).await;
    // The other one is told to be where the holder is taken to be: it has nothing, and knows somebody who has.
    let elsewhere = listen(two.other.internal()).await;
    let url = format!("http://{elsewhere}/v1/usage");
    for partition in [two.partition, HOME] {
        let asked =
            two.world.client.get(&url).header("x-replica-secret", SECRET).header("x-replica-partition", partition);
        let answer = asked.bearer_auth(two.world.key().reveal()).send().await.unwrap();
        assert_eq!(answer.status(), 421, "{partition}");
    }
}

#[tokio::test]
async fn a_vault_that_nobody_holds_is_waited_for_and_then_said_to_move() {
    let two = Two::new(good(false).await).await;
    two.holder.shut(two.partition);
    let began = Instant::now();
    let (status, code, again) = two.refused(two.post(json!({}))).await;
    assert_eq!((status, code.as_str()), (503, "vault_moving"));
    assert!(again.is_some() && began.elapsed() >= Duration::from_millis(400), "{again:?} {:?}", began.elapsed());
    assert_eq!(two.world.node.vaults.sums().unsettled.0, 0);
    let opening = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        two.holder.open(two.partition, &two.world.node);
    };
    let (answer, ()) = tokio::join!(two.post(json!({})).send(), opening);
    assert_eq!(answer.unwrap().status(), 200, "whoever waited is served");
    // A vault that is taken by the very process that is asked.
    two.told("127.0.0.1:1");
    let opening = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        two.other.open(two.partition, &two.world.node);
    };
    let (answer, ()) = tokio::join!(two.post(json!({})).send(), opening);
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test]
async fn what_nobody_has_seen_anything_of_waits_however_long_it_is() {
    let two = Two::new(good(false).await).await;
    two.told("127.0.0.1:1");
    let body = json!({"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]});
    let long = format!("{body}{}", " ".repeat(MOST_KEPT));
    let url = format!("http://{}/v1/chat/completions", two.public);
    let asked = two.world.client.post(url).bearer_auth(two.world.key().reveal());
    let asked = asked.header("content-type", "application/json").body(long);
    let opening = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        two.other.open(two.partition, &two.world.node);
    };
    let (answer, ()) = tokio::join!(asked.send(), opening);
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test]
async fn bodies_are_kept_while_there_is_room_and_sent_on_all_the_same() {
    let two = Two::new(good(false).await).await;
    let (all, kept) = (u32::try_from(KEPT_AT_ONCE).unwrap(), || two.other.room.available_permits());
    let taken = two.other.room.try_acquire_many(all).unwrap();
    assert_eq!(two.post(json!({})).send().await.unwrap().status(), 200);
    // The holder holds it no more and nobody tells: what was not kept cannot be sent twice.
    two.holder.shut(two.partition);
    let began = Instant::now();
    let (status, code, _) = two.refused(two.post(json!({}))).await;
    assert_eq!((status, code.as_str()), (503, "vault_moving"));
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    drop(taken);
    let (answer, least) = tokio::join!(two.refused(two.post(json!({}))), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        kept()
    });
    assert_eq!((answer.0, kept()), (503, KEPT_AT_ONCE));
    assert!(least < KEPT_AT_ONCE, "its body takes room while it waits");
}

#[tokio::test]
async fn strangers_who_send_slowly_keep_no_owner_from_withdrawing() {
    let two = Two::new(good(false).await).await;
    for partition in 0..PARTITIONS {
        two.holder.open(partition, &two.world.node);
    }
    let url = format!("http://{}/withdrawals", two.public);
    let asked = || two.world.client.post(&url).json(&json!({"transaction": "AAAA"}));
    let (before, code, _) = two.refused(asked()).await;
    assert_ne!(before, 503, "{code}");
    // Nobody has asked who they are, and they send nothing.
    let mut strangers = Vec::new();
    for _ in 0..KEPT_AT_ONCE / MOST_KEPT {
        let mut stranger = tokio::net::TcpStream::connect(two.public).await.unwrap();
        let head = format!("PUT /v1/allow-lists HTTP/1.1\r\nhost: a\r\ncontent-length: {MOST_KEPT}\r\n\r\n");
        stranger.write_all(head.as_bytes()).await.unwrap();
        strangers.push(stranger);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (status, code, _) = two.refused(asked()).await;
    assert_eq!(status, before, "{code}");
    drop(strangers);
}

#[tokio::test]
async fn what_processes_greet_each_other_with_is_nothing_in_a_clients_mouth() {
    let two = Two::new(good(false).await).await;
    let answer = two.post(json!({})).header("x-replica-hello", "anything").send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn strangers_at_a_public_port_have_no_process_cut_off() {
    const MOST: usize = 8;
    for strangers in [0, MOST] {
        let (two, _greeted) = Two::greeted(good(false).await, |config| config.server.max_connections = MOST).await;
        // They name a vault, which anybody may, and send a letter of a body: over HTTP/2, 256 of them at once on one connection.
        let mut open = Vec::new();
        for _ in 0..strangers {
            let mut stranger = tokio::net::TcpStream::connect(two.public).await.unwrap();
            let vault = two.world.snapshot.address;
            let head = format!(
                "POST /v1/messages HTTP/1.1\r\nhost: a\r\nsteam-vault: {vault}\r\ncontent-type: application/json\r\n\
                 transfer-encoding: chunked\r\n\r\n1\r\n{{\r\n"
            );
            stranger.write_all(head.as_bytes()).await.unwrap();
            open.push(stranger);
        }
        let address = two.internal.to_string();
        let gone = tokio::time::timeout(Duration::from_millis(2_500), two.other.places.gone(&address)).await;
        assert!(gone.is_err(), "{strangers} strangers: what is under way at the holder is ended");
        drop(open);
    }
}

#[tokio::test]
async fn a_stream_through_another_process_has_the_time_to_drain_of_its_holder() {
    use crate::relay::testing::mock::{STOP, USAGE};
    for ends in [false, true] {
        // It takes 2.5 s, and the lease is 0.4 s; server.drain_timeout_ms is half a minute.
        let steps = [stream(&[ROLE, HELLO]), vec![Step::Pause(2_500)], stream(&[STOP, USAGE, "[DONE]"])[1..].to_vec()];
        let provider = Mock::new("slow", steps.concat()).await;
        let (two, _greeted) = Two::greeted(provider, |config| config.upstream.idle_timeout_ms = 10_000).await;
        let mut answer = two.post(json!({"stream": true})).send().await.unwrap();
        let mut text = answer.chunk().await.unwrap().unwrap().to_vec();
        if ends {
            // What SIGTERM does at the holder (`Replica::stop`) before its last request has ended.
            two.holder.shut_all();
            two.world.node.shared.stopping.cancel();
        }
        let broken = loop {
            match answer.chunk().await {
                Ok(Some(more)) => text.extend(more),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(broken.is_none() && text.contains("[DONE]"), "told to end: {ends}; {broken:?} after {text:?}");
    }
}

#[tokio::test]
async fn who_ends_while_it_works_is_said_to_be_lost() {
    let two = Two::new(good(false).await).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    two.told(&listener.local_addr().unwrap().to_string());
    let ends = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let read = stream.read(&mut [0; 64]).await.unwrap();
        assert!(read > 0);
        stream.shutdown().await.unwrap();
    };
    let (told, ()) = tokio::join!(two.refused(two.post(json!({}))), ends);
    assert_eq!((told.0, told.1.as_str()), (502, "holder_lost"));
}

#[tokio::test]
async fn what_belongs_to_all_is_asked_of_all() {
    let two = Two::new(good(false).await).await;
    for partition in 0..PARTITIONS {
        two.holder.open(partition, &two.world.node);
    }
    let url = format!("http://{}/v1/allow-lists", two.public);
    let list = json!({"providers": ["11111111111111111111111111111111"]});
    let (status, code, _) = two.refused(two.world.client.put(&url).json(&list)).await;
    assert_eq!((status, code.as_str()), (404, "allow_list_not_named"));
    two.holder.shut(two.partition);
    let (status, code, _) = two.refused(two.world.client.put(&url).json(&list)).await;
    assert_eq!((status, code.as_str()), (503, "vault_moving"), "who could not be asked may have to know it");
}

#[tokio::test]
async fn a_process_speaks_for_itself_whatever_it_holds() {
    let two = Two::new(good(false).await).await;
    for path in ["/health", "/ready", "/metrics"] {
        let answer = two.world.client.get(format!("http://{}{path}", two.public)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    assert!(two.world.node.metrics.render().contains("steam_forwarded_total 0"));
    // One that holds nothing and cannot is no place to send requests to.
    two.other.able(false);
    let url = format!("http://{}/ready", two.public);
    let answer = two.world.client.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains("no part of the ledger can be opened"));
    two.other.open(two.partition, &two.world.node);
    assert_eq!(two.world.client.get(&url).send().await.unwrap().status(), 200);
}

#[test]
fn of_several_answers_the_one_of_who_knows_counts() {
    let best = |gather, statuses: [u16; 3]| {
        let ranked = statuses.map(|status| (rank(gather, StatusCode::from_u16(status).unwrap()), status));
        ranked.into_iter().max().map(|(_, status)| status)
    };
    for (statuses, found, kept) in [
        ([404, 404, 404], 404, 404),
        ([404, 200, 404], 200, 200),
        ([404, 503, 404], 503, 503),
        ([200, 503, 404], 200, 503),
        ([404, 409, 503], 409, 503),
        ([404, 400, 200], 400, 400),
    ] {
        assert_eq!(best(Gather::Kept, statuses), Some(kept), "{statuses:?}");
        if statuses != [404, 400, 200] {
            assert_eq!(best(Gather::Found, statuses), Some(found), "{statuses:?}");
        }
    }
}
