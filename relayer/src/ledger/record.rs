//! Decision records as they are stored: thousands of bytes of JSON that say the same but for some figures and addresses. They are
//! compressed to Zstandard frames (RFC 8878) with a record like theirs for a dictionary, and a mark before the frame says which.

use super::LedgerError;
use std::cell::RefCell;
use zstd::bulk::{Compressor, Decompressor};

/// Fast: an answer waits for it.
const LEVEL: i32 = 1;
/// What records have in common. A frame can only be unpacked with the dictionary it was packed with: each stays as it is, and what
/// is better gets a mark of its own.
const DICTIONARY: &[u8] = include_bytes!("record.dictionary.2.json");
const MARK: u8 = 2;
/// That of frames without a mark, which begin as every frame does, by another byte than any mark.
const UNMARKED: &[u8] = include_bytes!("record.dictionary.json");
/// No decision record is longer; a frame in a damaged file that says so is not unpacked.
const MAX_BYTES: usize = 64 << 20;

thread_local! {
    /// Made once a thread: that takes longer than packing does.
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// A decision record, packed.
#[derive(Clone, PartialEq, Eq)]
pub struct PackedDecision(Vec<u8>);

impl PackedDecision {
    /// Packs canonical JSON.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] if it is longer than 64 MiB, or the memory to pack it is not there.
    pub fn new(decision: &[u8]) -> Result<Self, LedgerError> {
        if decision.len() > MAX_BYTES {
            return Err(LedgerError::Refused("store a decision record of more than 64 MiB"));
        }
        let packed = PACKER.with_borrow_mut(|packer| {
            let packer = match packer {
                Some(packer) => packer,
                None => packer.insert(Compressor::with_dictionary(LEVEL, DICTIONARY)?),
            };
            packer.compress(decision)
        });
        let mut packed =
            packed.map_err(|_| LedgerError::Refused("pack a decision record: no memory is left for it"))?;
        packed.insert(0, MARK);
        Ok(Self(packed))
    }

    /// Bytes that it takes.
    #[expect(clippy::len_without_is_empty, reason = "no frame is empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for PackedDecision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedDecision({} bytes)", self.0.len())
    }
}

/// Canonical JSON from the column `decision`.
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>, LedgerError> {
    let malformed = || LedgerError::Malformed("decision record");
    let (dictionary, frame) = match packed.split_first() {
        Some((&MARK, frame)) => (DICTIONARY, frame),
        _ => (UNMARKED, packed),
    };
    let size = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten().ok_or_else(malformed)?;
    let size = usize::try_from(size).ok().filter(|size| *size <= MAX_BYTES).ok_or_else(malformed)?;
    let mut unpacker = Decompressor::with_dictionary(dictionary).map_err(|_| malformed())?;
    unpacker.decompress(frame, size).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_unpacked_and_what_is_known_takes_little() {
        for record in [&b"{}"[..], b"", DICTIONARY, &[0xff; 100_000]] {
            let packed = PackedDecision::new(record).unwrap();
            assert_eq!(unpack(packed.as_bytes()).unwrap(), record);
        }
        assert!(PackedDecision::new(DICTIONARY).unwrap().as_bytes().len() < 40);
    }

    #[test]
    fn a_frame_of_before_there_were_marks_is_unpacked_as_it_was_packed() {
        let mut before = Compressor::with_dictionary(LEVEL, UNMARKED).unwrap();
        for record in [&b"{}"[..], b"", UNMARKED, &[0xff; 100_000]] {
            let frame = before.compress(record).unwrap();
            assert_ne!(frame[0], MARK);
            assert_eq!(unpack(&frame).unwrap(), record);
        }
    }

    #[test]
    fn what_is_no_frame_is_malformed() {
        let packed = PackedDecision::new(DICTIONARY).unwrap();
        let frame = packed.as_bytes();
        for damaged in [&frame[..frame.len() - 1], &frame[2..], &[MARK][..], b"{}", b""] {
            assert!(matches!(unpack(damaged), Err(LedgerError::Malformed("decision record"))));
        }
    }
}
