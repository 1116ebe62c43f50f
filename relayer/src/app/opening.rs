//! The beginning of a connection, which must say in time which version of HTTP it speaks: until then no other timeout runs.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// The first bytes of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much of a connection's beginning has come, and until when it may be late.
#[derive(Debug)]
pub(super) struct Opening {
    /// Bytes of the preface.
    seen: usize,
    /// Gone once the version is known.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Opening {
    pub(super) fn new(patience: Duration) -> Self {
        Self { seen: 0, patience: Some(Box::pin(sleep(patience))) }
    }

    /// Takes what was read.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if self.patience.is_none() {
            return;
        }
        let expected = PREFACE.get(self.seen..).unwrap_or_default();
        let same = bytes.iter().zip(expected).take_while(|(byte, expected)| byte == expected).count();
        self.seen += same;
        // HTTP/1, or all of the preface, or the end of the stream.
        if same < bytes.len() || self.seen == PREFACE.len() || bytes.is_empty() {
            self.patience = None;
        }
    }

    /// Whether it is late. The task is woken when it will be.
    pub(super) fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        self.patience.as_mut().is_some_and(|patience| patience.as_mut().poll(context).is_ready())
    }
}

#[cfg(test)]
mod tests {
    use super::super::timed::TimedStream;
    use super::*;
    use std::io::Error;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// Whether a client that sends `pieces`, five seconds before each, and then nothing is still there after a minute.
    async fn stays(pieces: &[&str]) -> bool {
        let (mut client, server) = duplex(1_024);
        let mut server = TimedStream::new(server, Duration::from_secs(12), Duration::from_secs(600));
        let pieces: Vec<String> = pieces.iter().map(|&piece| piece.to_owned()).collect();
        let sends = async move {
            for piece in pieces {
                sleep(Duration::from_secs(5)).await;
                client.write_all(piece.as_bytes()).await.unwrap();
            }
            sleep(Duration::from_secs(120)).await;
            drop(client);
        };
        let reads = async {
            let mut buffer = [0; 64];
            loop {
                if server.read(&mut buffer).await? == 0 {
                    return Ok::<(), Error>(());
                }
            }
        };
        let sending = tokio::spawn(sends);
        let read = tokio::time::timeout(Duration::from_secs(60), reads).await;
        sending.abort();
        // Either it still waits for more, or it was given up.
        read.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_say_what_it_speaks_is_given_up() {
        for (name, pieces, stay) in [
            ("silence", &[][..], false),
            ("one byte that both begin with", &["P"], false),
            ("a part of the preface, slowly", &["PRI * ", "HTTP/2"], false),
            ("the whole preface", &["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], true),
            ("a POST, slowly", &["P", "OST /"], true),
            ("a GET", &["G"], true),
        ] {
            assert_eq!(stays(pieces).await, stay, "{name}");
        }
    }
}
