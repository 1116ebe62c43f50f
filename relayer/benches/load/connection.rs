//! A client's connection, kept from one request to the next.

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection to a server.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16_384) })
    }

    /// Sends a request and reads its answer to the end, which must be 200.
    pub async fn call(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut ends = None;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection was closed: {}", String::from_utf8_lossy(&self.buffer));
            }
            if ends.is_none() {
                ends = self.ends()?;
            }
            match ends {
                Some(Ends::At(length)) if self.buffer.len() >= length => return Ok(()),
                Some(Ends::WithChunk) if self.buffer.ends_with(b"\r\n0\r\n\r\n") => return Ok(()),
                Some(Ends::At(_) | Ends::WithChunk) | None => {}
            }
        }
    }

    fn ends(&self) -> Result<Option<Ends>> {
        let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&self.buffer[..end])?;
        if !head.starts_with("HTTP/1.1 200") {
            bail!("no answer: {}", String::from_utf8_lossy(&self.buffer));
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            if name.eq_ignore_ascii_case("content-length") { value.trim().parse::<usize>().ok() } else { None }
        });
        Ok(Some(length.map_or(Ends::WithChunk, |length| Ends::At(end + 4 + length))))
    }
}

#[derive(Clone, Copy)]
enum Ends {
    At(usize),
    WithChunk,
}
