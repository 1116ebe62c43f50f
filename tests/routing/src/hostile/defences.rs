//! Which of the relayer's defences are on. Each can be switched off, so that the day shows what it is good for.

use steam::config::Config;
use steam::score::Evidence;

/// The defence that is off, if one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defences {
    /// All are on.
    #[default]
    All,
    /// Every vault's word counts in full, whatever it paid.
    NoWeights,
    /// What a client shaped teaches like everything else, and in full.
    ShapedTeaches,
    /// Failures are whole and by nobody in particular: two in a row close an offer to everybody.
    OneWitness,
    /// The relayer sends no probes.
    NoProbes,
    /// A newcomer may have any number of requests under way.
    NoNewcomerCap,
    /// Half of the requests explore.
    ExploresHalf,
    /// What is charged is settled in the next round, whatever it comes to.
    SealsDust,
    /// Vaults without money are served, and offers that cost nothing.
    ServesTheEmpty,
    /// Nobody must prove that an origin is theirs.
    NoOrigins,
}

impl Defences {
    /// All that can be off, with what each row of the table says.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::All, "as released"),
        (Self::NoWeights, "evidence weighs by fees"),
        (Self::ShapedTeaches, "shaped requests teach nothing"),
        (Self::OneWitness, "one vault closes nobody"),
        (Self::NoProbes, "probes confirm what closes or flags"),
        (Self::NoNewcomerCap, "newcomers start slowly"),
        (Self::ExploresHalf, "a tenth explores, not half"),
        (Self::SealsDust, "dust waits"),
        (Self::ServesTheEmpty, "a vault must be able to pay"),
        (Self::NoOrigins, "origins prove themselves"),
    ];

    /// The configuration with the defence off.
    pub fn config(self) -> Config {
        let mut config = Config::default();
        match self {
            Self::NoNewcomerCap => {
                config.routing.newcomer_answers = 0;
                config.market.new_offer_requests = u32::MAX;
            }
            Self::ExploresHalf => config.routing.exploration = 0.5,
            Self::SealsDust => config.settle.min_fee_microusdc = 0,
            Self::ServesTheEmpty => {
                config.market.min_vault_microusdc = 0;
                config.market.free = true;
            }
            Self::NoOrigins => config.market.verify_origins = false,
            Self::All | Self::NoWeights | Self::ShapedTeaches | Self::OneWitness | Self::NoProbes => {}
        }
        config
    }

    /// What a request teaches with the defence off, where it teaches `evidence` with all of them.
    pub fn evidence(self, evidence: Evidence) -> Evidence {
        match (self, evidence.vault) {
            (Self::NoWeights, Some(vault)) if evidence.counts() => {
                Evidence { lengths: evidence.lengths, ..Evidence::of(vault, 1.0) }
            }
            (Self::ShapedTeaches, Some(vault)) if !evidence.counts() => Evidence::of(vault, 1.0),
            (Self::OneWitness, Some(_)) if evidence.counts() => Evidence { vault: None, weight: 1.0, ..evidence },
            _ => evidence,
        }
    }
}
