//! What is told of a day.

use super::{keys, offers};
use offers::Met;
use steam::score::Kept;

/// The figures of one day.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Honest requests.
    pub requests: f64,
    /// Those of them that were served in full.
    pub served: f64,
    /// USD that honest users paid, fees included.
    pub usd: f64,
    /// Seconds that honest users waited for the end of their answers, whatever became of them.
    pub seconds: f64,
    /// Seconds to the first token, of those that were served.
    pub first: f64,
    /// Charges to honest users, and to the adversary.
    pub charges: (f64, f64),
    /// Packed bytes of the decision records of honest charges.
    pub records: f64,
    /// Lamports that settlements cost.
    pub lamports: f64,
    /// Bytes of the ledger's file.
    pub disk: f64,
    /// The largest counts of entries kept: the scorer's, and vaults with fees and budgets, and offers on the board.
    pub kept: Kept,
    /// See [`Self::kept`].
    pub vaults_kept: (usize, usize),
    /// See [`Self::kept`].
    pub board_kept: usize,
    /// USD that honest users paid to the adversary's offers.
    pub lost_to_sybils: f64,
    /// Attempts of honest requests at offers without proof of their origin.
    pub stolen: f64,
    /// Share of the looks at honest offers at which one was closed to everybody or flagged.
    pub closed: f64,
    /// USD that probes cost.
    pub probes: f64,
    /// What honest users met, by attack of the offers.
    pub met: [Met; offers::ATTACKS.len()],
    /// Requests that the adversary's keys sent, and those let in, by attack.
    pub sent: [(u32, u32); keys::ATTACKS.len()],
    /// Providers that the adversary registered.
    pub registered: usize,
    /// Vaults that it opened.
    pub opened: u32,
    /// USD that the settled work is worth to honest users: what they paid on the day without the adversary.
    pub worth: f64,
}

impl Outcome {
    /// Share of the requests served.
    pub fn success(&self) -> f64 {
        self.served / self.requests
    }

    /// USD a request.
    pub fn cost(&self) -> f64 {
        self.usd / self.requests
    }

    /// Seconds a request.
    pub fn time(&self) -> f64 {
        self.seconds / self.requests
    }

    /// SOL for each USD that the honest users' work is worth: what they are overcharged makes settling it no cheaper.
    pub fn sol_a_dollar(&self) -> f64 {
        self.lamports / 1e9 / self.worth
    }
}
