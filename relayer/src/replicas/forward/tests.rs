//! What is sent on, and what strangers cannot make of it.

use super::*;
use crate::ledger::partitions::{Member, Roster};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn secret() -> Secret {
    Secret::read("0123456789abcdef0123456789abcdef").unwrap()
}

/// Connections to processes at `addresses`.
fn peers(addresses: &[&str]) -> (Peers, Arc<Places>) {
    let places = Arc::new(Places::new("me".into()));
    told(&places, addresses);
    (Peers::new(secret(), places.clone(), 8), places)
}

fn told(places: &Places, addresses: &[&str]) {
    let member = |address: &&str| Member { id: (*address).into(), address: (*address).into(), beat: 1, resting: false };
    places.update(&Roster { members: addresses.iter().map(member).collect(), partitions: Vec::new() });
}

fn mark() -> Mark {
    let session = Session {
        owner: Pubkey::new_from_array([1; 32]),
        vault: Some(Pubkey::new_from_array([2; 32])),
        provider: None,
        until_ms: 77,
    };
    Mark { partition: 3, peer: Peer(Some("203.0.113.9".parse().unwrap())), session: Some(session) }
}

#[test]
fn a_mark_is_read_as_it_was_written_and_only_with_the_secret() {
    let mut headers = HeaderMap::new();
    // What a client sends under these names goes nowhere.
    headers.append(PEER, HeaderValue::from_static("198.51.100.1"));
    headers.append(SESSION, HeaderValue::from_static("x"));
    headers.append(PARTITION, HeaderValue::from_static("9"));
    mark().write(&mut headers, &secret());
    assert!(headers[SECRET].is_sensitive());
    let mut wrong = headers.clone();
    let read = Mark::take(&mut headers, &secret()).unwrap();
    assert_eq!((read.partition, read.peer, read.session), (3, mark().peer, mark().session));
    assert!(headers.is_empty(), "nothing of it is seen further on: {headers:?}");
    wrong.insert(SECRET, HeaderValue::from_static("0123456789abcdef0123456789abcdeF"));
    assert!(Mark::take(&mut wrong, &secret()).is_none() && wrong.is_empty());
    assert!(Mark::take(&mut HeaderMap::new(), &secret()).is_none());
}

/// A process that answers each request of its connections with the next of `answers`, and counts connections.
async fn process(answers: &'static [&'static str]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    tokio::spawn(async move {
        let mut answers = answers.iter();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            hears.lock().unwrap().push("connected".to_owned());
            loop {
                let mut buffer = vec![0; 4_096];
                let read = stream.read(&mut buffer).await.unwrap_or(0);
                if read == 0 {
                    break;
                }
                hears.lock().unwrap().push(String::from_utf8_lossy(&buffer[..read]).into_owned());
                match answers.next() {
                    Some(answer) if !answer.is_empty() => stream.write_all(answer.as_bytes()).await.unwrap(),
                    _ => break,
                }
            }
        }
    });
    (address, heard)
}

fn request() -> Request<Body> {
    let request =
        Request::builder().method("POST").uri("http://relayer.example/v1/messages?a=b").version(Version::HTTP_2);
    request.header("x-replica-secret", "a client's").header("connection", "close").body(Body::from("body")).unwrap()
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_once_its_answer_has_come() {
    let (address, heard) = process(&[OK, OK]).await;
    let (peers, _) = peers(&[&address]);
    for _ in 0..2 {
        let answer = peers.send(&address, request(), &mark()).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hi");
    }
    let heard = heard.lock().unwrap();
    assert_eq!(heard.iter().filter(|said| *said == "connected").count(), 1);
    let first = heard[1].to_lowercase();
    assert!(
        first.starts_with("post /v1/messages?a=b http/1.1\r\n") && first.contains("host: relayer.example\r\n"),
        "{first}"
    );
    assert!(!first.contains("a client's") && !first.contains("connection: close"), "{first}");
    assert!(first.contains("x-replica-peer: 203.0.113.9"), "{first}");
}

#[tokio::test]
async fn what_was_not_taken_may_be_sent_again_and_what_was_lost_may_not() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let absent = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let (refuses, _) = process(&["HTTP/1.1 421 X\r\nx-replica-elsewhere: 1\r\ncontent-length: 0\r\n\r\n"]).await;
    let (ends, _) = process(&[""]).await;
    let (peers, _) = peers(&[&absent, &refuses, &ends]);
    let Err(NoAnswer::Unsent(whole)) = peers.send(&absent, request(), &mark()).await else { panic!("nobody listens") };
    assert!(!whole.headers().contains_key("x-replica-secret"), "what only processes say stays between them");
    assert_eq!(whole.into_body().collect().await.unwrap().to_bytes(), "body");
    assert!(matches!(peers.send(&refuses, request(), &mark()).await, Err(NoAnswer::NotTaken)), "it refuses");
    assert!(matches!(peers.send(&ends, request(), &mark()).await, Err(NoAnswer::Lost)), "it ended");
}

#[tokio::test]
async fn who_stands_still_is_waited_for_until_it_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (peers, places) = peers(&[&address]);
    let given_up = async {
        let (_stream, _) = listener.accept().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        told(&places, &[]);
        tokio::time::sleep(Duration::from_secs(5)).await;
    };
    let mark = mark();
    tokio::select! {
        answer = peers.send(&address, request(), &mark) => assert!(matches!(answer, Err(NoAnswer::Lost))),
        () = given_up => panic!("it waits for ever"),
    }
}
