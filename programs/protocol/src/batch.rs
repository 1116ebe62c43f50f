//! The data of `settle_batch`, after its discriminator: written by the relayer, read by the program in place.
//!
//! ```text
//! batch_root[32] ‖ n_groups u8
//! group:   seq u32 ‖ receipts u32 ‖ fee_bps u16 ‖ n_vouchers u8 ‖ n_charges u8      12 bytes
//! voucher: slot u8 ‖ authorized u64 ‖ request_hash[32] ‖ signature[64]             105 bytes
//! charge:  slot u8 ‖ offer_ix u8 ‖ version u32 ‖ requests u32 ‖ input u32 ‖ cached u32 ‖ output u32   22 bytes
//! ```
//!
//! The three upper bits of a charge's slot, which is below 32, say more of it. Bit 5: `cache_write u32` follows. Bit 6:
//! `cache_write_long u32` follows (after `cache_write`, if that does too). Neither is zero then. Bit 7: the charge is of long
//! prompts. So a charge has 22, 26 or 30 bytes.
//!
//! A group that charges keys with an [allow-list](crate::allow_list) has bit 7 of `n_charges` set, and after its charges
//!
//! ```text
//! n_memberships u8
//! membership: path u8 ‖ sibling[32] ‖ …                                              1 to 193 bytes
//! ```
//!
//! The highest bit of a path that is set says how many siblings there are, at most 6; the bits below it, the lowest for the
//! first sibling, which of them stand on the left.

use crate::Hash;
use crate::allow_list::{Membership, MembershipView};
use crate::group::{MAX_CHARGES, MAX_KEYS, MAX_VOUCHERS};
use crate::units::{MicroUsdc, Usage};

/// Most groups in a batch.
pub const MAX_GROUPS: usize = 24;
/// Bytes before the first group.
pub const HEADER_LEN: usize = 33;
/// Bytes of a group without its vouchers and charges.
pub const GROUP_LEN: usize = 12;
/// Bytes of a voucher.
pub const VOUCHER_LEN: usize = 105;
/// Bytes of a charge without cache writes.
pub const CHARGE_LEN: usize = 22;
/// Bytes of a count of cache writes.
pub const WRITES_LEN: usize = 4;

/// The bits of a charge's first byte that are its slot.
const SLOT: u8 = MAX_KEYS as u8 - 1;
/// The bit that says that `cache_write` follows.
const HAS_CACHE_WRITE: u8 = 1 << 5;
/// The bit that says that `cache_write_long` follows.
const HAS_CACHE_WRITE_LONG: u8 = 1 << 6;
/// The bit that says that the charge is of long prompts.
const LONG: u8 = 1 << 7;
const _: () = assert!(SLOT | HAS_CACHE_WRITE | HAS_CACHE_WRITE_LONG | LONG == u8::MAX && MAX_KEYS == 32);

/// Most proofs of membership in a group: one a charge.
pub const MAX_MEMBERSHIPS: usize = MAX_CHARGES;
/// The bit of `n_charges` that says that proofs of membership follow.
const HAS_MEMBERSHIPS: u8 = 1 << 7;

/// Why bytes are no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// The bytes end inside a field.
    Truncated,
    /// Bytes are left after the last group.
    TrailingBytes,
    /// No group, or more than [`MAX_GROUPS`].
    GroupCount,
    /// More than [`MAX_VOUCHERS`] vouchers in a group.
    VoucherCount,
    /// More than [`MAX_CHARGES`] charges in a group.
    ChargeCount,
    /// A count of cache writes that is announced and zero.
    ZeroWrites,
    /// A slot of a charge that is not below 32.
    ChargeSlot,
    /// More than [`MAX_MEMBERSHIPS`] proofs of membership in a group, or none where they are announced.
    MembershipCount,
    /// A proof of membership with more steps than [`crate::allow_list::MAX_STEPS`], or a path of zero.
    MembershipPath,
}

/// A batch being read in place.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    /// Merkle root of the batch's receipts.
    pub root: &'a Hash,
    groups: u8,
    rest: &'a [u8],
}

/// A group being read in place.
#[derive(Clone, Copy, Debug)]
pub struct GroupView<'a> {
    /// Place in the vault's chain.
    pub seq: u32,
    /// Receipts it stands for.
    pub receipts: u32,
    /// The relayer's fee.
    pub fee_bps: u16,
    vouchers: &'a [[u8; VOUCHER_LEN]],
    charges: Charges<'a>,
    memberships: Memberships<'a>,
}

/// The charges of a group, being read in place.
#[derive(Clone, Copy, Debug)]
pub struct Charges<'a> {
    left: u8,
    rest: &'a [u8],
}

/// The proofs of membership of a group, being read in place.
#[derive(Clone, Copy, Debug)]
pub struct Memberships<'a> {
    left: u8,
    rest: &'a [u8],
}

/// A key's authorisation as a batch carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchVoucher {
    /// The key's slot in the vault.
    pub slot: u8,
    /// µUSDC allowed in total, see [`crate::voucher::Voucher`].
    pub authorized: MicroUsdc,
    /// The request it was signed for.
    pub request_hash: Hash,
    /// The key's signature.
    pub signature: [u8; 64],
}

/// A charge as a batch carries it: the offer by its place among the batch's offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchCharge {
    /// The key's slot in the vault.
    pub slot: u8,
    /// Place among the batch's offers.
    pub offer_ix: u8,
    /// The price version quoted.
    pub version: u32,
    /// Whether it is of long prompts.
    pub long: bool,
    /// Sums of the receipts it stands for.
    pub usage: Usage,
}

/// A group to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Place in the vault's chain.
    pub seq: u32,
    /// Receipts it stands for.
    pub receipts: u32,
    /// The relayer's fee.
    pub fee_bps: u16,
    /// One for each slot charged.
    pub vouchers: Vec<BatchVoucher>,
    /// What is charged; none voids the seq.
    pub charges: Vec<BatchCharge>,
    /// That the providers paid are in their keys' allow-lists: one for each distinct pair of list and provider, in the order
    /// in which the charges first name them.
    pub memberships: Vec<Membership>,
}

/// A batch to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Merkle root of the batch's receipts.
    pub root: Hash,
    /// In ascending order of their vaults' addresses.
    pub groups: Vec<Group>,
}

impl<'a> BatchView<'a> {
    /// Reads the header; the groups are read by [`Self::next_group`] and [`Self::finish`].
    pub fn parse(data: &'a [u8]) -> Result<Self, BatchError> {
        let (root, rest) = data.split_first_chunk::<32>().ok_or(BatchError::Truncated)?;
        let (&groups, rest) = rest.split_first().ok_or(BatchError::Truncated)?;
        if groups == 0 || usize::from(groups) > MAX_GROUPS {
            return Err(BatchError::GroupCount);
        }
        Ok(Self { root, groups, rest })
    }

    /// Number of groups the header announces.
    pub fn len(&self) -> usize {
        self.groups.into()
    }

    /// Never: a batch without groups is refused by [`Self::parse`].
    pub fn is_empty(&self) -> bool {
        self.groups == 0
    }

    /// Reads the next group. Call it [`Self::len`] times.
    pub fn next_group(&mut self) -> Result<GroupView<'a>, BatchError> {
        let (head, rest) = self.rest.split_first_chunk::<GROUP_LEN>().ok_or(BatchError::Truncated)?;
        let (n_vouchers, n_charges) = (usize::from(head[10]), usize::from(head[11] & !HAS_MEMBERSHIPS));
        if n_vouchers > MAX_VOUCHERS {
            return Err(BatchError::VoucherCount);
        }
        if n_charges > MAX_CHARGES {
            return Err(BatchError::ChargeCount);
        }
        let (vouchers, rest) = rest.split_at_checked(n_vouchers * VOUCHER_LEN).ok_or(BatchError::Truncated)?;
        let charges = Charges { left: n_charges as u8, rest };
        let rest = charges.end()?;
        let memberships =
            if head[11] & HAS_MEMBERSHIPS == 0 { Memberships::none(rest) } else { Memberships::parse(rest)? };
        self.rest = memberships.end()?;
        Ok(GroupView {
            seq: u32_at(head, 0),
            receipts: u32_at(head, 4),
            fee_bps: u16::from_le_bytes([head[8], head[9]]),
            vouchers: vouchers.as_chunks().0,
            charges,
            memberships,
        })
    }

    /// Checks that every byte was read.
    pub fn finish(&self) -> Result<(), BatchError> {
        if self.rest.is_empty() { Ok(()) } else { Err(BatchError::TrailingBytes) }
    }
}

impl<'a> GroupView<'a> {
    /// The group's vouchers, in order.
    pub fn vouchers(&self) -> impl ExactSizeIterator<Item = BatchVoucher> + use<'a> {
        self.vouchers.iter().map(BatchVoucher::read)
    }

    /// The group's charges, in order.
    pub fn charges(&self) -> Charges<'a> {
        self.charges
    }

    /// The group's proofs of membership, in order.
    pub fn memberships(&self) -> Memberships<'a> {
        self.memberships
    }
}

impl<'a> Charges<'a> {
    /// What follows the last charge, each of which is checked on the way.
    fn end(mut self) -> Result<&'a [u8], BatchError> {
        while self.left > 0 {
            let (head, rest) = self.rest.split_first_chunk::<CHARGE_LEN>().ok_or(BatchError::Truncated)?;
            self.rest = rest;
            for flag in [HAS_CACHE_WRITE, HAS_CACHE_WRITE_LONG] {
                if head[0] & flag != 0 && self.writes()? == 0 {
                    return Err(BatchError::ZeroWrites);
                }
            }
            self.left -= 1;
        }
        Ok(self.rest)
    }

    fn writes(&mut self) -> Result<u32, BatchError> {
        let (count, rest) = self.rest.split_first_chunk::<WRITES_LEN>().ok_or(BatchError::Truncated)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*count))
    }

    fn read(&mut self) -> Result<BatchCharge, BatchError> {
        let (head, rest) = self.rest.split_first_chunk::<CHARGE_LEN>().ok_or(BatchError::Truncated)?;
        self.rest = rest;
        let cache_write = if head[0] & HAS_CACHE_WRITE == 0 { 0 } else { self.writes()? };
        let cache_write_long = if head[0] & HAS_CACHE_WRITE_LONG == 0 { 0 } else { self.writes()? };
        self.left -= 1;
        Ok(BatchCharge {
            slot: head[0] & SLOT,
            offer_ix: head[1],
            version: u32_at(head, 2),
            long: head[0] & LONG != 0,
            usage: Usage {
                requests: u32_at(head, 6),
                input: u32_at(head, 10),
                cached: u32_at(head, 14),
                cache_write,
                cache_write_long,
                output: u32_at(head, 18),
            },
        })
    }
}

impl Iterator for Charges<'_> {
    type Item = BatchCharge;

    fn next(&mut self) -> Option<BatchCharge> {
        if self.left == 0 {
            return None;
        }
        // Cannot fail: the group was read to its end.
        self.read().ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}

impl ExactSizeIterator for Charges<'_> {}

impl<'a> Memberships<'a> {
    fn none(rest: &'a [u8]) -> Self {
        Self { left: 0, rest }
    }

    fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let (&left, rest) = bytes.split_first().ok_or(BatchError::Truncated)?;
        if left == 0 || usize::from(left) > MAX_MEMBERSHIPS {
            return Err(BatchError::MembershipCount);
        }
        Ok(Self { left, rest })
    }

    /// What follows the last proof, each of which is checked on the way.
    fn end(mut self) -> Result<&'a [u8], BatchError> {
        while self.left > 0 {
            self.read()?;
        }
        Ok(self.rest)
    }

    fn read(&mut self) -> Result<MembershipView<'a>, BatchError> {
        let (&path, rest) = self.rest.split_first().ok_or(BatchError::Truncated)?;
        let steps = MembershipView::steps_of(path).ok_or(BatchError::MembershipPath)?;
        let (siblings, rest) = rest.split_at_checked(32 * steps).ok_or(BatchError::Truncated)?;
        (self.left, self.rest) = (self.left - 1, rest);
        Ok(MembershipView::new(path, siblings.as_chunks().0))
    }
}

impl<'a> Iterator for Memberships<'a> {
    type Item = MembershipView<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        // Cannot fail: the group was read to its end.
        self.read().ok()
    }
}

impl BatchVoucher {
    fn read(bytes: &[u8; VOUCHER_LEN]) -> Self {
        let mut voucher = Self {
            slot: bytes[0],
            authorized: MicroUsdc(u64::from(u32_at(bytes, 1)) | u64::from(u32_at(bytes, 5)) << 32),
            request_hash: [0; 32],
            signature: [0; 64],
        };
        voucher.request_hash.copy_from_slice(&bytes[9..41]);
        voucher.signature.copy_from_slice(&bytes[41..]);
        voucher
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.slot);
        out.extend_from_slice(&self.authorized.0.to_le_bytes());
        out.extend_from_slice(&self.request_hash);
        out.extend_from_slice(&self.signature);
    }
}

impl BatchCharge {
    /// Bytes of the charge in a batch.
    pub fn encoded_len(&self) -> usize {
        charge_len(&self.usage)
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), BatchError> {
        if self.slot > SLOT {
            return Err(BatchError::ChargeSlot);
        }
        let usage = self.usage;
        let mut first = self.slot;
        for (said, flag) in [
            (usage.cache_write != 0, HAS_CACHE_WRITE),
            (usage.cache_write_long != 0, HAS_CACHE_WRITE_LONG),
            (self.long, LONG),
        ] {
            first |= if said { flag } else { 0 };
        }
        out.extend_from_slice(&[first, self.offer_ix]);
        for number in [self.version, usage.requests, usage.input, usage.cached, usage.output] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for writes in [usage.cache_write, usage.cache_write_long].into_iter().filter(|&writes| writes != 0) {
            out.extend_from_slice(&writes.to_le_bytes());
        }
        Ok(())
    }
}

/// Bytes of a charge of this usage in a batch.
pub fn charge_len(usage: &Usage) -> usize {
    CHARGE_LEN + WRITES_LEN * (usize::from(usage.cache_write != 0) + usize::from(usage.cache_write_long != 0))
}

impl Group {
    /// Bytes of the group in a batch.
    pub fn encoded_len(&self) -> usize {
        GROUP_LEN
            + self.vouchers.len() * VOUCHER_LEN
            + self.charges.iter().map(BatchCharge::encoded_len).sum::<usize>()
            + usize::from(!self.memberships.is_empty())
            + self.memberships.iter().map(Membership::encoded_len).sum::<usize>()
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), BatchError> {
        if self.vouchers.len() > MAX_VOUCHERS {
            return Err(BatchError::VoucherCount);
        }
        if self.charges.len() > MAX_CHARGES {
            return Err(BatchError::ChargeCount);
        }
        if self.memberships.len() > MAX_MEMBERSHIPS {
            return Err(BatchError::MembershipCount);
        }
        let flag = if self.memberships.is_empty() { 0 } else { HAS_MEMBERSHIPS };
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.receipts.to_le_bytes());
        out.extend_from_slice(&self.fee_bps.to_le_bytes());
        out.extend_from_slice(&[self.vouchers.len() as u8, self.charges.len() as u8 | flag]);
        self.vouchers.iter().for_each(|voucher| voucher.write(out));
        self.charges.iter().try_for_each(|charge| charge.write(out))?;
        if flag != 0 {
            out.push(self.memberships.len() as u8);
        }
        self.memberships.iter().try_for_each(|proof| proof.write(out).ok_or(BatchError::MembershipPath))
    }
}

impl Batch {
    /// The instruction data after the discriminator.
    ///
    /// # Errors
    /// A count beyond what the format can express.
    pub fn encode(&self) -> Result<Vec<u8>, BatchError> {
        if self.groups.is_empty() || self.groups.len() > MAX_GROUPS {
            return Err(BatchError::GroupCount);
        }
        let mut out = Vec::with_capacity(HEADER_LEN + self.groups.iter().map(Group::encoded_len).sum::<usize>());
        out.extend_from_slice(&self.root);
        out.push(self.groups.len() as u8);
        for group in &self.groups {
            group.write(&mut out)?;
        }
        Ok(out)
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn decode(data: &[u8]) -> Result<Self, BatchError> {
        let mut view = BatchView::parse(data)?;
        let mut groups = Vec::with_capacity(view.len());
        for _ in 0..view.len() {
            let group = view.next_group()?;
            groups.push(Group {
                seq: group.seq,
                receipts: group.receipts,
                fee_bps: group.fee_bps,
                vouchers: group.vouchers().collect(),
                charges: group.charges().collect(),
                memberships: group.memberships().map(|proof| proof.to_membership()).collect(),
            });
        }
        view.finish()?;
        Ok(Self { root: *view.root, groups })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
