//! Who may call: the relayer's settler. Its signature moves nothing by itself: each charge needs a voucher that the vault's
//! session key signed, at prices and within limits that the accounts hold, and pays only the offers' providers and the
//! relayer.

use crate::bill::{Bill, Totals};
use crate::error::SteamError;
use crate::events::{Settled, Skipped};
use crate::state::{Config, Offer, Place, Relayer, Vault, VaultMut};
use crate::token::{TokenState, Transfer};
use anchor_lang::prelude::*;
use anchor_spl::token::Token;
use brine_ed25519::verify_strict;
use std::io;
use steam_protocol::batch::{BatchView, GroupView};
use steam_protocol::group::{GroupHeader, MAX_CHARGES, MAX_KEYS, ResolvedCharge, next_hash};
use steam_protocol::seeds;
use steam_protocol::units::{Tariff, charge};
use steam_protocol::voucher::Voucher;

#[cfg(feature = "idl-build")]
mod idl;

/// The instruction's data after its discriminator, see [`steam_protocol::batch`]. Read in place: the heap is 32 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchData(pub Vec<u8>);

/// Accounts of `settle_batch`. After them, for each group its vault and the vault's token account (both writable), in
/// strictly ascending order of the vaults; then for each offer the offer and its provider's token account (writable), in
/// strictly ascending order of the offers.
#[derive(Accounts)]
pub struct SettleBatch<'info> {
    /// The relayer's settler; pays for the transaction.
    #[account(mut)]
    pub settler: Signer<'info>,
    /// The relayer's account.
    #[account(has_one = settler @ SteamError::NotSettler)]
    pub relayer: Box<Account<'info, Relayer>>,
    /// The deployment's settings.
    pub config: Box<Account<'info, Config>>,
    /// Where the fees go.
    /// CHECK: the relayer's own token account, whose address the relayer's account names.
    #[account(mut, address = relayer.fee_token)]
    pub fee_token: UncheckedAccount<'info>,
    /// USDC.
    /// CHECK: the mint whose address the settings name; the token program reads it.
    #[account(address = config.mint)]
    pub mint: UncheckedAccount<'info>,
    /// Moves tokens.
    pub token_program: Program<'info, Token>,
}

/// A batch while it settles.
struct Settlement<'a, 'info> {
    relayer: &'a Relayer,
    relayer_key: Pubkey,
    domain: [u8; 32],
    clock: Clock,
    fee_token: AccountInfo<'info>,
    transfer: Transfer<'info>,
    offers: Offers<'info>,
}

/// The offers of a batch, each followed by its provider's token account.
struct Offers<'info> {
    accounts: &'info [AccountInfo<'info>],
    used: u64,
}

impl<'info> SettleBatch<'info> {
    /// Settles each group in turn.
    pub(crate) fn handle(&mut self, batch: &BatchData, accounts: &'info [AccountInfo<'info>]) -> Result<()> {
        let clock = Clock::get()?;
        self.config.require_running(&clock)?;
        let mut batch = BatchView::parse(&batch.0).map_err(SteamError::from)?;
        let (vaults, offers) = accounts.split_at_checked(2 * batch.len()).ok_or(SteamError::BatchAccounts)?;
        let mut settlement = Settlement {
            relayer: &self.relayer,
            relayer_key: self.relayer.key(),
            domain: self.config.domain,
            clock,
            fee_token: self.fee_token.to_account_info(),
            transfer: Transfer::new(self.mint.to_account_info())?,
            offers: Offers::check(offers)?,
        };
        let mut last = None;
        for [vault, token] in vaults.as_chunks().0 {
            require!(last < Some(vault.key), SteamError::VaultOrder);
            last = Some(vault.key);
            let group = batch.next_group().map_err(SteamError::from)?;
            settlement.settle(&group, vault, token)?;
        }
        batch.finish().map_err(SteamError::from)?;
        settlement.offers.require_all_used()
    }
}

impl<'info> Settlement<'_, 'info> {
    /// Settles a group, or leaves its vault untouched: a group settled before, a vault frozen or too poor.
    #[inline(never)]
    fn settle(
        &mut self,
        group: &GroupView,
        account: &'info AccountInfo<'info>,
        token: &'info AccountInfo<'info>,
    ) -> Result<()> {
        self.offers.mark_used(group)?;
        // Checks who owns the account and what it is.
        AccountLoader::<Vault>::try_from(account)?;
        require!(account.is_writable, ErrorCode::AccountNotMutable);
        let mut data = account.try_borrow_mut_data()?;
        let mut vault = VaultMut::of(&mut data)?;
        require_keys_eq!(vault.relayer, self.relayer_key, SteamError::VaultRelayerMismatch);
        require_keys_eq!(vault.token, *token.key, SteamError::VaultTokenMismatch);
        if vault.place(group.seq)? == Place::Applied {
            return Ok(());
        }
        self.check_group(group)?;
        let bill = self.bill(group, &vault)?;
        let totals = bill.totals(group.fee_bps, vault.fee_pico.pico())?;
        self.check_providers(group, &vault)?;
        let funds = TokenState::read(token)?;
        if funds.frozen || funds.balance < totals.total {
            emit!(Skipped { vault: *account.key, seq: group.seq, total: totals.total });
            return Ok(());
        }
        self.spend(group, &bill, account.key, &mut vault)?;
        self.advance(group, &totals, account.key, &mut vault)?;
        let (owner, bump) = (vault.owner, [vault.bump]);
        drop(data);

        let seeds: [&[u8]; 4] = [seeds::VAULT, owner.as_ref(), self.relayer_key.as_ref(), &bump];
        for payment in bill.payments() {
            let (_, payee) = self.offers.get(payment.offer_ix)?;
            self.transfer.pay(token, payee, account, &seeds, payment.amount)?;
        }
        self.transfer.pay(token, &self.fee_token, account, &seeds, totals.fee)?;
        let Totals { paid, fee, .. } = totals;
        emit!(Settled { vault: *account.key, seq: group.seq, receipts: group.receipts, paid, fee });
        Ok(())
    }

    /// Checks what a group says of itself. A void group charges nobody, so its fee does not matter.
    fn check_group(&self, group: &GroupView) -> Result<()> {
        let requests: u64 = group.charges().map(|line| u64::from(line.usage.requests)).sum();
        let void = group.charges().len() == 0;
        require!(requests == u64::from(group.receipts) && (group.receipts == 0) == void, SteamError::ReceiptCount);
        if void { Ok(()) } else { self.relayer.fee.check(group.fee_bps, &self.clock) }
    }

    /// Prices each charge by the version it names, within what its key may pay. A charge of long prompts has enough tokens for
    /// every prompt in it to be one, so that no relayer bills short ones at the higher price.
    #[inline(never)]
    fn bill(&self, group: &GroupView, vault: &VaultMut) -> Result<Bill> {
        let mut bill = Bill::new(vault.settled_pico.pico());
        for line in group.charges() {
            let tariff = self.offers.price(line.offer_ix, line.version, &self.clock)?;
            require!(!line.long || tariff.may_be_long(&line.usage), SteamError::PromptsNotLong);
            let price = tariff.price(line.long);
            vault.key(line.slot)?.admit(price, group.fee_bps, &self.clock)?;
            bill.add(line.slot, line.offer_ix, charge(price, &line.usage))?;
        }
        Ok(bill)
    }

    /// Checks that each key with an allow-list pays providers in it only. Each pair of list and provider brings its proof
    /// with the first charge that names it, whichever of the keys with this list that charges.
    #[inline(never)]
    fn check_providers(&self, group: &GroupView, vault: &VaultMut) -> Result<()> {
        let mut memberships = group.memberships();
        let mut proven = [([0; 32], Pubkey::default()); MAX_CHARGES];
        let mut known = 0;
        for line in group.charges() {
            let Some(root) = vault.key(line.slot)?.allow_list() else { continue };
            let pair = (*root, self.offers.provider(line.offer_ix)?);
            if proven[..known].contains(&pair) {
                continue;
            }
            let proof = memberships.next().ok_or(SteamError::MembershipMissing)?;
            require!(proof.proves(&pair.1.to_bytes(), root), SteamError::ProviderNotAllowed);
            *proven.get_mut(known).ok_or(SteamError::BatchChargeCount)? = pair;
            known += 1;
        }
        require!(memberships.next().is_none(), SteamError::MembershipUnused);
        Ok(())
    }

    /// Charges each key what its voucher allows.
    #[inline(never)]
    fn spend(&self, group: &GroupView, bill: &Bill, vault_key: &Pubkey, vault: &mut VaultMut) -> Result<()> {
        let mut open = bill.charged();
        let mut next_slot = 0;
        for item in group.vouchers() {
            require!(item.slot >= next_slot, SteamError::VoucherOrder);
            require!(usize::from(item.slot) < MAX_KEYS && open & 1 << item.slot != 0, SteamError::VoucherUnused);
            next_slot = item.slot + 1;
            open &= !(1 << item.slot);
            let generation = vault.generation;
            let key = vault.key_mut(item.slot)?;
            let voucher = Voucher {
                domain: self.domain,
                vault: vault_key.to_bytes(),
                generation,
                epoch: key.epoch,
                authorized: item.authorized,
                request_hash: item.request_hash,
            };
            verify(&key.key, &voucher, &item.signature)?;
            key.spend(bill.cost(item.slot, group.fee_bps)?, item.authorized, &self.clock)?;
        }
        require!(open == 0, SteamError::VoucherMissing);
        Ok(())
    }

    /// Links the group to the vault's chain.
    #[inline(never)]
    fn advance(&self, group: &GroupView, totals: &Totals, vault_key: &Pubkey, vault: &mut Vault) -> Result<()> {
        let header = GroupHeader {
            vault: vault_key.to_bytes(),
            generation: vault.generation,
            seq: group.seq,
            receipts: group.receipts,
            fee_bps: group.fee_bps,
        };
        let charges = group.charges().map(|line| ResolvedCharge {
            slot: line.slot,
            offer: self.offers.address(line.offer_ix),
            version: line.version,
            long: line.long,
            usage: line.usage,
        });
        let hash = next_hash(&vault.settle_hash, &header, charges);
        vault.advance(hash, group.seq, group.receipts, totals)
    }
}

impl<'info> Offers<'info> {
    /// Checks that the accounts are offers in strictly ascending order, each followed by the token account it names.
    #[inline(never)]
    fn check(accounts: &'info [AccountInfo<'info>]) -> Result<Self> {
        let (pairs, rest) = accounts.as_chunks();
        require!(rest.is_empty() && pairs.len() <= u64::BITS as usize, SteamError::BatchAccounts);
        let mut last = None;
        for [offer, token] in pairs {
            require!(last < Some(offer.key), SteamError::OfferOrder);
            last = Some(offer.key);
            let loader = AccountLoader::<Offer>::try_from(offer)?;
            require_keys_eq!(loader.load()?.token, *token.key, SteamError::OfferTokenMismatch);
        }
        Ok(Self { accounts, used: 0 })
    }

    /// The offer at `index`, and its provider's token account.
    fn get(&self, index: u8) -> Result<(&'info AccountInfo<'info>, &'info AccountInfo<'info>)> {
        let at = 2 * usize::from(index);
        match self.accounts.get(at..at + 2) {
            Some([offer, token]) => Ok((offer, token)),
            _ => err!(SteamError::OfferIndex),
        }
    }

    /// The address of the offer at `index`, which [`Self::mark_used`] has checked.
    fn address(&self, index: u8) -> [u8; 32] {
        self.accounts.get(2 * usize::from(index)).map_or([0; 32], |offer| offer.key.to_bytes())
    }

    /// Who serves the offer at `index`.
    fn provider(&self, index: u8) -> Result<Pubkey> {
        let (offer, _) = self.get(index)?;
        Ok(AccountLoader::<Offer>::try_from(offer)?.load()?.provider)
    }

    /// The prices at which a charge that names `version` settles.
    fn price(&self, index: u8, version: u32, clock: &Clock) -> Result<Tariff> {
        let (offer, _) = self.get(index)?;
        AccountLoader::<Offer>::try_from(offer)?.load()?.price_for(version, clock)
    }

    /// Notes which offers a group charges for, whether or not it settles.
    fn mark_used(&mut self, group: &GroupView) -> Result<()> {
        for line in group.charges() {
            self.get(line.offer_ix)?;
            self.used |= 1 << line.offer_ix;
        }
        Ok(())
    }

    fn require_all_used(&self) -> Result<()> {
        require!(self.used.count_ones() as usize == self.accounts.len() / 2, SteamError::UnusedAccount);
        Ok(())
    }
}

/// Checks a voucher's signature: strictly, without points of small order.
#[inline(never)]
fn verify(key: &Pubkey, voucher: &Voucher, signature: &[u8; 64]) -> Result<()> {
    verify_strict(&key.to_bytes().into(), signature, &[&voucher.message()])
        .map_err(|_| SteamError::VoucherSignature.into())
}

impl AnchorDeserialize for BatchData {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl AnchorSerialize for BatchData {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(&self.0)
    }
}
