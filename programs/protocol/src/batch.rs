//! The data of `settle_batch`, after its discriminator: written by the relayer, read by the program in place.
//!
//! ```text
//! batch_root[32] ‖ n_groups u8
//! group:   seq u32 ‖ receipts u32 ‖ fee_bps u16 ‖ n_vouchers u8 ‖ n_charges u8      12 bytes
//! voucher: slot u8 ‖ authorized u64 ‖ request_hash[32] ‖ signature[64]             105 bytes
//! charge:  slot u8 ‖ offer_ix u8 ‖ version u32 ‖ requests u32 ‖ input u32 ‖ cached u32 ‖ output u32   22 bytes
//! ```
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
use crate::group::{MAX_CHARGES, MAX_VOUCHERS};
use crate::units::{MicroUsdc, Usage};

/// Most groups in a batch.
pub const MAX_GROUPS: usize = 24;
/// Bytes before the first group.
pub const HEADER_LEN: usize = 33;
/// Bytes of a group without its vouchers and charges.
pub const GROUP_LEN: usize = 12;
/// Bytes of a voucher.
pub const VOUCHER_LEN: usize = 105;
/// Bytes of a charge.
pub const CHARGE_LEN: usize = 22;

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
    charges: &'a [[u8; CHARGE_LEN]],
    memberships: Memberships<'a>,
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
        let (charges, rest) = rest.split_at_checked(n_charges * CHARGE_LEN).ok_or(BatchError::Truncated)?;
        let memberships =
            if head[11] & HAS_MEMBERSHIPS == 0 { Memberships::none(rest) } else { Memberships::parse(rest)? };
        self.rest = memberships.end()?;
        Ok(GroupView {
            seq: u32_at(head, 0),
            receipts: u32_at(head, 4),
            fee_bps: u16::from_le_bytes([head[8], head[9]]),
            vouchers: vouchers.as_chunks().0,
            charges: charges.as_chunks().0,
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
    pub fn charges(&self) -> impl ExactSizeIterator<Item = BatchCharge> + use<'a> {
        self.charges.iter().map(BatchCharge::read)
    }

    /// The group's proofs of membership, in order.
    pub fn memberships(&self) -> Memberships<'a> {
        self.memberships
    }
}

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
    fn read(bytes: &[u8; CHARGE_LEN]) -> Self {
        Self {
            slot: bytes[0],
            offer_ix: bytes[1],
            version: u32_at(bytes, 2),
            usage: Usage {
                requests: u32_at(bytes, 6),
                input: u32_at(bytes, 10),
                cached: u32_at(bytes, 14),
                output: u32_at(bytes, 18),
            },
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.slot, self.offer_ix]);
        let usage = self.usage;
        for number in [self.version, usage.requests, usage.input, usage.cached, usage.output] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

impl Group {
    /// Bytes of the group in a batch.
    pub fn encoded_len(&self) -> usize {
        GROUP_LEN
            + self.vouchers.len() * VOUCHER_LEN
            + self.charges.len() * CHARGE_LEN
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
        self.charges.iter().for_each(|charge| charge.write(out));
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
