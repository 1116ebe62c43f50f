//! Decision records as they are stored: thousands of bytes of JSON in which addresses recur, so that compression to a Zstandard
//! frame (RFC 8878) makes two or three of four.

use super::LedgerError;
use std::cell::RefCell;
use zstd::bulk::Compressor;

/// Fast: an answer waits for it.
const LEVEL: i32 = 1;
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
                None => packer.insert(Compressor::new(LEVEL)?),
            };
            packer.compress(decision)
        });
        packed.map(Self).map_err(|_| LedgerError::Refused("pack a decision record: no memory is left for it"))
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
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten().ok_or_else(malformed)?;
    let size = usize::try_from(size).ok().filter(|size| *size <= MAX_BYTES).ok_or_else(malformed)?;
    zstd::bulk::decompress(packed, size).map_err(|_| malformed())
}
