//! How an owner leaves: after a delay alone, at once with the settler, for good, and with what was sent by mistake.

use super::vault::{ALL, len};
use super::{Checked, Kind, Rule, State, Token, rent, require};
use crate::cast::{Holder, Mint, Name, Purse, Wallet, address};
use crate::op::{Program, WithdrawNow};

impl State {
    pub(super) fn request_withdraw(&mut self, owner: Wallet, vault: Name, amount: u64) -> Checked {
        let config = self.settings()?;
        let now = self.now;
        let vault = self.vault_of(owner, vault)?;
        require(amount > 0, Rule::ZeroAmount)?;
        vault.pending_withdrawal = amount;
        vault.unlock_at = now.plus(config.delays.withdraw_delay);
        Ok(())
    }

    pub(super) fn cancel_withdraw(&mut self, owner: Wallet, vault: Name) -> Checked {
        let vault = self.vault_of(owner, vault)?;
        require(vault.pending_withdrawal > 0, Rule::NoWithdrawal)?;
        vault.pending_withdrawal = 0;
        vault.unlock_at = Default::default();
        Ok(())
    }

    pub(super) fn execute_withdraw(&mut self, owner: Wallet, vault: Name, token: Purse, to: Purse) -> Checked {
        let held = self.check_leaving(owner, None, vault, token, to)?;
        let now = self.now;
        let vault = self.vault_mut(vault)?;
        let asked = vault.pending_withdrawal;
        require(asked > 0, Rule::NoWithdrawal)?;
        require(now.is_past(vault.unlock_at), Rule::WithdrawalLocked)?;
        vault.pending_withdrawal = 0;
        vault.unlock_at = Default::default();
        self.transfer(token, to, asked.min(held))
    }

    pub(super) fn withdraw_now(&mut self, asked: &WithdrawNow, nonce_first: bool) -> Checked {
        let WithdrawNow { owner, settler, relayer, vault, token, destination, .. } = *asked;
        self.is_there(Name::Relayer(relayer), Kind::Relayer)?;
        self.is_there(vault, Kind::Vault)?;
        let held = self.source_and_destination(token, destination)?;
        let settles = self.relayers.get(&relayer).map(|known| known.settler);
        require(settles == Some(settler.address()), Rule::NotSettler)?;
        let slot = self.now.slot;
        let found = self.vault_of(owner, vault)?;
        require(found.relayer == address(Name::Relayer(relayer)), Rule::VaultRelayerMismatch)?;
        require(found.token == address(Name::Purse(token)), Rule::VaultTokenMismatch)?;
        let (generation, seq) = (found.generation, found.settle_seq);
        require(destination.mint == Mint::Dollar, Rule::InvalidDestination)?;
        require(!nonce_first, Rule::DurableNonce)?;
        let amount = if asked.amount == ALL { held } else { asked.amount };
        require(amount > 0, Rule::ZeroAmount)?;
        require(amount <= held, Rule::InsufficientBalance)?;
        require(asked.generation == generation, Rule::GenerationMismatch)?;
        require(asked.settle_seq == seq, Rule::SettleSeqMismatch)?;
        require(slot <= asked.valid_until_slot, Rule::AgreementExpired)?;
        self.transfer(token, destination, amount)
    }

    pub(super) fn close_vault(
        &mut self,
        owner: Wallet,
        rent_payer: Wallet,
        name: Name,
        token: Purse,
        to: Purse,
    ) -> Checked {
        let held = self.check_leaving(owner, Some(rent_payer), name, token, to)?;
        let now = self.now;
        let vault = self.vault_mut(name)?.clone();
        if held > 0 {
            require(vault.pending_withdrawal > 0, Rule::NoWithdrawal)?;
            require(vault.pending_withdrawal == ALL, Rule::CloseNeedsAll)?;
            require(now.is_past(vault.unlock_at), Rule::WithdrawalLocked)?;
        }
        require(now.slot > vault.generation, Rule::GenerationNotOver)?;
        self.transfer(token, to, held)?;
        let lamports = self.lamports.get(&Name::Purse(token)).copied().unwrap_or_default();
        self.pay(Name::Purse(token), name, lamports);
        self.empty(name, (rent_payer, vault.rent_paid + vault.token_rent_paid), owner);
        self.purses.remove(&token);
        if let Name::Vault(owner, relayer) = name {
            self.vaults.remove(&(owner, relayer));
        }
        Ok(())
    }

    pub(super) fn recover_tokens(
        &mut self,
        owner: Wallet,
        vault: Name,
        source: Name,
        to: Purse,
        mint: Name,
        program: Program,
    ) -> Checked {
        let funds = self.vault_of(owner, vault)?.token;
        require(address(source) != funds, Rule::RecoverFunds)?;
        require(program != Program::System, Rule::InvalidTokenProgram)?;
        let is_its = |mint: Mint| (mint == Mint::Bead) == (program == Program::Token2022);
        let Name::Purse(purse) = source else { return Err(Rule::InvalidTokenAccount.into()) };
        let held = self.holding(purse).filter(|_| is_its(purse.mint)).ok_or(Rule::InvalidTokenAccount)?;
        require(held.amount > 0, Rule::ZeroAmount)?;
        let Name::Mint(mint) = mint else { return Err(Rule::InvalidMint.into()) };
        require(is_its(mint), Rule::InvalidMint)?;
        let target = self.holding(to).filter(|_| is_its(to.mint)).ok_or(Rule::InvalidDestination)?;
        // Token-2022 looks at the destination last, the legacy program at once.
        let at_once = held.frozen || target.frozen && program == Program::Token;
        require(!at_once, Token::AccountFrozen)?;
        require(purse.mint == mint && to.mint == mint, Token::MintMismatch)?;
        let signed = matches!((purse.of, vault), (Holder::Vault(a, b), Name::Vault(c, d)) if (a, b) == (c, d));
        require(signed, Token::OwnerMismatch)?;
        require(!target.frozen, Token::AccountFrozen)?;
        self.transfer(purse, to, held.amount)
    }

    pub(super) fn recover_nested(&mut self, owner: Wallet, vault: Name, token: Purse, nested: Purse) -> Checked {
        self.is_there(vault, Kind::Vault)?;
        let held = self.source_and_destination(token, nested).and_then(|_| self.legacy_holding(nested))?.amount;
        let found = self.vault_of(owner, vault)?;
        require(found.token == address(Name::Purse(token)), Rule::VaultTokenMismatch)?;
        self.unnest(owner, nested, token, held)
    }

    pub(super) fn recover_nested_earnings(&mut self, authority: Wallet, provider: u8, nested: Purse) -> Checked {
        let token = Holder::Provider(provider).dollars();
        self.is_there(Name::Provider(provider), Kind::Provider)?;
        let held = self.source_and_destination(token, nested).and_then(|_| self.legacy_holding(nested))?.amount;
        let found = self.provider_mut(Name::Provider(provider))?;
        require(found.authority == authority.address(), Rule::NotAuthority)?;
        self.unnest(authority, nested, token, held)
    }

    /// Everything moves, also where that is nothing; the account is closed.
    fn unnest(&mut self, owner: Wallet, nested: Purse, token: Purse, held: u64) -> Checked {
        require(nested == Holder::of_purse(token).dollars(), Rule::NotNested)?;
        let frozen = |purse| self.holding(purse).is_none_or(|holding| holding.frozen);
        require(!frozen(nested) && !frozen(token), Token::AccountFrozen)?;
        self.transfer(nested, token, held)?;
        self.purses.remove(&nested);
        let lamports = self.lamports.get(&Name::Purse(nested)).copied().unwrap_or_default();
        self.pay(Name::Purse(nested), Name::Wallet(owner), lamports);
        Ok(())
    }

    pub(super) fn recover_lamports(&mut self, owner: Wallet, vault: Name) -> Checked {
        let found = self.vault_of(owner, vault)?;
        let kept = rent(len(found.keys.len())).max(found.rent_paid);
        let held = self.lamports.get(&vault).copied().unwrap_or_default();
        let beyond = held.saturating_sub(kept);
        require(beyond > 0, Rule::ZeroAmount)?;
        self.pay(vault, Name::Wallet(owner), beyond);
        Ok(())
    }

    /// What `execute_withdraw` and `close_vault` check alike; what the token account holds.
    fn check_leaving(
        &mut self,
        owner: Wallet,
        rent_payer: Option<Wallet>,
        vault: Name,
        token: Purse,
        to: Purse,
    ) -> Checked<u64> {
        self.is_there(vault, Kind::Vault)?;
        let held = self.source_and_destination(token, to)?;
        let found = self.vault_of(owner, vault)?;
        require(rent_payer.is_none_or(|payer| found.rent_payer == payer.address()), Rule::NotRentPayer)?;
        require(found.token == address(Name::Purse(token)), Rule::VaultTokenMismatch)?;
        require(to.mint == Mint::Dollar, Rule::InvalidDestination)?;
        Ok(held)
    }
}
