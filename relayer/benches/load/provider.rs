//! A provider that answers at once in the dialect it is asked in: whole, in 20 tokens, or with two of them and then nothing.
//! It lists its one model, as some gateways ask.

use super::dialect::Dialect;
use super::process::listening;
use anyhow::Result;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Words of a request for a stream that is held open.
pub const HOLD: &str = "hold the line";
/// The model it serves.
pub const MODEL: &str = "mock";
const TOKENS: usize = 20;

/// Serves until killed.
pub fn run() -> Result<()> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse::<u16>())?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream));
        }
    })
}

fn models() -> String {
    json(&format!(r#"{{"object":"list","data":[{{"id":"{MODEL}","object":"model","created":1,"owned_by":"mock"}}]}}"#))
}

/// Answers requests until the other side hangs up.
async fn serve(mut stream: TcpStream) {
    let mut buffer = Vec::with_capacity(8_192);
    while let Some((dialect, body)) = request(&mut stream, &mut buffer).await {
        let text = String::from_utf8_lossy(&body);
        let sent = if body.is_empty() {
            stream.write_all(models().as_bytes()).await
        } else if text.contains(HOLD) {
            let said = dialect.begin(MODEL).into_iter().chain((0..2).map(|place| word(dialect, place)));
            let said: String = said.map(|event| chunked(&event)).collect();
            let sent = stream.write_all([head(true), &said].concat().as_bytes()).await;
            tokio::time::sleep(Duration::from_secs(600)).await;
            sent
        } else if text.contains(r#""stream":true"#) {
            tokens(&mut stream, dialect).await
        } else {
            stream.write_all(json(&dialect.whole(MODEL, &words())).as_bytes()).await
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The dialect and the body of the next request.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(Dialect, Vec<u8>)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            let whole = end + 4 + length.unwrap_or(0);
            if buffer.len() >= whole {
                let dialect = Dialect::at(head.split(' ').nth(1).unwrap_or_default());
                let body = buffer[end + 4..whole].to_vec();
                buffer.drain(..whole);
                return Some((dialect, body));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// Each token in a write of its own, as providers do.
async fn tokens(stream: &mut TcpStream, dialect: Dialect) -> std::io::Result<()> {
    stream.write_all(head(true).as_bytes()).await?;
    for event in dialect.begin(MODEL) {
        stream.write_all(chunked(&event).as_bytes()).await?;
    }
    for place in 0..TOKENS {
        stream.write_all(chunked(&word(dialect, place)).as_bytes()).await?;
    }
    let end: String = dialect.end(MODEL, &words()).iter().map(|event| chunked(event)).collect();
    stream.write_all(format!("{end}0\r\n\r\n").as_bytes()).await
}

fn words() -> Vec<String> {
    (0..TOKENS).map(|place| format!(" word{place}")).collect()
}

fn word(dialect: Dialect, place: usize) -> String {
    dialect.word(MODEL, place, &format!(" word{place}"))
}

fn head(stream: bool) -> &'static str {
    if stream {
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    } else {
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    }
}

fn json(body: &str) -> String {
    format!("{}content-length: {}\r\n\r\n{body}", head(false), body.len())
}

fn chunked(event: &str) -> String {
    format!("{:x}\r\n{event}\r\n", event.len())
}
