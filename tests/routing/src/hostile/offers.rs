//! The adversary's offers. Each follows one attack for an epoch; what an attack brought in decides which is followed next. An
//! offer that nobody asks gets cheaper, and then its provider registers anew under another name.

use crate::draw::{Purpose, at};
use crate::market::Request;
use crate::market::provider::{Fate, patience};
use rand::Rng;
use steam::score::FailureKind;

/// What registering a provider and an offer costs that is not given back when they are closed: the fees of two transactions, in
/// USD at 150 a SOL.
const REGISTRATION_USD: f64 = 2.0 * 5_000.0 * 150.0 / 1e9;
/// Share of the choices of an attack that are by chance.
const CURIOSITY: f64 = 0.2;
/// Weight of an epoch in what an attack is taken to bring.
const NEWEST: f64 = 0.4;
/// The first price, as a part of the cheapest honest one, and by what it falls when nobody asks.
const BAIT: f64 = 0.6;
const CHEAPER: f64 = 0.7;
const CHEAPEST: f64 = 0.05;
/// Seconds in which charges at a replaced price still settle, before which the program takes no other, and before a dearer one
/// holds: as `steam admin init` sets them.
const GRACE: f64 = 2_700.0;
const NOTICE: f64 = 600.0;
/// Epochs without a request after which a provider registers anew.
const PATIENCE: u32 = 2;
/// Answers that a turncoat serves well.
const GOOD_ANSWERS: u32 = 30;
/// Share of the answers that a sly offer spoils.
const SLY: f64 = 0.1;
/// How it serves when it serves well: seconds to the first token, prompt tokens and output tokens a second.
const WELL: (f64, f64, f64) = (0.4, 10_000.0, 90.0);
/// Seconds that a broken answer counts as in the harm that a spoiler sees.
const BROKEN_SECONDS: f64 = 60.0;
/// Seconds in which a request is refused.
const REFUSAL: f64 = 0.1;

/// An attack of an offer. All begin with a bait: a low price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// It never answers.
    Silent,
    /// It begins just before it would be given up, and writes slowly.
    Slow,
    /// It fails at once.
    Failing,
    /// It breaks every answer off.
    Cutting,
    /// It serves well until it has won, and is slow from then on.
    Turncoat,
    /// It bills as many tokens as it may.
    Inflating,
    /// It bills reasoning that nobody sees, up to the limit of the request.
    Hiding,
    /// It spoils a tenth of the answers.
    Sly,
    /// It serves streams and never answers requests for whole answers, for which is waited longest.
    WholeSilent,
    /// It serves well and cheaply, and then posts a price five times as high.
    Dearer,
}

/// All of them.
pub const ATTACKS: [Attack; 10] = [
    Attack::Silent,
    Attack::Slow,
    Attack::Failing,
    Attack::Cutting,
    Attack::Turncoat,
    Attack::Inflating,
    Attack::Hiding,
    Attack::Sly,
    Attack::WholeSilent,
    Attack::Dearer,
];

/// What the owner of an offer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Money.
    Profit,
    /// That honest users suffer.
    Spoil,
}

/// One offer of the adversary's.
#[derive(Clone, Debug)]
pub struct Sybil {
    /// Its number among all that were ever registered, honest ones included.
    pub id: usize,
    /// Place of its model.
    pub model: usize,
    /// Price, as a part of the cheapest honest one.
    pub factor: f64,
    /// Version of the price.
    pub version: u32,
    /// A dearer price that was announced, and when it holds.
    announced: Option<(f64, f64)>,
    /// When the program takes another price.
    next_price: f64,
    /// What it does.
    pub attack: Attack,
    /// Whether it lists another's URL, without any proof.
    pub thief: bool,
    owner: Owner,
    /// Answers since it was registered.
    served: u32,
    /// This epoch's requests, USD and harm in seconds.
    asked: u32,
    earned: f64,
    harm: f64,
    idle: u32,
}

/// What a provider claims beyond what it delivered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claim {
    /// Claimed tokens for each one counted.
    pub factor: f64,
    /// Tokens of reasoning that nobody saw, at most.
    pub hidden: u64,
}

impl Claim {
    /// What is true.
    pub const HONEST: Self = Self { factor: 1.0, hidden: 0 };
}

/// Who asks a provider, as far as it can tell: the adversary marks its own prompts, and the operator's probes are of a known form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A stranger.
    User,
    /// One of the adversary's keys.
    Friend,
    /// The relayer itself.
    Probe,
}

impl Sybil {
    /// Whether it behaves for `asker`: it is well behaved where that is worth more.
    fn serves_well(&self, request: &Request, asker: Asker, chance: f64) -> bool {
        if asker != Asker::User {
            return true;
        }
        match self.attack {
            Attack::Silent | Attack::Slow | Attack::Failing | Attack::Cutting => false,
            Attack::Turncoat => self.served < GOOD_ANSWERS,
            Attack::Sly => chance >= SLY,
            Attack::WholeSilent => request.streamed,
            Attack::Inflating | Attack::Hiding | Attack::Dearer => true,
        }
    }

    /// How an attempt at it goes.
    pub fn attempt(&self, request: &Request, asker: Asker, rng: &mut impl Rng) -> Fate {
        let [chance, place] = [rng.random::<f64>(), rng.random::<f64>()];
        let ttft = WELL.0 + f64::from(request.input) / WELL.1;
        let writing = f64::from(request.output.max(1) - 1) / WELL.2;
        if self.serves_well(request, asker, chance) {
            return Fate::Served { ttft, total: ttft + writing };
        }
        let longest = patience(request);
        let failed = |after, kind| Fate::Failed { after, kind };
        match self.attack {
            Attack::Failing => failed(REFUSAL, FailureKind::Status(500)),
            Attack::Silent | Attack::WholeSilent => failed(longest, FailureKind::FirstTokenTimeout),
            Attack::Cutting | Attack::Sly if request.streamed => {
                let delivered = (f64::from(request.output) * place) as u32;
                Fate::Cut { ttft, after: ttft + writing * place, delivered }
            }
            _ => {
                // As late as it may be, and then a few words a second.
                let ttft = longest - 3.0;
                Fate::Served { ttft, total: ttft + if request.streamed { writing * 8.0 } else { 0.0 } }
            }
        }
    }

    /// Posts another price at `now`, if the program takes one: a lower one holds at once, and a higher one after its notice.
    fn post(&mut self, factor: f64, now: f64) {
        if now < self.next_price {
            return;
        }
        if factor > self.factor {
            self.announced = Some((factor, now + NOTICE));
            self.next_price = now + NOTICE + GRACE;
        } else {
            (self.factor, self.version) = (factor, self.version + 1);
            self.next_price = now + GRACE;
        }
    }

    /// An announced price holds once its notice is over.
    fn roll(&mut self, now: f64) {
        if let Some((factor, _)) = self.announced.take_if(|(_, at)| *at <= now) {
            (self.factor, self.version) = (factor, self.version + 1);
        }
    }

    /// What it bills.
    pub fn claim(&self, asker: Asker) -> Claim {
        match self.attack {
            Attack::Inflating if asker == Asker::User => Claim { factor: 10.0, hidden: 0 },
            Attack::Hiding if asker == Asker::User => Claim { factor: 1.0, hidden: 1_000_000 },
            _ => Claim::HONEST,
        }
    }

    /// It answered a request, or did not.
    pub fn ended(&mut self, request: &Request, fate: &Fate, usd: f64, asker: Asker) {
        self.asked += u32::from(asker == Asker::User);
        self.served += 1;
        if asker != Asker::User {
            return;
        }
        self.earned += usd;
        let usual = WELL.0 + f64::from(request.output) / WELL.2;
        self.harm += match fate {
            Fate::Failed { after, .. } => *after,
            Fate::Cut { .. } => BROKEN_SECONDS,
            Fate::Served { total, .. } => (total - usual).max(0.0),
        };
    }
}

/// The adversary's offers, and what it knows of its attacks.
#[derive(Debug)]
pub struct Offers {
    /// Those that are listed.
    pub listed: Vec<Sybil>,
    seed: u64,
    next: usize,
    epoch: u64,
    /// What an epoch of each attack brings, to those who want money and to those who spoil.
    worth: [[f64; ATTACKS.len()]; 2],
    /// Providers registered, and requests by attack.
    pub registered: usize,
    /// What honest users met, by attack.
    pub met: [Met; ATTACKS.len()],
}

/// What honest users met of an attack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    /// Attempts of their requests.
    pub asked: u32,
    /// USD that they paid.
    pub usd: f64,
    /// Seconds beyond what serving well takes; an answer that breaks off counts as a minute.
    pub harm: f64,
}

impl Offers {
    /// `count` offers over `models`, of providers numbered from `first` on; one of each model lists a stolen URL.
    pub fn new(count: usize, models: usize, first: usize, seed: u64) -> Self {
        let mut offers = Self {
            listed: Vec::new(),
            seed,
            next: first,
            epoch: 0,
            // Whoever knows nothing expects something of everything.
            worth: [[1.0; ATTACKS.len()]; 2],
            registered: 0,
            met: [Met::default(); ATTACKS.len()],
        };
        for place in 0..count {
            let owner = if (place / models).is_multiple_of(2) { Owner::Profit } else { Owner::Spoil };
            let sybil = Sybil {
                id: 0,
                model: place % models,
                factor: BAIT,
                version: 1,
                announced: None,
                next_price: 0.0,
                attack: ATTACKS[(place / models) % ATTACKS.len()],
                thief: place + models >= count,
                owner,
                served: 0,
                asked: 0,
                earned: 0.0,
                harm: 0.0,
                idle: 0,
            };
            offers.listed.push(sybil);
            offers.register(place);
        }
        offers
    }

    fn register(&mut self, place: usize) {
        let sybil = &mut self.listed[place];
        (sybil.id, sybil.served, sybil.idle, sybil.factor, sybil.version) = (self.next, 0, 0, BAIT, 1);
        (sybil.announced, sybil.next_price) = (None, 0.0);
        self.next += 1;
        self.registered += 1;
    }

    /// The offer of provider `id`.
    pub fn of(&mut self, id: usize) -> Option<&mut Sybil> {
        self.listed.iter_mut().find(|sybil| sybil.id == id)
    }

    /// An epoch is over at `now`: everybody learns from it and adapts.
    pub fn adapt(&mut self, now: f64) {
        self.epoch += 1;
        self.learn();
        for place in 0..self.listed.len() {
            let mut rng = at(self.seed, Purpose::Attack, self.epoch, place as u64);
            let sybil = &self.listed[place];
            let owner = sybil.owner as usize;
            let best = (0..ATTACKS.len()).max_by(|a, b| self.worth[owner][*a].total_cmp(&self.worth[owner][*b]));
            let curious = rng.random::<f64>() < CURIOSITY;
            let chosen = if curious { rng.random_range(0..ATTACKS.len()) } else { best.unwrap_or(0) };
            let lost = sybil.asked == 0;
            let spent = sybil.attack == Attack::Turncoat && sybil.served >= GOOD_ANSWERS && lost;
            let sybil = &mut self.listed[place];
            sybil.idle = if lost { sybil.idle + 1 } else { 0 };
            sybil.roll(now);
            if sybil.attack == Attack::Dearer && !lost {
                sybil.post(sybil.factor * 5.0, now);
            } else if lost && sybil.factor > CHEAPEST {
                sybil.post(sybil.factor * CHEAPER, now);
            }
            sybil.attack = ATTACKS[chosen];
            (sybil.asked, sybil.earned, sybil.harm) = (0, 0.0, 0.0);
            if sybil.idle >= PATIENCE || spent {
                self.register(place);
            }
        }
    }

    fn learn(&mut self) {
        for sybil in &self.listed {
            let arm = sybil.attack as usize;
            let met = &mut self.met[arm];
            met.asked += sybil.asked;
            met.usd += sybil.earned;
            met.harm += sybil.harm;
            let brought = match sybil.owner {
                Owner::Profit => sybil.earned - REGISTRATION_USD * f64::from(u8::from(sybil.idle >= PATIENCE)),
                Owner::Spoil => sybil.harm,
            };
            let worth = &mut self.worth[sybil.owner as usize][arm];
            *worth += NEWEST * (brought - *worth);
        }
    }
}
