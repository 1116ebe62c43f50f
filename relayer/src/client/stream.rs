//! Splits a server-sent event stream into its events and the receipt, hashing every byte before the receipt as it came.

use super::ClientError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};
use steam_protocol::Hash;
use steam_protocol::receipt::SignedReceipt;

/// Longest line that is held.
const MAX_LINE: usize = 8 << 20;
const RECEIPT: &[u8] = b": steam-receipt ";

/// What came out of the bytes so far.
#[derive(Debug, PartialEq)]
pub enum Piece {
    /// The data of an event.
    Data(String),
    /// The receipt, and the hash of what came before it.
    Receipt(Box<SignedReceipt>, Hash),
}

/// Reads a stream piece by piece.
#[derive(Debug, Default)]
pub struct Splitter {
    line: Vec<u8>,
    data: Option<String>,
    hash: Sha256,
    sealed: bool,
}

impl Splitter {
    /// Takes bytes as they arrive, however they were cut.
    ///
    /// # Errors
    /// [`ClientError::TooLarge`] for an endless line, [`ClientError::Malformed`] for one that is not UTF-8, or a receipt's
    /// own error.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<Piece>, ClientError> {
        let mut pieces = Vec::new();
        while let Some(end) = bytes.iter().position(|&b| b == b'\n') {
            let (head, rest) = bytes.split_at(end + 1);
            bytes = rest;
            self.hold(head)?;
            let line = std::mem::take(&mut self.line);
            self.end_line(&line, &mut pieces)?;
        }
        self.hold(bytes)?;
        Ok(pieces)
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        if self.line.len() + bytes.len() > MAX_LINE {
            return Err(ClientError::TooLarge(MAX_LINE));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, line: &[u8], pieces: &mut Vec<Piece>) -> Result<(), ClientError> {
        if self.sealed {
            // After the receipt only `[DONE]` comes; whatever else does is not covered by it and not shown.
            return Ok(());
        }
        if let Some(encoded) = line.strip_prefix(RECEIPT) {
            self.sealed = true;
            let bytes = BASE64.decode(encoded.trim_ascii()).map_err(|_| ClientError::Malformed)?;
            let receipt = SignedReceipt::from_bytes(&bytes)?;
            pieces.push(Piece::Receipt(Box::new(receipt), self.hash.clone().finalize().into()));
            return Ok(());
        }
        self.hash.update(line);
        let line = std::str::from_utf8(line).map_err(|_| ClientError::Malformed)?.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            pieces.extend(self.data.take().map(Piece::Data));
        } else if let Some(value) = line.strip_prefix("data:") {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steam_protocol::sha256;

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let stream = b": keep-alive\n\ndata: {\"a\":\ndata: 1}\r\n\r\nevent: x\ndata:two\n\n";
        for size in 1..stream.len() {
            let mut splitter = Splitter::default();
            let pieces: Vec<Piece> =
                stream.chunks(size).flat_map(|chunk| splitter.push(chunk).expect("well-formed")).collect();
            assert_eq!(pieces, [Piece::Data("{\"a\":\n1}".into()), Piece::Data("two".into())], "in pieces of {size}");
            assert_eq!(<[u8; 32]>::from(splitter.hash.finalize()), sha256(&[stream]));
        }
    }

    #[test]
    fn a_receipt_that_is_none_is_an_error() {
        for line in [": steam-receipt !!!\n", ": steam-receipt AAAA\n"] {
            assert!(Splitter::default().push(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut splitter = Splitter::default();
        let megabyte = vec![b'x'; 1 << 20];
        assert!((0..9).any(|_| matches!(splitter.push(&megabyte), Err(ClientError::TooLarge(_)))));
    }
}
