//! Everything the program refuses, one error a rule.

#![warn(missing_docs)]

use anchor_lang::prelude::*;
use steam_protocol::batch::BatchError;

/// Why the program refuses.
#[error_code]
#[derive(PartialEq, Eq)]
pub enum SteamError {
    /// `init_config`, signer.
    #[msg("Only the program's upgrade authority may initialise it")]
    NotUpgradeAuthority,
    /// `init_config`, mint.
    #[msg("The mint must have six decimals")]
    InvalidMint,
    /// `init_config`, delays.
    #[msg(
        "Delays must not be zero, and settle_interval + max_pause < price_grace <= revoke_grace <= withdraw_delay must hold in seconds and in slots"
    )]
    InvalidDelays,
    /// `init_config` and `set_config`, a delay that would keep an owner from leaving.
    #[msg("A delay is at most 7 days and 6048000 slots")]
    DelayTooLong,
    /// `init_config` and `set_config`, a delay that is too short.
    #[msg("A delay must not be below its floor, which init_config fixed")]
    DelayBelowFloor,
    /// Signer is not the admin.
    #[msg("Only the admin may do this")]
    NotAdmin,
    /// `accept_admin`, signer.
    #[msg("Only the address the admin offered its place may accept it")]
    NotPendingAdmin,
    /// Stopped by the guardian.
    #[msg("Settlement and registration are paused; the pause ends by itself")]
    Paused,
    /// `pause`, while paused.
    #[msg("Already paused")]
    AlreadyPaused,
    /// `pause`, too soon.
    #[msg("The last pause ended less than a withdraw delay ago")]
    PauseCooldown,
    /// `pause`, signer.
    #[msg("Only the guardian may do this")]
    NotGuardian,
    /// Signer is not the authority of the provider or relayer.
    #[msg("Only the authority of this account may do this")]
    NotAuthority,
    /// Signer is not the owner of the vault.
    #[msg("Only the owner of the vault may do this")]
    NotOwner,
    /// Signer is not the settler of the relayer.
    #[msg("Only the settler of the relayer may do this")]
    NotSettler,
    /// Provider's status.
    #[msg("The provider is suspended or retired")]
    ProviderNotActive,
    /// A change of the status by itself.
    #[msg("Suspended by the guardian, who alone ends that")]
    Suspended,
    /// `suspend_provider`, again.
    #[msg("The provider's suspension is already as asked for")]
    SuspensionUnchanged,
    /// Length of a name.
    #[msg("A name has 1 to 32 bytes")]
    NameLength,
    /// Length of a URL.
    #[msg("A URL has 1 to 128 bytes")]
    UrlLength,
    /// A fee above 2,000 basis points.
    #[msg("A fee is at most 2000 basis points")]
    FeeTooHigh,
    /// A change of fee while the previous one settles.
    #[msg("The previous fee is still within its grace")]
    FeeGraceRunning,
    /// A receipt key of zero.
    #[msg("The receipt key must not be zero")]
    ReceiptKeyZero,
    /// The receipt key that holds already.
    #[msg("This is the receipt key already")]
    ReceiptKeyUnchanged,
    /// Model name.
    #[msg("A model name has 1 to 64 characters of a-z A-Z 0-9 . _ : / -")]
    InvalidModel,
    /// The end of a model name.
    #[msg("A model name must not end in :floor, :nitro, :free or :online, which ask for a way of routing")]
    ReservedModel,
    /// Price bounds.
    #[msg("A price component is at most 10^12, and cached at most input")]
    InvalidPrice,
    /// Bounds of the price of long prompts.
    #[msg(
        "Without long_from, long_price must be zero; with it, each component is at most 10^12 and not below price, and cached at most input"
    )]
    InvalidLongPrice,
    /// Limits.
    #[msg("The output limit must not be above the context limit")]
    InvalidLimits,
    /// `put_offer` while the previous price settles.
    #[msg("The previous price is still within its grace: post again when it has passed")]
    PriceGraceRunning,
    /// No version is left.
    #[msg("The offer has used up its versions")]
    VersionOverflow,
    /// The offer does not serve or settle any more.
    #[msg("The offer is retired")]
    OfferRetired,
    /// `close_offer`, of an offer that serves.
    #[msg("The offer is listed: retire it first, and close it after its grace")]
    OfferListed,
    /// `close_offer`, within the grace.
    #[msg("Charges of the offer can still settle: close it after its settle_until")]
    OfferStillSettles,
    /// `close_offer`, so that no version comes twice.
    #[msg("The offer's versions are ahead of the clock: close it later, when the unix time is above its last version")]
    VersionAhead,
    /// `close_provider`, with offers.
    #[msg("The provider has offers: close them first")]
    ProviderHasOffers,
    /// `close_provider`, with earnings.
    #[msg("The provider has earnings: withdraw them first")]
    ProviderHasEarnings,
    /// A version past its grace, with a price that has risen since.
    #[msg("The price named is past its grace and has risen since")]
    PriceOutdated,
    /// A version not yet in effect.
    #[msg("The price named is not in effect yet")]
    PriceFuture,
    /// A version that is neither previous nor current.
    #[msg("The offer has no price of this version")]
    PriceUnknown,
    /// `authorize_key`, slot number.
    #[msg("A vault has key slots from 0 to 31, and grows by one at a time: use a slot it has, or the next one")]
    KeySlot,
    /// `authorize_key`, slot in use.
    #[msg("The slot's key can still settle: use another slot, or wait for its settle_until")]
    KeySlotInUse,
    /// `authorize_key`, key in use.
    #[msg("The key is already live in this vault")]
    KeyAlreadyLive,
    /// `authorize_key`, the zero key.
    #[msg("The key must not be zero")]
    KeyZero,
    /// `authorize_key`, expiry.
    #[msg("A key must expire in the future")]
    KeyExpiryPast,
    /// `authorize_key`, limit of zero.
    #[msg("A key's total limit must not be zero")]
    ZeroLimit,
    /// `authorize_key`, half a window.
    #[msg("A window needs both a length and a limit, or neither")]
    WindowMismatch,
    /// `revoke_key`, again.
    #[msg("The key is already revoked")]
    KeyRevoked,
    /// No key in the slot.
    #[msg("The slot holds no key")]
    KeyUnknown,
    /// A key past its grace.
    #[msg("The key's grace after revocation or expiry has passed")]
    KeyClosed,
    /// A charge of long prompts that has too few tokens, or for which there is no such price.
    #[msg(
        "A charge of long prompts has at least requests x (long_from + 1) prompt tokens, of an offer that has a price of them"
    )]
    PromptsNotLong,
    /// A price above the key's maximum.
    #[msg("A price component is above what the key may pay")]
    KeyPriceExceeded,
    /// A fee above the key's maximum.
    #[msg("The fee is above what the key may pay")]
    KeyFeeExceeded,
    /// A provider who is not in the key's allow-list.
    #[msg("The proof does not show that the provider is in the key's allow-list")]
    ProviderNotAllowed,
    /// More than the voucher allows.
    #[msg("The key would be charged more than it signed")]
    VoucherExceeded,
    /// More than the key's total limit.
    #[msg("The key would be charged more than its total limit")]
    KeyLimitExceeded,
    /// More than the key's window limit.
    #[msg("The key would be charged more than its window allows")]
    KeyWindowExceeded,
    /// An amount of zero.
    #[msg("The amount must not be zero")]
    ZeroAmount,
    /// No withdrawal was requested.
    #[msg("No withdrawal is pending")]
    NoWithdrawal,
    /// A withdrawal before its time.
    #[msg("The withdrawal is not unlocked yet")]
    WithdrawalLocked,
    /// `withdraw_now`, for another vault of this address.
    #[msg("The settler agreed for another generation of this vault: ask again")]
    GenerationMismatch,
    /// `withdraw_now`, after another group.
    #[msg("The settler agreed at another settle_seq: the vault has settled since, or not yet")]
    SettleSeqMismatch,
    /// `withdraw_now`, after the last slot agreed.
    #[msg("The settler's agreement has expired")]
    AgreementExpired,
    /// `withdraw_now`, in a transaction that can be kept.
    #[msg("The settler's agreement must not be kept for later: no durable nonce")]
    DurableNonce,
    /// `close_vault`, without a request for everything.
    #[msg("To close a vault that holds dollars, request everything (u64::MAX) and wait until it is unlocked")]
    CloseNeedsAll,
    /// `close_vault`, in the slot of opening.
    #[msg("A vault cannot be closed in the slot it was opened in: the next one would have its generation")]
    GenerationNotOver,
    /// Who pays for a vault's growth, and who gets rent back.
    #[msg("Rent goes back to who paid it; a vault's growth is paid by who paid its rent, or by its owner")]
    NotRentPayer,
    /// `recover_tokens`, the vault's funds.
    #[msg("The vault's funds leave by settlement and withdrawal only")]
    RecoverFunds,
    /// `recover_nested` and `recover_nested_earnings`, the source.
    #[msg("This is not the associated token account of the vault's or the provider's token account")]
    NotNested,
    /// `recover_tokens`, token program.
    #[msg("This is not one of the token programs")]
    InvalidTokenProgram,
    /// More than the earnings.
    #[msg("The account holds less than this")]
    InsufficientBalance,
    /// The destination of a withdrawal.
    #[msg("The destination must be another token account of the configured mint")]
    InvalidDestination,
    /// Arithmetic.
    #[msg("An amount is too large")]
    AmountOverflow,
    /// `settle_batch`, bytes.
    #[msg("The batch ends within a field")]
    BatchTruncated,
    /// `settle_batch`, bytes.
    #[msg("The batch has bytes after its last group")]
    BatchTrailingBytes,
    /// `settle_batch`, groups.
    #[msg("A batch has 1 to 24 groups")]
    BatchGroupCount,
    /// `settle_batch`, vouchers.
    #[msg("A group has at most 16 vouchers")]
    BatchVoucherCount,
    /// `settle_batch`, charges.
    #[msg("A group has at most 16 charges")]
    BatchChargeCount,
    /// `settle_batch`, cache writes.
    #[msg("A count of cache writes is left out where it is zero")]
    BatchZeroWrites,
    /// `settle_batch`, proofs of membership.
    #[msg("A group has at most 16 proofs of membership, and at least one where they are announced")]
    BatchMembershipCount,
    /// `settle_batch`, the path of a proof of membership.
    #[msg("The path of a proof of membership is 1 to 127")]
    BatchMembershipPath,
    /// `settle_batch`, accounts.
    #[msg("The accounts are not a pair for each group and a pair for each offer")]
    BatchAccounts,
    /// `settle_batch`, vaults.
    #[msg("Vaults must come in strictly ascending order")]
    VaultOrder,
    /// `settle_batch`, offers.
    #[msg("Offers must come in strictly ascending order")]
    OfferOrder,
    /// `settle_batch`, a vault of another relayer.
    #[msg("The vault names another relayer")]
    VaultRelayerMismatch,
    /// `settle_batch`, the vault's token account.
    #[msg("This is not the vault's token account")]
    VaultTokenMismatch,
    /// `settle_batch`, the provider's token account.
    #[msg("This is not the offer's token account")]
    OfferTokenMismatch,
    /// A token account that cannot be read.
    #[msg("This is not an account of the token program")]
    InvalidTokenAccount,
    /// `settle_batch`, an offer nobody is charged for.
    #[msg("No charge names this offer")]
    UnusedAccount,
    /// `settle_batch`, a charge for an offer that is not there.
    #[msg("A charge names an offer that is not among the accounts")]
    OfferIndex,
    /// `settle_batch`, a seq too far ahead.
    #[msg("The group is not the vault's next one")]
    SeqGap,
    /// `settle_batch`, receipts.
    #[msg("The receipts of a group must be the requests of its charges, and none for a void group")]
    ReceiptCount,
    /// `settle_batch`, fee.
    #[msg("The fee is neither the relayer's current one nor the previous one within its grace")]
    FeeMismatch,
    /// `settle_batch`, vouchers.
    #[msg("Vouchers must come in strictly ascending order of their slots")]
    VoucherOrder,
    /// `settle_batch`, vouchers.
    #[msg("A charged key has no voucher")]
    VoucherMissing,
    /// `settle_batch`, vouchers.
    #[msg("A voucher's key is not charged")]
    VoucherUnused,
    /// `settle_batch`, proofs of membership.
    #[msg("A charged key has an allow-list, and a provider has no proof of membership")]
    MembershipMissing,
    /// `settle_batch`, proofs of membership.
    #[msg("No charge needs this proof of membership")]
    MembershipUnused,
    /// `settle_batch`, signature.
    #[msg("A voucher's signature is not its key's")]
    VoucherSignature,
}

impl From<BatchError> for SteamError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Truncated => Self::BatchTruncated,
            BatchError::TrailingBytes => Self::BatchTrailingBytes,
            BatchError::GroupCount => Self::BatchGroupCount,
            BatchError::VoucherCount => Self::BatchVoucherCount,
            BatchError::ChargeCount => Self::BatchChargeCount,
            BatchError::ZeroWrites => Self::BatchZeroWrites,
            // Only said of what is written: three bits of the byte are no part of the slot.
            BatchError::ChargeSlot => Self::KeySlot,
            BatchError::MembershipCount => Self::BatchMembershipCount,
            BatchError::MembershipPath => Self::BatchMembershipPath,
        }
    }
}
