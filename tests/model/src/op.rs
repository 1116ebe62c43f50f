//! What can happen: time passes, people move money, and somebody sends one of the program's instructions.

use crate::cast::{Mint, Name, Purse, Wallet};
use crate::time::Delays;
use borsh::{BorshDeserialize, BorshSerialize};

/// One step.
#[derive(Clone, Debug)]
pub enum Op {
    /// Time passes.
    Advance {
        /// Seconds.
        seconds: u32,
        /// Slots.
        slots: u32,
    },
    /// Tokens are issued to a token account: how everybody deposits and donates.
    Issue {
        /// Where to.
        to: Purse,
        /// In the smallest unit.
        amount: u64,
    },
    /// The mint's issuer freezes or thaws a token account.
    Freeze {
        /// Which.
        purse: Purse,
        /// Or thaws it.
        frozen: bool,
    },
    /// Somebody sends lamports to an address, whatever is there.
    Give {
        /// Where to.
        to: Name,
        /// How many.
        lamports: u64,
    },
    /// Somebody makes a token account for an address, whatever is there.
    MakePurse {
        /// Which.
        purse: Purse,
    },
    /// Somebody sends an instruction.
    Call(Call),
}

/// An instruction as it is sent.
#[derive(Clone, Debug)]
pub struct Call {
    /// What.
    pub ix: Ix,
    /// Which of the signatures it needs is missing, counted from 0.
    pub unsigned: Option<u8>,
    /// A durable nonce is advanced first.
    pub nonce: bool,
}

/// An instruction of the program: its arguments, and the accounts that are somebody's choice.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "SPEC.md describes instructions and arguments by these names")]
pub enum Ix {
    InitConfig {
        authority: Wallet,
        payer: Wallet,
        mint: Mint,
        admin: Wallet,
        guardian: Wallet,
        delays: Delays,
        floors: Delays,
    },
    SetConfig {
        admin: Wallet,
        guardian: Option<Wallet>,
        delays: Option<Delays>,
    },
    TransferAdmin {
        admin: Wallet,
        pending: Wallet,
    },
    AcceptAdmin {
        pending: Wallet,
    },
    Pause {
        guardian: Wallet,
    },
    RegisterRelayer {
        relayer: u8,
        payer: Wallet,
        settler: Wallet,
        receipt_key: [u8; 32],
        fee_bps: u16,
        url: String,
    },
    UpdateRelayer {
        authority: Wallet,
        relayer: Name,
        update: RelayerUpdate,
    },
    RegisterProvider {
        provider: u8,
        payer: Wallet,
        name: String,
        url: String,
    },
    UpdateProvider {
        authority: Wallet,
        provider: Name,
        update: ProviderUpdate,
    },
    SuspendProvider {
        guardian: Wallet,
        provider: Name,
        suspended: bool,
    },
    WithdrawEarnings {
        authority: Wallet,
        provider: u8,
        destination: Purse,
        amount: u64,
    },
    WithdrawFees {
        authority: Wallet,
        relayer: u8,
        destination: Purse,
        amount: u64,
    },
    PutOffer {
        authority: Wallet,
        payer: Wallet,
        provider: u8,
        offer: u8,
        model: String,
        terms: Terms,
    },
    CloseOffer {
        authority: Wallet,
        rent_payer: Wallet,
        provider: u8,
        offer: Name,
    },
    CloseProvider {
        authority: Wallet,
        rent_payer: Wallet,
        provider: Name,
        token: Purse,
    },
    RetireOffer {
        authority: Wallet,
        provider: u8,
        offer: Name,
    },
    OpenVault {
        owner: u8,
        payer: Wallet,
        relayer: u8,
    },
    AuthorizeKey {
        owner: Wallet,
        key: Wallet,
        payer: Wallet,
        vault: Name,
        slot: u8,
        grant: Grant,
    },
    UpdateKey {
        owner: Wallet,
        vault: Name,
        slot: u8,
        limits: Limits,
    },
    RevokeKey {
        owner: Wallet,
        vault: Name,
        relayer: u8,
        slot: u8,
        settler: Option<Wallet>,
    },
    RequestWithdraw {
        owner: Wallet,
        vault: Name,
        amount: u64,
    },
    CancelWithdraw {
        owner: Wallet,
        vault: Name,
    },
    ExecuteWithdraw {
        owner: Wallet,
        vault: Name,
        token: Purse,
        destination: Purse,
    },
    WithdrawNow(WithdrawNow),
    CloseVault {
        owner: Wallet,
        rent_payer: Wallet,
        vault: Name,
        token: Purse,
        destination: Purse,
    },
    RecoverTokens {
        owner: Wallet,
        vault: Name,
        source: Name,
        destination: Purse,
        mint: Name,
        program: Program,
    },
    RecoverNested {
        owner: Wallet,
        vault: Name,
        token: Purse,
        nested: Purse,
    },
    RecoverNestedEarnings {
        authority: Wallet,
        provider: u8,
        nested: Purse,
    },
    RecoverLamports {
        owner: Wallet,
        vault: Name,
    },
    SettleBatch(Settlement),
}

/// Arguments of `update_relayer`.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "as in `Ix`")]
pub struct RelayerUpdate {
    pub settler: Option<Wallet>,
    pub receipt_key: Option<[u8; 32]>,
    pub fee_bps: Option<u16>,
    pub url: Option<String>,
    pub retired: Option<bool>,
}

/// Arguments of `update_provider`.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "as in `Ix`")]
pub struct ProviderUpdate {
    pub name: Option<String>,
    pub url: Option<String>,
    pub retired: Option<bool>,
}

/// Arguments of `put_offer`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "as in `Ix`")]
pub struct Terms {
    pub tariff: Tariff,
    pub context_limit: u32,
    pub output_limit: u32,
    pub capabilities: u64,
}

/// Arguments of `authorize_key`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "as in `Ix`")]
pub struct Grant {
    pub expires: i64,
    pub limit_total: u64,
    pub window_seconds: u32,
    pub window_limit: u64,
    pub max_price: Price,
    pub max_fee_bps: u16,
    pub allow_root: [u8; 32],
}

/// Arguments of `update_key`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "as in `Ix`")]
pub struct Limits {
    pub limit_total: u64,
    pub window_limit: u64,
    pub max_price: Price,
    pub max_fee_bps: u16,
}

/// `withdraw_now` and its accounts.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "as in `Ix`")]
pub struct WithdrawNow {
    pub owner: Wallet,
    pub settler: Wallet,
    pub relayer: u8,
    pub vault: Name,
    pub token: Purse,
    pub destination: Purse,
    pub amount: u64,
    pub generation: u64,
    pub settle_seq: u32,
    pub valid_until_slot: u64,
}

/// What is passed as a token program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The legacy token program.
    Token,
    /// Token-2022.
    Token2022,
    /// Neither.
    System,
}

/// `settle_batch` and its accounts.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Who signs.
    pub settler: Wallet,
    /// For whom.
    pub relayer: u8,
    /// What each group is for: a vault and its token account.
    pub vaults: Vec<(Name, Name)>,
    /// The groups.
    pub groups: Vec<Group>,
    /// What is charged for: an offer and its token account.
    pub offers: Vec<(Name, Name)>,
    /// What is wrong with the bytes.
    pub damage: Option<Damage>,
}

/// A group of a settlement.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in `Ix`")]
pub struct Group {
    pub seq: u32,
    pub receipts: u32,
    pub fee_bps: u16,
    pub vouchers: Vec<Voucher>,
    pub charges: Vec<Charge>,
    /// None if the group announces none.
    pub memberships: Option<Vec<Membership>>,
}

/// A proof that a provider is in a key's allow-list, as its bytes say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `Ix`")]
pub struct Membership {
    pub path: u8,
    pub siblings: Vec<[u8; 32]>,
}

/// A voucher of a group, and what was signed.
#[derive(Clone, Copy, Debug)]
pub struct Voucher {
    /// The key's slot.
    pub slot: u8,
    /// µUSDC, as the batch says.
    pub authorized: u64,
    /// The request, as the batch says.
    pub request: [u8; 32],
    /// What the signature is over, and whose it is.
    pub signed: Signed,
}

/// A signature and what it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of SPEC.md's voucher")]
pub struct Signed {
    pub key: u8,
    pub domain: [u8; 32],
    pub vault: Name,
    pub generation: u64,
    pub epoch: u32,
    pub authorized: u64,
    pub request: [u8; 32],
    /// A bit of the signature was flipped since.
    pub spoilt: bool,
}

/// A charge of a group.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "as in `Ix`")]
pub struct Charge {
    pub slot: u8,
    pub offer_ix: u8,
    pub version: u32,
    pub requests: u32,
    pub input: u32,
    pub cached: u32,
    pub cache_write: u32,
    pub cache_write_long: u32,
    pub output: u32,
    /// Of long prompts.
    pub long: bool,
    /// Its bytes announce a count of cache writes, the shorter one if it is zero, and it is zero.
    pub announces_zero: bool,
}

impl Charge {
    /// Tokens of prompts.
    pub fn prompt(&self) -> u64 {
        [self.input, self.cached, self.cache_write, self.cache_write_long].map(u64::from).iter().sum()
    }
}

/// What is wrong with a batch's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The last byte is missing.
    Truncated,
    /// A byte follows.
    Trailing,
    /// It announces no groups.
    NoGroups,
    /// It announces 25 groups.
    ManyGroups,
    /// Its first group announces seventeen vouchers.
    ManyVouchers,
    /// Its first group announces seventeen charges.
    ManyCharges,
    /// The last account is missing.
    AccountMissing,
}

/// Price components: µUSDC per million tokens, and per request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(missing_docs, reason = "SPEC.md, Accounts")]
pub struct Price {
    pub input: u64,
    pub cached: u64,
    pub cache_write: u64,
    pub cache_write_long: u64,
    pub output: u64,
    pub request: u64,
}

/// What an offer posts: prices, and others for prompts of more than `long_from` tokens, unless that is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "SPEC.md, Prices")]
pub struct Tariff {
    pub price: Price,
    pub long_from: u32,
    pub long_price: Price,
}

impl Price {
    /// Its components.
    pub fn components(&self) -> [u64; 6] {
        [self.input, self.cached, self.cache_write, self.cache_write_long, self.output, self.request]
    }

    /// The same price for each component.
    pub fn even(price: u64) -> Self {
        Self { input: price, cached: price, cache_write: price, cache_write_long: price, output: price, request: price }
    }

    /// Whether no component is above the other's.
    pub fn within(&self, other: &Self) -> bool {
        self.components().iter().zip(other.components()).all(|(mine, theirs)| *mine <= theirs)
    }
}

impl Tariff {
    /// Whether no prompt costs more than by the other: neither price is higher, and long prompts begin no earlier.
    pub fn within(&self, other: &Self) -> bool {
        let no_earlier = match (self.long_from, other.long_from) {
            (0, _) => true,
            (_, 0) => false,
            (mine, theirs) => mine >= theirs && self.long_price.within(&other.long_price),
        };
        self.price.within(&other.price) && no_earlier
    }
}
