//! Settings, their admin, and the guardian's pause.

use super::{Checked, GENESIS_HASH, Kind, Refusal, Rule, State, require};
use crate::cast::{Mint, Name, PROGRAM, Wallet, address, bump};
use crate::time::{Deadline, Delay, Delays};
use borsh::{BorshDeserialize, BorshSerialize};
use steam_protocol::domain;

/// No delay is longer: 7 days and 6,048,000 slots.
pub const LONGEST: Delay = Delay { seconds: 7 * 86_400, slots: 6_048_000 };
/// Bytes of the account.
pub const LEN: usize = 8 + 305 + 72;

/// `Config`, as its bytes are.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(missing_docs, reason = "SPEC.md, Accounts")]
pub struct Config {
    pub domain: [u8; 32],
    pub mint: [u8; 32],
    pub admin: [u8; 32],
    pub pending_admin: [u8; 32],
    pub guardian: [u8; 32],
    pub paused_until: Deadline,
    pub next_pause_from: Deadline,
    pub delays: Delays,
    pub floors: Delays,
    pub bump: u8,
    pub reserved: [u8; 72],
}

/// The domain of this deployment's signatures.
pub fn deployment_domain() -> [u8; 32] {
    domain::domain(&PROGRAM.to_bytes(), &GENESIS_HASH)
}

/// What SPEC.md asks of delays.
fn check(delays: &Delays, floors: &Delays) -> Checked {
    let in_order = |of: fn(Delay) -> u64| {
        let [interval, pause, price, revoke, withdraw, ..] = delays.each().map(of);
        interval + pause < price && price <= revoke && revoke <= withdraw && delays.each().iter().all(|d| of(*d) > 0)
    };
    require(in_order(|d| d.seconds.into()) && in_order(|d| d.slots.into()), Rule::InvalidDelays)?;
    let short = |d: &Delay| d.seconds <= LONGEST.seconds && d.slots <= LONGEST.slots;
    require(delays.each().iter().all(short), Rule::DelayTooLong)?;
    let above = |(delay, floor): (Delay, Delay)| delay.seconds >= floor.seconds && delay.slots >= floor.slots;
    require(delays.each().into_iter().zip(floors.each()).all(above), Rule::DelayBelowFloor)
}

impl State {
    pub(super) fn init_config(
        &mut self,
        authority: Wallet,
        payer: Wallet,
        mint: Mint,
        admin: Wallet,
        guardian: Wallet,
        (delays, floors): (Delays, Delays),
    ) -> Checked {
        require(mint != Mint::Bead, super::Anchor::AccountOwnedByWrongProgram)?;
        require(self.config.is_none(), Refusal::AlreadyThere)?;
        require(mint.decimals() == 6, Rule::InvalidMint)?;
        require(authority == Wallet::Deployer, Rule::NotUpgradeAuthority)?;
        check(&delays, &floors)?;
        self.pay_rent(payer, Name::Config, LEN);
        self.config = Some(Config {
            domain: deployment_domain(),
            mint: address(Name::Mint(mint)),
            admin: admin.address(),
            pending_admin: [0; 32],
            guardian: guardian.address(),
            paused_until: Deadline::default(),
            next_pause_from: Deadline::default(),
            delays,
            floors,
            bump: bump(Name::Config),
            reserved: [0; 72],
        });
        Ok(())
    }

    pub(super) fn set_config(&mut self, admin: Wallet, guardian: Option<Wallet>, delays: Option<Delays>) -> Checked {
        let config = self.config_as(admin)?;
        if let Some(delays) = delays {
            check(&delays, &config.floors)?;
            config.delays = delays;
        }
        if let Some(guardian) = guardian {
            config.guardian = guardian.address();
        }
        Ok(())
    }

    pub(super) fn transfer_admin(&mut self, admin: Wallet, pending: Wallet) -> Checked {
        self.config_as(admin)?.pending_admin = pending.address();
        Ok(())
    }

    pub(super) fn accept_admin(&mut self, pending: Wallet) -> Checked {
        let config = self.config_mut()?;
        let offered = config.pending_admin != [0; 32] && config.pending_admin == pending.address();
        require(offered, Rule::NotPendingAdmin)?;
        (config.admin, config.pending_admin) = (config.pending_admin, [0; 32]);
        Ok(())
    }

    pub(super) fn pause(&mut self, guardian: Wallet) -> Checked {
        let now = self.now;
        let config = self.config_mut()?;
        require(config.guardian == guardian.address(), Rule::NotGuardian)?;
        require(now.is_past(config.paused_until), Rule::AlreadyPaused)?;
        require(now.is_past(config.next_pause_from), Rule::PauseCooldown)?;
        config.paused_until = now.plus(config.delays.max_pause);
        config.next_pause_from = config.paused_until.plus(config.delays.withdraw_delay);
        Ok(())
    }

    /// The settings, unless a pause stops what asks for them.
    pub(super) fn running(&self) -> Checked<Config> {
        let config = self.settings()?;
        require(self.now.is_past(config.paused_until), Rule::Paused)?;
        Ok(config)
    }

    fn config_mut(&mut self) -> Checked<&mut Config> {
        self.is_there(Name::Config, Kind::Config)?;
        self.config.as_mut().ok_or_else(|| super::Anchor::AccountNotInitialized.into())
    }

    fn config_as(&mut self, admin: Wallet) -> Checked<&mut Config> {
        let config = self.config_mut()?;
        require(config.admin == admin.address(), Rule::NotAdmin)?;
        Ok(config)
    }
}
