//! Providers that behave as a script says, to the byte.

use super::offer;
use crate::registry::Offer;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a provider does once it has a request.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends text.
    Say(String),
    /// Sends bytes that are no text.
    Raw(&'static [u8]),
    /// Sends text byte by byte, with so many milliseconds between any two.
    Trickle(String, u64),
    /// Sends the same text until nobody reads it any more.
    Flood(String),
    /// Resets the connection.
    Reset,
    /// Closes the connection once another request comes on it.
    DropAtNext,
    /// Waits.
    Pause(u64),
    /// Waits until the relayer hangs up.
    Forever,
}

/// A provider.
#[derive(Clone)]
pub struct Mock {
    name: &'static str,
    port: u16,
    /// Whether it speaks before it is asked.
    eager: bool,
    /// Heads and bodies of the requests it had.
    pub requests: Arc<Mutex<Vec<(String, String)>>>,
    /// Times the relayer hung up while it waited.
    pub hung_up: Arc<AtomicUsize>,
}

impl Mock {
    /// A provider that follows `steps` for each request and then closes the connection.
    pub async fn new(name: &'static str, steps: Vec<Step>) -> Self {
        Self::listening(name, steps, false).await
    }

    /// A provider that follows `steps` for each connection, before it has read anything.
    pub async fn eager(name: &'static str, steps: Vec<Step>) -> Self {
        Self::listening(name, steps, true).await
    }

    /// A provider that follows one script after the other, one for each connection, and the last one from then on.
    pub async fn in_turn(name: &'static str, scripts: Vec<Vec<Step>>) -> Self {
        Self::scripted(name, scripts, false).await
    }

    async fn listening(name: &'static str, steps: Vec<Step>, eager: bool) -> Self {
        Self::scripted(name, vec![steps], eager).await
    }

    async fn scripted(name: &'static str, scripts: Vec<Vec<Step>>, eager: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mock = Self { name, port, eager, requests: Arc::default(), hung_up: Arc::default() };
        let serving = mock.clone();
        tokio::spawn(async move {
            let mut connections = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let steps = &scripts[connections.min(scripts.len() - 1)];
                connections += 1;
                // Otherwise bytes sent one by one wait for each other's acknowledgement.
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serving.clone().serve(stream, steps.clone()));
            }
        });
        mock
    }

    /// A provider nobody listens for.
    pub async fn gone(name: &'static str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        Self { name, port, eager: false, requests: Arc::default(), hung_up: Arc::default() }
    }

    /// A provider whose queue of connections is full: nobody answers, nobody refuses.
    pub async fn full(name: &'static str) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let filling: Vec<_> = (0..4).map(|_| tokio::spawn(TcpStream::connect(address))).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        // It lives as long as the test's runtime.
        tokio::spawn(
            async move { (socket, futures::future::join_all(filling).await, std::future::pending::<()>().await) },
        );
        Self { name, port: address.port(), eager: false, requests: Arc::default(), hung_up: Arc::default() }
    }

    /// Its offer of model `m`.
    pub fn offer(&self, seed: u8) -> Offer {
        Offer { url: format!("http://127.0.0.1:{}/v1", self.port), ..offer(self.name, seed) }
    }

    /// Requests it had.
    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    async fn serve(self, mut stream: TcpStream, steps: Vec<Step>) {
        if !self.eager && !self.read_request(&mut stream).await {
            return;
        }
        self.follow(stream, steps).await;
    }

    /// Takes in a request. Returns whether there was one.
    async fn read_request(&self, stream: &mut TcpStream) -> bool {
        let mut received = Vec::new();
        let (head, length) = loop {
            if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
                return false;
            }
            let text = String::from_utf8_lossy(&received).into_owned();
            if let Some(end) = text.find("\r\n\r\n") {
                let head = text[..end].to_owned();
                let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                break (head.clone(), end + 4 + length.map_or(0, |length| length.trim().parse::<usize>().unwrap()));
            }
        };
        while received.len() < length {
            if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
                return false;
            }
        }
        let body = String::from_utf8_lossy(&received[head.len() + 4..]).into_owned();
        self.requests.lock().unwrap().push((head, body));
        true
    }

    async fn follow(&self, mut stream: TcpStream, steps: Vec<Step>) {
        for step in steps {
            let written = match &step {
                Step::Say(text) => stream.write_all(text.as_bytes()).await,
                Step::Raw(bytes) => stream.write_all(bytes).await,
                Step::Trickle(text, ms) => trickle(&mut stream, text, *ms).await,
                Step::Flood(text) => loop {
                    if let Err(error) = stream.write_all(text.as_bytes()).await {
                        break Err(error);
                    }
                },
                Step::Pause(_) | Step::Forever | Step::Reset | Step::DropAtNext => Ok(()),
            };
            if written.is_err() {
                self.hung_up.fetch_add(1, Ordering::SeqCst);
                return;
            }
            match step {
                Step::Say(_) | Step::Raw(_) | Step::Trickle(..) | Step::Flood(_) => {}
                Step::Reset => {
                    stream.set_zero_linger().unwrap();
                    return;
                }
                Step::DropAtNext => {
                    let _ = stream.read(&mut [0; 1]).await;
                    return;
                }
                Step::Pause(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                Step::Forever => {
                    let _ = stream.read(&mut [0; 16]).await;
                    self.hung_up.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
        }
    }
}

async fn trickle(stream: &mut TcpStream, text: &str, ms: u64) -> std::io::Result<()> {
    for byte in text.as_bytes() {
        stream.write_all(&[*byte]).await?;
        if ms == 0 {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }
    Ok(())
}

/// A response head that is followed by a body until the connection closes.
pub fn head(status: &str, content_type: &str) -> Step {
    Step::Say(format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n"))
}

/// A stream with these events.
pub fn stream(events: &[&str]) -> Vec<Step> {
    let mut steps = vec![head("200 OK", "text/event-stream; charset=utf-8")];
    steps.extend(events.iter().map(|event| Step::Say(format!("data: {event}\n\n"))));
    steps
}

/// A whole answer.
pub fn answer(status: &str, body: &str) -> Vec<Step> {
    vec![head(status, "application/json"), Step::Say(body.to_owned())]
}

/// The announcement of an answer.
pub const ROLE: &str = r#"{"id":"c","created":5,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
/// Its first content.
pub const HELLO: &str =
    r#"{"id":"c","created":5,"model":"m","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}"#;
/// Its end.
pub const STOP: &str =
    r#"{"id":"c","created":5,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
/// Its usage.
pub const USAGE: &str = r#"{"id":"c","created":5,"model":"m","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":3,"total_tokens":23}}"#;
/// A whole answer that says the same.
pub const WHOLE: &str = r#"{"id":"c","object":"chat.completion","created":5,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":3,"total_tokens":23}}"#;

/// A provider that does everything right, in either way.
pub async fn good(streamed: bool) -> Mock {
    let steps = if streamed { stream(&[ROLE, HELLO, STOP, USAGE, "[DONE]"]) } else { answer("200 OK", WHOLE) };
    Mock::new("good", steps).await
}
