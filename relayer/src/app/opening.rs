//! A connection that must say in time which version of HTTP it speaks: until then no other timeout runs.

use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The first bytes of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose first bytes come within its patience.
#[derive(Debug)]
pub(super) struct TimedOpening<S> {
    stream: S,
    /// Bytes of the preface that have come.
    seen: usize,
    /// Ends when they are late; gone once the version is known.
    patience: Option<Pin<Box<Sleep>>>,
}

impl<S> TimedOpening<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, seen: 0, patience: Some(Box::pin(sleep(patience))) }
    }

    fn take(&mut self, bytes: &[u8]) {
        let expected = PREFACE.get(self.seen..).unwrap_or_default();
        let same = bytes.iter().zip(expected).take_while(|(byte, expected)| byte == expected).count();
        self.seen += same;
        // HTTP/1, or all of the preface, or the end of the stream.
        if same < bytes.len() || self.seen == PREFACE.len() || bytes.is_empty() {
            self.patience = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedOpening<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(patience) = self.patience.as_mut() else { return read };
        match read {
            Poll::Pending if patience.as_mut().poll(context).is_ready() => {
                Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client sends no request")))
            }
            Poll::Ready(Ok(())) => {
                self.take(buffer.filled().get(before..).unwrap_or_default());
                read
            }
            read => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedOpening<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// Whether a client that sends `pieces`, five seconds before each, and then nothing is still there after a minute.
    async fn stays(pieces: &[&str]) -> bool {
        let (mut client, server) = duplex(1_024);
        let mut server = TimedOpening::new(server, Duration::from_secs(12));
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
