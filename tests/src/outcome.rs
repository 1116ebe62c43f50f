//! What came of a transaction, to be asserted: `.ok()`, or `.err(...)` with the exact error.

use crate::chain::{Done, Failure, Refusal};
use anchor_lang::error::ErrorCode;
use anchor_lang::{AnchorDeserialize, Discriminator, Event};
use base64::Engine;
use steam_router::error::SteamError;

/// What came of a transaction.
#[must_use = "an outcome is there to be asserted"]
#[derive(Clone, Debug)]
pub struct Outcome(pub Result<Done, Failure>);

impl Outcome {
    /// It went through.
    #[track_caller]
    pub fn ok(self) -> Done {
        match self.0 {
            Ok(done) => done,
            Err(Failure { refusal, logs }) => panic!("refused: {refusal:?}\n{}", logs.join("\n")),
        }
    }

    /// The program refused with this error.
    #[track_caller]
    pub fn err(self, error: SteamError) {
        let name = error.name();
        self.refused(&Refusal::Code(error.into()), &name);
    }

    /// Anchor refused with this error.
    #[track_caller]
    pub fn anchor_err(self, error: ErrorCode) {
        let name = error.name();
        self.refused(&Refusal::Code(error.into()), &name);
    }

    /// A program refused with this code.
    #[track_caller]
    pub fn code(self, code: u32) {
        self.refused(&Refusal::Code(code), "the code");
    }

    /// The runtime refused, for a reason that contains `reason`.
    #[track_caller]
    pub fn runtime_err(self, reason: &str) {
        match self.0 {
            Err(Failure { refusal: Refusal::Runtime(text), .. }) if text.contains(reason) => {}
            other => panic!("expected the runtime to refuse with {reason}, got {other:?}"),
        }
    }

    /// Somebody refused; says who and why.
    #[track_caller]
    pub fn refusal(self) -> Refusal {
        match self.0 {
            Err(failure) => failure.refusal,
            Ok(done) => panic!("expected a refusal, but it went through:\n{}", done.logs.join("\n")),
        }
    }

    #[track_caller]
    fn refused(self, expected: &Refusal, name: &str) {
        match self.0 {
            Err(Failure { refusal, .. }) if refusal == *expected => {}
            Err(Failure { refusal, logs }) => {
                panic!("expected {name} ({expected:?}), refused with {refusal:?}\n{}", logs.join("\n"))
            }
            Ok(done) => panic!("expected {name}, but it went through:\n{}", done.logs.join("\n")),
        }
    }
}

impl Done {
    /// The events of one kind, in order.
    pub fn events<E: Event + AnchorDeserialize + Discriminator>(&self) -> Vec<E> {
        self.logs
            .iter()
            .filter_map(|line| line.strip_prefix("Program data: "))
            .filter_map(|text| base64::engine::general_purpose::STANDARD.decode(text).ok())
            .filter_map(|bytes| E::try_from_slice(bytes.strip_prefix(E::DISCRIMINATOR)?).ok())
            .collect()
    }
}
