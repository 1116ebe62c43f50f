//! What the hostile day is held to, and how large it is. Written down before it was first run.

/// How large a day is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// How long it lasts, in seconds.
    pub seconds: f64,
    /// Honest requests a second, on average.
    pub rate: f64,
    /// Honest keys, each with a vault of its own.
    pub keys: usize,
    /// Honest offers of all models together.
    pub offers: usize,
    /// Seconds after which the adversary looks at what paid.
    pub epoch: f64,
    /// Seconds for which dust may wait, where that is not as shipped.
    pub dust_seconds: Option<u64>,
}

impl Scale {
    /// The full day.
    pub const DAY: Self =
        Self { seconds: 86_400.0, rate: 0.5, keys: 200, offers: 20, epoch: 600.0, dust_seconds: None };
    /// A part of a day.
    pub const REDUCED: Self =
        Self { seconds: 3_600.0, rate: 1.0, keys: 60, offers: 12, epoch: 300.0, dust_seconds: None };
    /// Less of it, for tests without optimisation.
    pub const TINY: Self = Self { seconds: 1_200.0, rate: 1.0, keys: 40, offers: 12, epoch: 120.0, dust_seconds: None };

    /// The adversary's keys: with them a third of all are its own.
    pub fn sybil_keys(&self) -> usize {
        self.keys / 2
    }

    /// The adversary's offers at a time: half of all.
    pub fn sybil_offers(&self) -> usize {
        self.offers
    }
}

/// What the day is held to.
#[derive(Clone, Copy, Debug)]
pub struct Aims;

impl Aims {
    /// Most by which honest users' success may fall and their cost and time rise, as a part of the day without the adversary.
    pub const USERS: f64 = 0.03;
    /// Most by which the relayer's SOL for each honest dollar may rise, as a part.
    pub const SOL: f64 = 0.10;
    /// Most bytes that the ledger's file takes for each charge of whomever.
    pub const BYTES_A_CHARGE: f64 = 6_144.0;
    /// Most bytes of the whole file for each honest charge: the adversary's charges fill a disk that honest fees pay for.
    pub const BYTES_AN_HONEST_CHARGE: f64 = 9_216.0;
    /// Most offers that the scorer and the board keep.
    pub const OFFERS_KEPT: usize = 8_192;
    /// Most beginnings of prompts that the scorer keeps.
    pub const PREFIXES_KEPT: usize = 65_536;
    /// Most vaults whose failures the scorer keeps.
    pub const FAILING_VAULTS_KEPT: usize = 8_192;
    /// Most vaults whose fees or budgets are kept.
    pub const VAULTS_KEPT: usize = 16_384;
}
