//! The adversary's keys: what each sends, and how it learns which attack pays. A key that is refused for want of money gets
//! another vault.

use super::cast::MODELS;
use crate::draw::{Purpose, at};
use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// µUSDC in a vault that is just worth serving.
pub const THIN: u64 = 20_000;
/// Seconds between two requests of a key.
const PAUSE: f64 = 120.0;
/// Share of the choices of an attack that are by chance.
const CURIOSITY: f64 = 0.2;
/// Weight of an epoch in what an attack is taken to bring.
const NEWEST: f64 = 0.4;
/// What it is worth to the adversary if all honest offers were closed for an epoch, and a SOL that the relayer spends, in USD.
const CLOSED_USD: f64 = 1.0;
const SOL_USD: f64 = 150.0;

/// An attack of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Free requests, from a vault without money where one has to be opened.
    Empty,
    /// A request that names an honest provider and makes it fail by a member that the relayer does not know.
    Shaped,
    /// A plain prompt that honest models answer with nothing, spread over time.
    Trick,
    /// The same, of all keys at once.
    Burst,
    /// The same after paying an own provider, so that the vault weighs more.
    Paid,
    /// The smallest request that is served, so that settling it costs more than it brings.
    Dust,
}

/// All of them.
pub const ATTACKS: [Attack; 6] =
    [Attack::Empty, Attack::Shaped, Attack::Trick, Attack::Burst, Attack::Paid, Attack::Dust];

/// One key of the adversary's.
#[derive(Clone, Debug)]
pub struct SybilKey {
    /// What it does.
    pub attack: Attack,
    /// Requests that it sent.
    sent: u64,
}

/// What a key sends.
#[derive(Clone, Debug)]
pub struct Move {
    /// Place of the model asked for.
    pub model: usize,
    /// Members of the body besides model, messages and stream.
    pub members: String,
    /// Tokens of prompt and answer.
    pub tokens: (u32, u32),
    /// Whether honest providers fail it.
    pub tricks: bool,
}

/// Whom the keys aim at and deal with, by model: the honest host that has most of the traffic, and an own one.
#[derive(Clone, Debug)]
pub struct Targets {
    /// Hosts of honest providers.
    pub honest: [String; MODELS.len()],
    /// Hosts of the adversary's own.
    pub own: [String; MODELS.len()],
}

/// The adversary's keys, and what it knows of its attacks.
#[derive(Debug)]
pub struct Keys {
    /// All of them.
    pub keys: Vec<SybilKey>,
    seed: u64,
    epoch: u64,
    worth: [f64; ATTACKS.len()],
    /// This epoch: failures of honest offers that each attack caused, and lamports that its vaults cost the relayer.
    pub caused: [f64; ATTACKS.len()],
    /// See [`Self::caused`].
    pub lamports: [f64; ATTACKS.len()],
    /// This epoch's looks at honest offers, and those that were closed or flagged.
    pub looks: (f64, f64),
    /// Requests sent by attack, and those that were let in.
    pub sent: [u32; ATTACKS.len()],
    /// See [`Self::sent`].
    pub admitted: [u32; ATTACKS.len()],
}

impl Keys {
    /// `count` keys that know nothing yet.
    pub fn new(count: usize, seed: u64) -> Self {
        let key = |place: usize| SybilKey { attack: ATTACKS[place % ATTACKS.len()], sent: 0 };
        Self {
            keys: (0..count).map(key).collect(),
            seed,
            epoch: 0,
            worth: [1.0; ATTACKS.len()],
            caused: [0.0; ATTACKS.len()],
            lamports: [0.0; ATTACKS.len()],
            looks: (0.0, 0.0),
            sent: [0; ATTACKS.len()],
            admitted: [0; ATTACKS.len()],
        }
    }

    /// When key `place` sends its next request after `now`.
    pub fn next(&self, place: usize, now: f64) -> f64 {
        let mut rng = self.rng(place, 1);
        match self.keys[place].attack {
            // All together, at round times.
            Attack::Burst => ((now / PAUSE).floor() + 1.0) * PAUSE + rng.random_range(0.0..2.0),
            Attack::Empty | Attack::Shaped | Attack::Trick | Attack::Paid | Attack::Dust => {
                now + PAUSE * rng.random_range(0.5..1.5)
            }
        }
    }

    /// What key `place` sends now.
    pub fn play(&mut self, place: usize, targets: &Targets) -> Move {
        let mut rng = self.rng(place, 2);
        let key = &mut self.keys[place];
        key.sent += 1;
        self.sent[key.attack as usize] += 1;
        let model = rng.random_range(0..MODELS.len());
        let tricks = |members: String| Move { model, members, tokens: (200, 100), tricks: true };
        match key.attack {
            Attack::Empty | Attack::Trick | Attack::Burst => tricks(r#","max_tokens":100"#.into()),
            Attack::Shaped => tricks(format!(
                r#","max_tokens":100,"frobnicate":true,"provider":{{"only":["{}"]}}"#,
                targets.honest[model]
            )),
            Attack::Paid if key.sent % 4 == 1 => Move {
                model,
                members: format!(r#","max_tokens":2000,"provider":{{"only":["{}"]}}"#, targets.own[model]),
                tokens: (1_000, 2_000),
                tricks: false,
            },
            Attack::Paid => tricks(r#","max_tokens":100"#.into()),
            Attack::Dust => Move { model, members: r#","max_tokens":1"#.into(), tokens: (8, 1), tricks: false },
        }
    }

    /// An epoch is over: all learn from it and adapt.
    pub fn adapt(&mut self) {
        self.epoch += 1;
        let closed = self.looks.1 / self.looks.0.max(1.0) * CLOSED_USD;
        let caused: f64 = self.caused.iter().sum();
        for (arm, attack) in ATTACKS.iter().enumerate() {
            let followers = self.keys.iter().filter(|key| key.attack == *attack).count();
            if followers > 0 {
                let sabotage = closed * self.caused[arm] / caused.max(1.0);
                let brought = (sabotage + self.lamports[arm] / 1e9 * SOL_USD) / followers as f64;
                self.worth[arm] += NEWEST * (brought - self.worth[arm]);
            }
        }
        (self.caused, self.lamports, self.looks) = Default::default();
        let best = (0..ATTACKS.len()).max_by(|a, b| self.worth[*a].total_cmp(&self.worth[*b])).unwrap_or(0);
        for place in 0..self.keys.len() {
            let mut rng = self.rng(place, 3);
            // Half go for what pays best, so that several attacks go on at once.
            let chosen = match rng.random::<f64>() {
                drawn if drawn < CURIOSITY => rng.random_range(0..ATTACKS.len()),
                drawn if drawn < 0.6 => best,
                _ => self.keys[place].attack as usize,
            };
            self.keys[place].attack = ATTACKS[chosen];
        }
    }

    fn rng(&self, place: usize, what: u64) -> Pcg64Mcg {
        let sent = self.keys[place].sent;
        at(self.seed, Purpose::Attack, (what << 32) | sent, ((self.epoch + 1) << 32) | place as u64)
    }
}
