//! Whose money is spent, and by whom. The funds are the balance of the vault's token account; this account holds who
//! may spend how much of it and what has been settled. Its keys follow the vault, as many as it has room for.

use super::number::U128;
use super::session_key::{KeyGrant, SessionKey};
use super::time::{Deadline, Delay};
use crate::bill::Totals;
use crate::error::SteamError;
use anchor_lang::prelude::*;
use core::ops::{Deref, DerefMut};
use steam_protocol::group::MAX_KEYS;

/// Bytes before the vault: its discriminator.
const HEAD: usize = 8;

/// A vault: `[vault, owner, relayer]`. Its keys follow in the account's data.
#[account(zero_copy)]
#[derive(Debug, PartialEq, Eq)]
pub struct Vault {
    /// Whose money it is.
    pub owner: Pubkey,
    /// Who may settle.
    pub relayer: Pubkey,
    /// The associated token account that holds the funds.
    pub token: Pubkey,
    /// Who paid the rent and gets it back.
    pub rent_payer: Pubkey,
    /// Head of the chain of settled groups, see [`steam_protocol::group`].
    pub settle_hash: [u8; 32],
    /// Sum of all charges, without fees.
    pub settled_pico: U128,
    /// Sum of all fees.
    pub fee_pico: U128,
    /// Slot at opening: tells two vaults of the same address apart.
    pub generation: u64,
    /// Receipts settled.
    pub receipts_settled: u64,
    /// µUSDC asked for: 0 is nothing, `u64::MAX` is all.
    pub pending_withdrawal: u64,
    /// When it can be executed.
    pub unlock_at: Deadline,
    /// Lamports that `rent_payer` paid for this account.
    pub rent_paid: u64,
    /// Lamports that `rent_payer` paid for the token account.
    pub token_rent_paid: u64,
    /// Groups settled, or voided.
    pub settle_seq: u32,
    /// Keys ever authorised: the epoch of the last one.
    pub epochs: u32,
    /// Of the address.
    pub bump: u8,
    /// Zero.
    pub _padding: [u8; 7],
    /// Zero, for later versions.
    pub _reserved: [u8; 32],
}

const _: () = assert!(size_of::<Vault>() == 296);

/// A vault and its keys in their account's data.
#[derive(Debug)]
pub struct VaultMut<'a> {
    vault: &'a mut Vault,
    /// Who may sign for it.
    pub keys: &'a mut [SessionKey],
}

/// A vault and its keys, as clients read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultWithKeys {
    vault: Vault,
    /// Who may sign for it.
    pub keys: Vec<SessionKey>,
}

/// What is known of a vault when it is opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Whose money it will be.
    pub owner: Pubkey,
    /// Who may settle.
    pub relayer: Pubkey,
    /// Where the money will be.
    pub token: Pubkey,
    /// Who pays the rent.
    pub rent_payer: Pubkey,
    /// Lamports paid for the vault's account, and for the token account.
    pub rent_paid: (u64, u64),
    /// Of the address.
    pub bump: u8,
}

/// What the settler agrees to when it signs a withdrawal: one moment of one vault, until one slot.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The vault's generation.
    pub generation: u64,
    /// Groups settled or voided until then.
    pub settle_seq: u32,
    /// The last slot at which it holds.
    pub valid_until_slot: u64,
}

/// Where a group stands in the vault's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Settled before.
    Applied,
    /// The one to settle.
    Next,
}

impl Vault {
    /// Bytes of the account with room for so many keys.
    pub const fn space(keys: usize) -> usize {
        HEAD + size_of::<Self>() + keys * size_of::<SessionKey>()
    }

    /// How many keys an account of this many bytes has room for.
    pub const fn capacity(bytes: usize) -> usize {
        bytes.saturating_sub(Self::space(0)) / size_of::<SessionKey>()
    }

    /// Writes what an account that was just made holds.
    pub fn open(&mut self, opening: &Opening, clock: &Clock) {
        self.owner = opening.owner;
        self.relayer = opening.relayer;
        self.token = opening.token;
        self.rent_payer = opening.rent_payer;
        (self.rent_paid, self.token_rent_paid) = opening.rent_paid;
        self.generation = clock.slot;
        self.bump = opening.bump;
    }

    /// Notes that `payer` pays so many lamports for room for another key. What the owner pays comes back to the owner, with
    /// whatever else the account holds.
    ///
    /// # Errors
    /// [`SteamError::NotRentPayer`], [`SteamError::AmountOverflow`]
    pub fn pay_growth(&mut self, payer: &Pubkey, lamports: u64) -> Result<()> {
        require!(*payer == self.rent_payer || *payer == self.owner, SteamError::NotRentPayer);
        if *payer == self.rent_payer {
            self.rent_paid = self.rent_paid.checked_add(lamports).ok_or(SteamError::AmountOverflow)?;
        }
        Ok(())
    }

    /// Lamports that the account must keep: its rent, and no less than was paid for it, should rent fall.
    pub fn lamports_kept(&self, rent: u64) -> u64 {
        rent.max(self.rent_paid)
    }

    /// Links a settled group to the vault's chain.
    ///
    /// # Errors
    /// [`SteamError::AmountOverflow`]
    pub fn advance(&mut self, hash: [u8; 32], seq: u32, receipts: u32, totals: &Totals) -> Result<()> {
        self.settle_hash = hash;
        self.settle_seq = seq;
        self.receipts_settled = self.receipts_settled.checked_add(receipts.into()).ok_or(SteamError::AmountOverflow)?;
        self.settled_pico = totals.settled.into();
        self.fee_pico = totals.fees.into();
        Ok(())
    }

    /// Where a group of this seq stands.
    ///
    /// # Errors
    /// [`SteamError::SeqGap`]
    pub fn place(&self, seq: u32) -> Result<Place> {
        if seq <= self.settle_seq {
            return Ok(Place::Applied);
        }
        require!(seq - 1 == self.settle_seq, SteamError::SeqGap);
        Ok(Place::Next)
    }

    /// Asks for `amount` (`u64::MAX` is all) in place of what was asked before, and starts the clock anew.
    ///
    /// # Errors
    /// [`SteamError::ZeroAmount`]
    pub fn request_withdrawal(&mut self, amount: u64, clock: &Clock, delay: Delay) -> Result<()> {
        require!(amount > 0, SteamError::ZeroAmount);
        self.pending_withdrawal = amount;
        self.unlock_at = Deadline::now(clock).after(delay);
        Ok(())
    }

    /// Takes back the request and returns what it was.
    ///
    /// # Errors
    /// [`SteamError::NoWithdrawal`]
    pub fn cancel_withdrawal(&mut self) -> Result<u64> {
        require!(self.pending_withdrawal > 0, SteamError::NoWithdrawal);
        self.unlock_at = Deadline::default();
        Ok(core::mem::take(&mut self.pending_withdrawal))
    }

    /// Ends the request and returns how much of `balance` leaves.
    ///
    /// # Errors
    /// [`SteamError::NoWithdrawal`], [`SteamError::WithdrawalLocked`]
    pub fn execute_withdrawal(&mut self, balance: u64, clock: &Clock) -> Result<u64> {
        require!(self.pending_withdrawal > 0, SteamError::NoWithdrawal);
        require!(self.unlock_at.passed(clock), SteamError::WithdrawalLocked);
        Ok(self.cancel_withdrawal()?.min(balance))
    }

    /// Checks that the settler's agreement is to this vault and this moment: no group has settled since, and it has not
    /// expired.
    ///
    /// # Errors
    /// [`SteamError::GenerationMismatch`], [`SteamError::SettleSeqMismatch`], [`SteamError::AgreementExpired`]
    pub fn check_agreement(&self, agreement: &Agreement, clock: &Clock) -> Result<()> {
        require!(self.generation == agreement.generation, SteamError::GenerationMismatch);
        require!(self.settle_seq == agreement.settle_seq, SteamError::SettleSeqMismatch);
        require!(clock.slot <= agreement.valid_until_slot, SteamError::AgreementExpired);
        Ok(())
    }

    /// Checks that a vault of this `balance` may close: it holds nothing, or everything was asked for and its time has come.
    /// Where nothing is left, there is nothing that a delay could keep for what was served.
    ///
    /// A closed vault leaves nothing behind, and the next one of its address has the slot of its opening for generation.
    /// It must be another: else what was signed for this one would settle again. So a vault never closes in the slot it was
    /// opened in; and one that is opened again, be it in the transaction that closed the last, has a higher generation.
    ///
    /// # Errors
    /// [`SteamError::NoWithdrawal`], [`SteamError::CloseNeedsAll`], [`SteamError::WithdrawalLocked`],
    /// [`SteamError::GenerationNotOver`]
    pub fn check_close(&self, balance: u64, clock: &Clock) -> Result<()> {
        if balance > 0 {
            require!(self.pending_withdrawal > 0, SteamError::NoWithdrawal);
            require!(self.pending_withdrawal == u64::MAX, SteamError::CloseNeedsAll);
            require!(self.unlock_at.passed(clock), SteamError::WithdrawalLocked);
        }
        require!(clock.slot > self.generation, SteamError::GenerationNotOver);
        Ok(())
    }
}

impl<'a> VaultMut<'a> {
    /// The vault and its keys in the data of an account whose discriminator was checked.
    ///
    /// # Errors
    /// Anchor's `AccountDidNotDeserialize` if the data is too short.
    pub fn of(data: &'a mut [u8]) -> Result<Self> {
        let short = ErrorCode::AccountDidNotDeserialize;
        let (_, rest) = data.split_at_mut_checked(HEAD).ok_or(short)?;
        let (vault, keys) = rest.split_at_mut_checked(size_of::<Vault>()).ok_or(short)?;
        let vault = bytemuck::try_from_bytes_mut(vault).map_err(|_| short)?;
        let keys = bytemuck::try_cast_slice_mut(keys).map_err(|_| short)?;
        Ok(Self { vault, keys })
    }

    /// The key in `slot`.
    ///
    /// # Errors
    /// [`SteamError::KeySlot`]
    pub fn key(&self, slot: u8) -> Result<&SessionKey> {
        self.keys.get(usize::from(slot)).ok_or_else(|| SteamError::KeySlot.into())
    }

    /// The key in `slot`, to change.
    ///
    /// # Errors
    /// [`SteamError::KeySlot`]
    pub fn key_mut(&mut self, slot: u8) -> Result<&mut SessionKey> {
        self.keys.get_mut(usize::from(slot)).ok_or_else(|| SteamError::KeySlot.into())
    }

    /// Puts a key into a free slot and returns its epoch.
    ///
    /// # Errors
    /// [`SteamError::KeySlot`], [`SteamError::KeySlotInUse`], [`SteamError::KeyAlreadyLive`], [`SteamError::KeyZero`] and
    /// those of [`KeyGrant::validate`]
    pub fn authorize(&mut self, slot: u8, key: Pubkey, grant: &KeyGrant, grace: Delay, clock: &Clock) -> Result<u32> {
        grant.validate(clock)?;
        require!(key != Pubkey::default(), SteamError::KeyZero);
        require!(!self.key(slot)?.is_live(clock), SteamError::KeySlotInUse);
        require!(!self.keys.iter().any(|k| k.key == key && k.is_live(clock)), SteamError::KeyAlreadyLive);
        let epoch = self.epochs.checked_add(1).ok_or(SteamError::AmountOverflow)?;
        self.epochs = epoch;
        *self.key_mut(slot)? = SessionKey::new(key, grant, epoch, grace, clock);
        Ok(epoch)
    }
}

impl Deref for VaultMut<'_> {
    type Target = Vault;

    fn deref(&self) -> &Vault {
        self.vault
    }
}

impl DerefMut for VaultMut<'_> {
    fn deref_mut(&mut self) -> &mut Vault {
        self.vault
    }
}

impl VaultWithKeys {
    /// A vault and its keys.
    pub fn new(vault: Vault, keys: Vec<SessionKey>) -> Self {
        Self { vault, keys }
    }

    /// Reads an account's data; none if it is no vault's.
    pub fn read(data: &[u8]) -> Option<Self> {
        let (vault, keys) = data.strip_prefix(Vault::DISCRIMINATOR)?.split_at_checked(size_of::<Vault>())?;
        let (keys, rest) = keys.as_chunks::<{ size_of::<SessionKey>() }>();
        let read = |bytes: &[u8; size_of::<SessionKey>()]| bytemuck::pod_read_unaligned(bytes);
        rest.is_empty().then(|| Self::new(bytemuck::pod_read_unaligned(vault), keys.iter().map(read).collect()))
    }

    /// The account's data.
    pub fn to_bytes(&self) -> Vec<u8> {
        [Vault::DISCRIMINATOR, bytemuck::bytes_of(&self.vault), bytemuck::cast_slice(&self.keys)].concat()
    }
}

impl Deref for VaultWithKeys {
    type Target = Vault;

    fn deref(&self) -> &Vault {
        &self.vault
    }
}

impl DerefMut for VaultWithKeys {
    fn deref_mut(&mut self) -> &mut Vault {
        &mut self.vault
    }
}

const _: () = assert!(MAX_KEYS == 32);

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

    const GRACE: Delay = Delay { seconds: 50, slots: 50 };

    fn clock(now: i64) -> Clock {
        Clock { unix_timestamp: now, slot: now as u64, ..Clock::default() }
    }

    fn grant() -> KeyGrant {
        KeyGrant {
            expires: 2000,
            limit_total: 100,
            window_seconds: 0,
            window_limit: 0,
            max_price: steam_protocol::units::Price::basic(5, 5, 5, 5).into(),
            max_fee_bps: 100,
            allow_root: [0; 32],
        }
    }

    fn vault() -> Vault {
        Vault::zeroed()
    }

    /// The data of a vault with room for so many keys, as words so that it is aligned as the runtime aligns it.
    fn data(keys: usize) -> Vec<u64> {
        let mut data = vec![0_u64; Vault::space(keys) / 8];
        bytemuck::cast_slice_mut::<u64, u8>(&mut data)[..HEAD].copy_from_slice(Vault::DISCRIMINATOR);
        data
    }

    #[test]
    fn layouts_are_what_the_specification_says() {
        use core::mem::offset_of;
        assert_eq!(align_of::<Vault>(), 8);
        assert_eq!(offset_of!(Vault, settle_hash), 128);
        assert_eq!(offset_of!(Vault, settled_pico), 160);
        assert_eq!(offset_of!(Vault, generation), 192);
        assert_eq!(offset_of!(Vault, pending_withdrawal), 208);
        assert_eq!(offset_of!(Vault, rent_paid), 232);
        assert_eq!(offset_of!(Vault, settle_seq), 248);
        assert_eq!(offset_of!(SessionKey, settled_pico), 64);
        assert_eq!(offset_of!(SessionKey, expires), 104);
        assert_eq!(offset_of!(SessionKey, settle_until), 120);
        assert_eq!(offset_of!(SessionKey, limits), 136);
        assert_eq!(offset_of!(SessionKey, former), 208);
        assert_eq!(offset_of!(SessionKey, former_until), 280);
        assert_eq!(offset_of!(SessionKey, epoch), 300);
        assert_eq!([0, 1, 32].map(Vault::space), [304, 624, 10544]);
        assert_eq!([0, 304, 623, 624, 10543, 10544].map(Vault::capacity), [0, 0, 0, 1, 31, 32]);
    }

    #[test]
    fn a_slot_is_used_again_only_after_its_grace() {
        let mut words = data(2);
        let mut vault = VaultMut::of(bytemuck::cast_slice_mut(&mut words)).unwrap();
        let (first, second) = (Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([2; 32]));
        vault.authorize(0, first, &grant(), GRACE, &clock(1000)).unwrap();
        let mut authorize =
            |slot, key, now| vault.authorize(slot, key, &KeyGrant { expires: now + 10, ..grant() }, GRACE, &clock(now));
        assert_eq!(authorize(0, second, 2049), Err(SteamError::KeySlotInUse.into()));
        assert_eq!(authorize(1, first, 2049), Err(SteamError::KeyAlreadyLive.into()));
        assert_eq!(authorize(2, second, 2049), Err(SteamError::KeySlot.into()));
        assert_eq!(authorize(1, Pubkey::default(), 2049), Err(SteamError::KeyZero.into()));
        assert_eq!(authorize(1, second, 2049), Ok(2));
        assert_eq!(authorize(0, first, 2050), Ok(3));
    }

    #[test]
    fn clients_read_what_the_program_writes() {
        let mut words = data(2);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        let mut vault = VaultMut::of(bytes).unwrap();
        vault.settle_seq = 7;
        vault.authorize(1, Pubkey::new_from_array([1; 32]), &grant(), GRACE, &clock(1000)).unwrap();
        let read = VaultWithKeys::read(bytes).unwrap();
        assert_eq!((read.settle_seq, read.keys.len(), read.keys[1].epoch), (7, 2, 1));
        assert_eq!(read.to_bytes(), bytes);
        assert!(VaultWithKeys::read(&bytes[..bytes.len() - 1]).is_none());
        assert!(VaultWithKeys::read(&bytes[1..]).is_none());
    }

    #[test]
    fn whoever_paid_the_rent_pays_for_growth_and_is_owed_it_or_the_owner_does() {
        let [owner, payer, other] = [1, 2, 3].map(|n| Pubkey::new_from_array([n; 32]));
        let mut vault = Vault { owner, rent_payer: payer, rent_paid: 100, ..vault() };
        assert_eq!(vault.pay_growth(&other, 5), Err(SteamError::NotRentPayer.into()));
        vault.pay_growth(&owner, 5).unwrap();
        assert_eq!(vault.rent_paid, 100);
        vault.pay_growth(&payer, 5).unwrap();
        assert_eq!(vault.rent_paid, 105);
        assert_eq!((vault.lamports_kept(104), vault.lamports_kept(106)), (105, 106));
    }

    #[test]
    fn a_group_applies_in_its_place_only() {
        let mut vault = vault();
        vault.settle_seq = 4;
        for (seq, place) in [(0, Ok(Place::Applied)), (4, Ok(Place::Applied)), (5, Ok(Place::Next))] {
            assert_eq!(vault.place(seq), place);
        }
        assert_eq!(vault.place(6), Err(SteamError::SeqGap.into()));
        vault.settle_seq = u32::MAX;
        assert_eq!(vault.place(u32::MAX), Ok(Place::Applied));
    }

    #[test]
    fn a_withdrawal_waits_and_takes_no_more_than_there_is() {
        let mut vault = vault();
        assert_eq!(vault.execute_withdrawal(9, &clock(0)), Err(SteamError::NoWithdrawal.into()));
        assert_eq!(vault.request_withdrawal(0, &clock(0), GRACE), Err(SteamError::ZeroAmount.into()));
        vault.request_withdrawal(5, &clock(100), GRACE).unwrap();
        vault.request_withdrawal(u64::MAX, &clock(120), GRACE).unwrap();
        assert_eq!(vault.execute_withdrawal(9, &clock(169)), Err(SteamError::WithdrawalLocked.into()));
        assert_eq!(vault.execute_withdrawal(9, &clock(170)), Ok(9));
        assert_eq!(vault.cancel_withdrawal(), Err(SteamError::NoWithdrawal.into()));
        vault.request_withdrawal(5, &clock(200), GRACE).unwrap();
        assert_eq!(vault.execute_withdrawal(9, &clock(250)), Ok(5));
    }

    #[test]
    fn an_agreement_is_to_one_vault_and_moment() {
        let mut vault = vault();
        (vault.generation, vault.settle_seq) = (7, 4);
        let agreed = Agreement { generation: 7, settle_seq: 4, valid_until_slot: 100 };
        for (agreement, error) in [
            (agreed, None),
            (Agreement { generation: 6, ..agreed }, Some(SteamError::GenerationMismatch)),
            (Agreement { generation: 8, ..agreed }, Some(SteamError::GenerationMismatch)),
            (Agreement { settle_seq: 3, ..agreed }, Some(SteamError::SettleSeqMismatch)),
            (Agreement { settle_seq: 5, ..agreed }, Some(SteamError::SettleSeqMismatch)),
            (Agreement { valid_until_slot: 99, ..agreed }, Some(SteamError::AgreementExpired)),
        ] {
            assert_eq!(vault.check_agreement(&agreement, &clock(100)).err(), error.map(Into::into), "{agreement:?}");
        }
    }

    #[test]
    fn a_vault_closes_empty_or_once_everything_was_asked_for_and_waited_for() {
        let mut vault = vault();
        vault.generation = 100;
        assert_eq!(vault.check_close(1, &clock(300)), Err(SteamError::NoWithdrawal.into()));
        vault.check_close(0, &clock(101)).unwrap();
        vault.request_withdrawal(u64::MAX - 1, &clock(100), GRACE).unwrap();
        assert_eq!(vault.check_close(1, &clock(300)), Err(SteamError::CloseNeedsAll.into()));
        vault.check_close(0, &clock(101)).unwrap();
        vault.request_withdrawal(u64::MAX, &clock(100), GRACE).unwrap();
        assert_eq!(vault.check_close(1, &clock(149)), Err(SteamError::WithdrawalLocked.into()));
        vault.check_close(0, &clock(149)).unwrap();
        vault.check_close(1, &clock(150)).unwrap();
    }

    #[test]
    fn no_vault_closes_in_its_first_slot_so_that_no_generation_comes_twice() {
        let mut vault = vault();
        vault.generation = 1000;
        let same_slot = Clock { slot: 1000, unix_timestamp: i64::MAX, ..Clock::default() };
        assert_eq!(vault.check_close(0, &same_slot), Err(SteamError::GenerationNotOver.into()));
        vault.check_close(0, &clock(1001)).unwrap();
        // A delay of no slot would let a vault with funds do so too.
        assert!(Delay { seconds: 1, slots: 1 }.is_some() && !Delay { seconds: 1, slots: 0 }.is_some());
    }
}
