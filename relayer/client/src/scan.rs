//! Finds the receipt in a stream of server-sent events, however the bytes are cut, and hashes all before it. Every byte is
//! handed on as it comes; only a line that may still be the receipt's is held.

use crate::api::ApiError;
use crate::error::ClientError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use steam_protocol::Hash;
use steam_protocol::receipt::SignedReceipt;

/// How the comment of a stream begins that carries its receipt in base64.
pub const RECEIPT_COMMENT: &str = ": steam-receipt ";
/// More than a receipt's line has.
const MAX_RECEIPT_LINE: usize = 4096;
/// What may follow the receipt, which does not cover it: the end of a stream in each API that has one, and empty lines.
const AFTER_RECEIPT: [&[u8]; 4] = [b"data: [DONE]", b"event: message_stop", br#"data: {"type":"message_stop"}"#, b""];

/// What came out of the bytes so far.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    /// Bytes of the answer.
    Bytes(Bytes),
    /// The receipt, and the hash of what came before it.
    Receipt(Box<SignedReceipt>, Hash),
}

/// Where in the stream the next byte stands.
#[derive(Debug, Default, PartialEq, Eq)]
enum Place {
    /// At or in a line that may be the receipt's, if all that is held of it begins as one.
    #[default]
    MaybeReceipt,
    /// In a line that is not the receipt's.
    Line,
    /// After the receipt.
    Sealed,
}

/// Reads a stream piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    place: Place,
    held: Vec<u8>,
    hash: Sha256,
}

impl Scanner {
    /// Takes bytes as they arrive.
    ///
    /// # Errors
    /// [`ApiError::Malformed`] or the receipt's own error, if the receipt's line holds none.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Piece>, ClientError> {
        let mut pieces = Vec::new();
        let mut plain = Vec::with_capacity(bytes.len());
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            match self.place {
                Place::Line => {
                    self.hash.update(line);
                    plain.extend_from_slice(line);
                }
                Place::MaybeReceipt => {
                    self.held.extend_from_slice(line);
                    if let Some(receipt) = self.receipt()? {
                        flush(&mut plain, &mut pieces);
                        pieces.push(receipt);
                        continue;
                    }
                    if !self.may_be_receipt() {
                        self.hash.update(&self.held);
                        plain.append(&mut self.held);
                        self.place = Place::Line;
                    }
                }
                Place::Sealed => self.after_receipt(line, &mut plain),
            }
            if self.place == Place::Line && line.ends_with(b"\n") {
                self.place = Place::MaybeReceipt;
            }
        }
        flush(&mut plain, &mut pieces);
        Ok(pieces)
    }

    /// What is still held at the end of the stream.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        let held = std::mem::take(&mut self.held);
        (!held.is_empty() && self.place != Place::Sealed).then(|| held.into())
    }

    fn may_be_receipt(&self) -> bool {
        let common = self.held.len().min(RECEIPT_COMMENT.len());
        self.held[..common] == RECEIPT_COMMENT.as_bytes()[..common] && self.held.len() <= MAX_RECEIPT_LINE
    }

    /// The receipt, once its line is whole.
    fn receipt(&mut self) -> Result<Option<Piece>, ClientError> {
        if !self.held.ends_with(b"\n") || !self.may_be_receipt() {
            return Ok(None);
        }
        let Some(encoded) = self.held.strip_prefix(RECEIPT_COMMENT.as_bytes()) else { return Ok(None) };
        let receipt = decode(encoded)?;
        self.held.clear();
        self.place = Place::Sealed;
        Ok(Some(Piece::Receipt(Box::new(receipt), self.hash.clone().finalize().into())))
    }

    fn after_receipt(&mut self, line: &[u8], plain: &mut Vec<u8>) {
        if self.held.len() + line.len() <= MAX_RECEIPT_LINE {
            self.held.extend_from_slice(line);
        }
        if line.ends_with(b"\n") {
            if AFTER_RECEIPT.contains(&self.held.trim_ascii_end()) {
                plain.extend_from_slice(&self.held);
            }
            self.held.clear();
        }
    }
}

fn flush(plain: &mut Vec<u8>, pieces: &mut Vec<Piece>) {
    if !plain.is_empty() {
        pieces.push(Piece::Bytes(std::mem::take(plain).into()));
    }
}

/// Reads a signed receipt in base64.
pub(crate) fn decode(encoded: &[u8]) -> Result<SignedReceipt, ClientError> {
    let malformed = |_| ApiError::Malformed("its receipt is no base64".into());
    let bytes = BASE64.decode(encoded.trim_ascii()).map_err(malformed)?;
    Ok(SignedReceipt::from_bytes(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use steam_protocol::sha256;

    fn scan(stream: &[u8], size: usize) -> (Vec<u8>, Scanner) {
        let mut scanner = Scanner::default();
        let mut out = Vec::new();
        for chunk in stream.chunks(size) {
            for piece in scanner.push(chunk).expect("no receipt") {
                let Piece::Bytes(bytes) = piece else { panic!("no receipt") };
                out.extend_from_slice(&bytes);
            }
        }
        out.extend(scanner.finish().unwrap_or_default());
        (out, scanner)
    }

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let stream = b": keep-alive\n\n: steam-\ndata: {\"a\":\ndata: 1}\r\n\r\nevent: x\ndata:two\n\n: steam-receipt";
        for size in 1..=stream.len() {
            let (out, scanner) = scan(stream, size);
            assert_eq!(out, stream, "in pieces of {size}");
            // The line at the end is not whole.
            assert_eq!(<[u8; 32]>::from(scanner.hash.finalize()), sha256(&[&stream[..stream.len() - 15]]));
        }
    }

    #[test]
    fn a_receipt_that_is_none_is_an_error() {
        for line in [": steam-receipt !!!\n", ": steam-receipt AAAA\n"] {
            assert!(Scanner::default().push(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn an_endless_line_is_handed_on_and_not_held() {
        let mut scanner = Scanner::default();
        let megabyte = [RECEIPT_COMMENT.as_bytes(), &vec![b'x'; 1 << 20]].concat();
        assert_eq!(scanner.push(&megabyte).expect("bytes"), [Piece::Bytes(megabyte.clone().into())]);
        assert_eq!(scanner.finish(), None);
        let mut sealed = Scanner { place: Place::Sealed, ..Scanner::default() };
        assert_eq!(sealed.push(&megabyte).expect("bytes"), []);
        assert!(sealed.held.len() <= MAX_RECEIPT_LINE);
    }

    #[test]
    fn after_the_receipt_only_the_end_is_handed_on() {
        for size in 1..60 {
            let mut scanner = Scanner { place: Place::Sealed, ..Scanner::default() };
            let mut out = Vec::new();
            for chunk in b"\ndata: {\"forged\":1}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\ndata: [DONE]\n\n: x\n".chunks(size) {
                for piece in scanner.push(chunk).expect("bytes") {
                    let Piece::Bytes(bytes) = piece else { panic!("one receipt") };
                    out.extend_from_slice(&bytes);
                }
            }
            let end = b"\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\ndata: [DONE]\n\n";
            assert_eq!(out, end, "in pieces of {size}");
        }
    }
}
