//! Why the chain would refuse a settlement, and which vault, key, offer or provider takes no new holds because of it.

use crate::ledger::{Cause, Fault, Touches};
use anchor_spl::token::spl_token::error::TokenError;
use steam_router::error::SteamError;

/// Whether a program refused the whole batch, as opposed to one of its groups.
pub fn is_whole(code: Option<u32>) -> bool {
    let whole = [SteamError::Paused, SteamError::NotSettler].map(u32::from);
    code.is_some_and(|code| whole.contains(&code))
}

/// The fault of a group that the program refuses for good. Everything else (no fee, a node that lags, a mistake in the
/// configuration) may pass with time: it is the group's fault only if the same group without charges would settle.
pub fn known(code: Option<u32>, reason: &str) -> Option<Fault> {
    let code = code?;
    let of = |errors: &[SteamError]| errors.iter().any(|error| u32::from(*error) == code);
    let fault = |touches, cause| Some(Fault { reason: reason.to_owned(), touches, cause });
    if of(&[SteamError::OfferRetired, SteamError::PriceOutdated, SteamError::PriceUnknown]) {
        return fault(Touches::Offer, Cause::Kind);
    }
    if of(&[
        SteamError::KeyClosed,
        SteamError::KeyPriceExceeded,
        SteamError::KeyFeeExceeded,
        SteamError::VoucherSignature,
        SteamError::MembershipMissing,
        SteamError::ProviderNotAllowed,
    ]) {
        return fault(Touches::Key, Cause::Kind);
    }
    if of(&[
        SteamError::KeyLimitExceeded,
        SteamError::KeyWindowExceeded,
        SteamError::VoucherExceeded,
        SteamError::AmountOverflow,
    ]) {
        return fault(Touches::Key, Cause::Amount);
    }
    if of(&[SteamError::FeeMismatch]) {
        return fault(Touches::Vault, Cause::Kind);
    }
    // The provider's account is frozen: the program checks the vault's first and skips the group.
    (code == TokenError::AccountFrozen as u32).then(|| Fault {
        reason: format!("the provider's token account is frozen: {reason}"),
        touches: Touches::Provider,
        cause: Cause::Kind,
    })
}

/// A refusal without a known code, of a group that would settle without its charges. The program checks the vault's account
/// before it moves anything, so that the provider's account must be the reason: it may be no token account, for instance.
pub fn unforeseen(reason: &str) -> Fault {
    Fault { reason: format!("the provider cannot be paid: {reason}"), touches: Touches::Provider, cause: Cause::Kind }
}
