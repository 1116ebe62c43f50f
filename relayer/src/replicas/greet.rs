//! Whether the other processes answer where they said they do, and know the same secret. What a process tells of itself on the server
//! does not show that: it may be cut off from this one alone, or be set up otherwise.

use super::places::Places;
use super::secret::Secret;
use crate::metrics::Metrics;
use axum::body::Body;
use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use futures::future::join_all;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Who asks for the name of a process shows the secret in it; the answer has the name in it.
pub(super) const HELLO: HeaderName = HeaderName::from_static("x-replica-hello");
/// Greetings within the time after which a process that does not answer them is sent nothing.
const GREETINGS: u32 = 5;

/// Why a process is sent nothing.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("it does not answer there")]
    Silent,
    #[error("it has another secret: the file that replicas.secret_file names must be the same for all processes")]
    Secret,
    #[error("another process answers there: it was started anew, or replicas.address is not each process's own")]
    Other,
}

/// The answer to a greeting, if `headers` are of one, by the process `me`.
pub(crate) fn answer(headers: &HeaderMap, secret: &Secret, me: &str) -> Option<Response<Body>> {
    let shown = headers.get(HELLO)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FORBIDDEN;
    if secret.is(shown.as_bytes())
        && let Ok(name) = HeaderValue::try_from(me)
    {
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(HELLO, name);
    }
    Some(response)
}

/// Greets the other processes again and again, until `shutdown`: one that was not reached for `lease` is sent nothing until it is.
pub(crate) async fn keep(
    places: Arc<Places>,
    secret: Secret,
    metrics: Metrics,
    lease: Duration,
    shutdown: CancellationToken,
) {
    let mut failing: HashMap<String, Instant> = HashMap::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(lease / GREETINGS) => {}
        }
        let others = places.others();
        failing.retain(|id, _| others.iter().any(|(other, _)| other == id));
        let greeted = others.iter().map(async |(id, address)| {
            let greeted = timeout(lease / 2, greet(address, id, &secret)).await;
            (id, address, greeted.unwrap_or(Err(Problem::Silent)))
        });
        for (id, address, greeted) in join_all(greeted).await {
            match greeted {
                Ok(()) => {
                    failing.remove(id);
                    if places.cut_off(id, false) {
                        tracing::info!(address, "another process of the relayer is reached again");
                    }
                }
                Err(problem) => {
                    let since = failing.entry(id.clone()).or_insert_with(Instant::now);
                    if since.elapsed() >= lease && places.cut_off(id, true) {
                        tracing::warn!(address, %problem, "another process of the relayer is not reached: nothing is sent to it");
                    }
                }
            }
        }
        metrics.unreachable(places.cut_offs());
    }
}

/// Whether the process `id` answers at `address`.
async fn greet(address: &str, id: &str, secret: &Secret) -> Result<(), Problem> {
    let stream = TcpStream::connect(address).await.map_err(|_| Problem::Silent)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Problem::Silent)?;
    let mut shown = HeaderValue::try_from(secret.text()).map_err(|_| Problem::Secret)?;
    shown.set_sensitive(true);
    let request = Request::builder().uri("/").header(HOST, "relayer").header(HELLO, shown).body(Body::empty());
    let asked = async { sender.send_request(request.map_err(|_| Problem::Silent)?).await.map_err(|_| Problem::Silent) };
    let answer = tokio::select! {
        answer = asked => answer?,
        _ = connection => return Err(Problem::Silent),
    };
    match answer.headers().get(HELLO) {
        Some(name) if name.as_bytes() == id.as_bytes() => Ok(()),
        Some(_) => Err(Problem::Other),
        None if answer.status() == StatusCode::FORBIDDEN => Err(Problem::Secret),
        None => Err(Problem::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::partitions::{Held, Member, Roster};
    use axum::Router;
    use axum::extract::Request;
    use std::future::IntoFuture;
    use tokio::net::TcpListener;

    const LEASE: Duration = Duration::from_millis(400);

    fn secret(letter: &str) -> Secret {
        Secret::read(&letter.repeat(32)).unwrap()
    }

    /// Where a process of this name and secret answers.
    async fn process(me: &'static str, letter: &'static str) -> String {
        let router = Router::new().fallback(move |request: Request| async move {
            answer(request.headers(), &secret(letter), me).unwrap_or_else(|| Response::new(Body::from("no greeting")))
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(axum::serve(listener, router).into_future());
        address
    }

    fn told(places: &Places, address: &str) {
        let member = Member { id: "other".into(), address: address.into(), beat: 1, resting: false };
        let part = Held { partition: 0, member: Some("other".into()), serving: true };
        places.update(&Roster { members: vec![member], partitions: vec![part] });
    }

    #[tokio::test]
    async fn who_answers_by_its_name_and_knows_the_secret_is_sent_requests_and_nobody_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = listener.local_addr().unwrap().to_string();
        for (address, reached) in [
            (process("other", "a").await, true),
            (process("other", "b").await, false),
            (process("another", "a").await, false),
            ("127.0.0.1:1".to_owned(), false),
            (silent, false), // takes connections, and says nothing
        ] {
            let (places, metrics) = (Arc::new(Places::new("me".into())), Metrics::default());
            told(&places, &address);
            let shutdown = CancellationToken::new();
            tokio::spawn(keep(places.clone(), secret("a"), metrics.clone(), LEASE, shutdown.clone()));
            assert_eq!(places.of(0).as_ref(), Some(&address), "until it is known");
            let gone = timeout(4 * LEASE, places.gone(&address)).await;
            assert_eq!((gone.is_err(), places.of(0).is_some()), (reached, reached), "{address}");
            let unreachable = format!("steam_unreachable_replicas {}", u8::from(!reached));
            timeout(LEASE, async {
                while !metrics.render().contains(&unreachable) {
                    sleep(Duration::from_millis(10)).await;
                }
            })
            .await
            .expect("it is counted");
            // At another address it is asked again, once it answers there.
            let right = process("other", "a").await;
            told(&places, &right);
            let asked = async {
                while places.of(0).as_ref() != Some(&right) {
                    places.changed(LEASE).await;
                }
            };
            timeout(2 * LEASE, asked).await.expect("it answers");
            shutdown.cancel();
        }
    }

    #[tokio::test]
    async fn who_is_reached_again_is_sent_requests_again() {
        let places = Arc::new(Places::new("me".into()));
        let address = process("other", "a").await;
        told(&places, &address);
        assert!(places.cut_off("other", true) && !places.cut_off("other", true));
        assert_eq!((places.of(0), places.cut_offs()), (None, 1));
        told(&places, &address);
        assert_eq!(places.of(0), None, "what it tells on the server does not show that it is reached");
        tokio::spawn(keep(places.clone(), secret("a"), Metrics::default(), LEASE, CancellationToken::new()));
        timeout(2 * LEASE, async {
            while places.of(0).is_none() {
                places.changed(LEASE).await;
            }
        })
        .await
        .expect("it answers");
    }

    #[tokio::test]
    async fn a_process_that_was_started_anew_at_its_address_is_sent_requests() {
        for former in ["a-former", "z-former"] {
            let places = Arc::new(Places::new("me".into()));
            let address = process("other", "a").await;
            // The former one was killed: it is forgotten once others have taken all that it held, one partition after the other.
            let member = |id: &str| Member { id: id.into(), address: address.clone(), beat: 1, resting: false };
            let part = |partition, id: &str| Held { partition, member: Some(id.into()), serving: true };
            places.update(&Roster {
                members: vec![member(former), member("other")],
                partitions: vec![part(0, "other"), part(1, former)],
            });
            let shutdown = CancellationToken::new();
            tokio::spawn(keep(places.clone(), secret("a"), Metrics::default(), LEASE, shutdown.clone()));
            let gone = timeout(4 * LEASE, places.gone(&address)).await;
            assert!(gone.is_err(), "{former}: what is under way at the new one is ended");
            shutdown.cancel();
        }
    }
}
