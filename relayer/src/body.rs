//! A stranger's body as it comes, or the whole of it. What comes compressed, asked for or not, is unpacked within bounds.

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;
use std::io::{self, Write};

/// A body that is being read.
#[derive(Debug)]
pub struct Body {
    response: Response,
    gzip: Option<MultiGzDecoder<Bounded>>,
}

/// Why a body could not be read on.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is compressed in a way that is not known here.
    #[error("an encoding that was not asked for")]
    Coding,
    /// It is longer than is read, or one piece of it unpacks to more.
    #[error("an answer that is longer than is read")]
    TooLong,
    /// It is no gzip.
    #[error("a compressed answer that cannot be unpacked within bounds")]
    Unpack,
    /// The connection broke.
    #[error(transparent)]
    Http(reqwest::Error),
}

impl Body {
    /// The body of `response`, of which one piece may unpack to `limit` bytes.
    ///
    /// # Errors
    /// [`BodyError::Coding`].
    pub fn new(response: Response, limit: usize) -> Result<Self, BodyError> {
        let coding = response.headers().get(CONTENT_ENCODING).map(|value| value.as_bytes().trim_ascii());
        let is = |names: &[&str]| {
            coding.is_some_and(|coding| names.iter().any(|name| coding.eq_ignore_ascii_case(name.as_bytes())))
        };
        let gzip = if coding.is_none() || is(&["identity", ""]) {
            None
        } else if is(&["gzip", "x-gzip"]) {
            Some(MultiGzDecoder::new(Bounded { bytes: Vec::new(), limit }))
        } else {
            return Err(BodyError::Coding);
        };
        Ok(Self { response, gzip })
    }

    /// All of `response`, of at most `most` bytes.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn whole(response: Response, most: usize) -> Result<Vec<u8>, BodyError> {
        let mut body = Self::new(response, most)?;
        let mut whole = Vec::new();
        while let Some(piece) = body.chunk().await? {
            if whole.len() + piece.len() > most {
                return Err(BodyError::TooLong);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    /// Its length, if that is known.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length().filter(|_| self.gzip.is_none())
    }

    /// The next piece; nothing after the end.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let piece = self.response.chunk().await.map_err(BodyError::Http)?;
            let Some(gzip) = &mut self.gzip else { return Ok(piece) };
            let Some(piece) = piece else {
                gzip.try_finish().map_err(unpacking)?;
                let rest = std::mem::take(&mut gzip.get_mut().bytes);
                return Ok((!rest.is_empty()).then(|| rest.into()));
            };
            let unpacked = gzip.write_all(&piece).and_then(|()| gzip.flush());
            unpacked.map_err(unpacking)?;
            let unpacked = std::mem::take(&mut gzip.get_mut().bytes);
            if !unpacked.is_empty() {
                return Ok(Some(unpacked.into()));
            }
        }
    }
}

fn unpacking(error: io::Error) -> BodyError {
    if error.kind() == io::ErrorKind::FileTooLarge { BodyError::TooLong } else { BodyError::Unpack }
}

/// Unpacked bytes that were not taken yet.
#[derive(Debug)]
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
