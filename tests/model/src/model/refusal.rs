//! Why an instruction is refused, exactly.

use super::Rule;

/// Why an instruction is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// By a rule of the program.
    Rule(Rule),
    /// By Anchor, before the program's own code runs.
    Anchor(Anchor),
    /// By the system program: the account to be made is there already (its code 0).
    AlreadyThere,
    /// By the token program.
    Token(Token),
}

/// Anchor's checks of accounts, with Anchor's codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Anchor {
    /// The account's address is not the one its seeds give.
    ConstraintSeeds = 2006,
    /// A token account is of another mint.
    ConstraintTokenMint = 2014,
    /// A token account is somebody else's.
    ConstraintTokenOwner = 2015,
    /// One account stands in two places that are both written.
    ConstraintDuplicateMutableAccount = 2040,
    /// The account holds something else.
    AccountDiscriminatorMismatch = 3002,
    /// The account is another program's.
    AccountOwnedByWrongProgram = 3007,
    /// A signature is missing.
    AccountNotSigner = 3010,
    /// There is no account.
    AccountNotInitialized = 3012,
}

/// The token programs' refusals, with their codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Token {
    /// Accounts of two mints.
    MintMismatch = 3,
    /// The source is somebody else's.
    OwnerMismatch = 4,
    /// An account is frozen.
    AccountFrozen = 17,
}

impl From<Rule> for Refusal {
    fn from(rule: Rule) -> Self {
        Self::Rule(rule)
    }
}

impl From<Anchor> for Refusal {
    fn from(refusal: Anchor) -> Self {
        Self::Anchor(refusal)
    }
}

impl From<Token> for Refusal {
    fn from(refusal: Token) -> Self {
        Self::Token(refusal)
    }
}

/// `Ok` if a rule holds, else its name.
pub fn require(holds: bool, broken: impl Into<Refusal>) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(broken.into()) }
}
