//! One seed: replicas, what befalls them, and the calm after it.

use super::super::counts::{Counts, Tried};
use super::super::node::Weather;
use super::super::operator::Heads;
use super::super::relayer::{Pace, SimClock, Since, Site};
use super::super::scene::{Deed, Scene};
use super::super::storm::{self, End};
use super::super::trace::Trace;
use super::PARTITIONS;
use super::faults::{Fault, Faults};
use super::life::{Home, LEASE, Life};
use super::lost::Failover;
use futures::FutureExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use steam::ledger::simulated::{Cut, Link, SimulatedServer};

/// Requests come to each replica.
const PACE: Pace = Pace { request_ms: (100, 6_000), settle_ms: 3_000 };
const LEASE_MS: i64 = LEASE.as_millis() as i64;

/// A place at which a replica runs, one life after another.
pub struct Slot {
    pub home: Arc<Home>,
    pub life: Option<Life>,
    lives: u64,
    /// When it crashes next, and when it may be started again.
    crash_at: i64,
    pub back_at: i64,
    /// Until when it stands still.
    paused_until: Option<i64>,
    /// When it reaches the server again.
    shut_until: Option<i64>,
    /// It ends with the commit that is cut.
    torn: bool,
    /// It has been asked to leave, and ends then.
    leaves_at: Option<i64>,
}

/// How often each happens, per slot of the cluster.
struct Plan {
    deeds: f64,
    cuts: f64,
    statements: f64,
    late: f64,
    pauses: f64,
    cut_off: f64,
    resets: f64,
    drains: f64,
    clocks: f64,
    troubles: f64,
    /// How often the server notices late that a connection is gone.
    half_open: f64,
    failover_at: Option<i64>,
    calm_at: i64,
}

pub struct World {
    pub server: SimulatedServer,
    /// The operator's own way to it, which nothing befalls.
    pub operator: Link,
    pub rng: StdRng,
    pub trace: Arc<Trace>,
    pub scene: Scene,
    pub site: Arc<Site>,
    weather: Arc<Mutex<Weather>>,
    pub now: Arc<AtomicI64>,
    pub slots: Vec<Slot>,
    plan: Plan,
    pub lost: Failover,
    pub heads: Heads,
    pub counts: Counts,
    pub faults: Faults,
    slot_ms: i64,
    slot_ends: i64,
    pub calm_since: Option<i64>,
    pub poisoned: bool,
    pub lowered: bool,
    /// Which partitions two believe to hold.
    doubled: [bool; PARTITIONS as usize],
}

pub fn run(seed: u64) -> (End, Faults) {
    let mut world = World::gather(seed);
    let end = world.blow();
    (end, world.faults.clone())
}

impl World {
    fn gather(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x7e91_1ca5);
        let now = Arc::new(AtomicI64::new(0));
        let since = Since::World(now.clone(), 0);
        let trace = Arc::new(Trace::since(since.clone()));
        let mut scene = Scene::set(seed, &mut rng);
        let weather = Arc::new(Mutex::new(storm::weather(seed, &mut rng)));
        let server = SimulatedServer::new(now.clone()).unwrap();
        server.end_slowly(if rng.random_bool(0.5) { rng.random_range(1..400) } else { 0 });
        let mut site = Site::since(since.clone(), Path::new(""), &mut scene, (Vec::new(), &trace, PACE));
        site.at_once = rng.random_range(1..3);
        site.owners_leave = rng.random_bool(0.4);
        let site = Arc::new(site);
        let nodes = if seed % 4 == 1 { rng.random_range(2..=3) } else { rng.random_range(1..=3) };
        let liar = if nodes > 1 { rng.random_range(0..nodes) } else { nodes };
        let post = super::lanes::Post::default();
        let replicas = 2 + (seed % 2) as usize;
        let slots = (0..replicas).map(|_| {
            let clock = SimClock { since: since.clone(), unix_ms: site.clock.unix_ms, off_by_ms: AtomicI64::new(0) };
            let home = Home {
                site: site.clone(),
                post: post.clone(),
                link: Link::to(&server),
                weather: weather.clone(),
                nodes,
                liar,
                clock: Arc::new(clock),
            };
            Slot::new(Arc::new(home), &mut rng)
        });
        let slots = slots.collect();
        let plan = Plan::draw(&mut rng);
        let lost = Failover::draw(&mut rng, plan.calm_at);
        Self {
            operator: Link::to(&server),
            server,
            rng,
            trace,
            scene,
            site,
            weather,
            now,
            slots,
            plan,
            lost,
            heads: Heads::new(),
            counts: Counts::default(),
            faults: Faults::default(),
            slot_ms: 400,
            slot_ends: 400,
            calm_since: None,
            poisoned: false,
            lowered: false,
            doubled: [false; PARTITIONS as usize],
        }
    }

    pub fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// A step after another until all is settled, or should have been.
    fn blow(&mut self) -> End {
        loop {
            self.step();
            if self.now() < self.slot_ends {
                continue;
            }
            self.slot_ends += self.slot_ms;
            self.tick();
            if self.calm_since.is_some() {
                if let Some(end) = self.judge() {
                    return end;
                }
            } else if self.now() >= self.plan.calm_at && !self.lost.is_under_way() {
                self.calm_down();
            } else {
                self.misfortunes();
            }
            if let Err(problem) = self.fail_over() {
                return self.end(Some(problem));
            }
        }
    }

    /// Every replica that can goes on for a few milliseconds, in any order.
    fn step(&mut self) {
        let now = self.now() + self.rng.random_range(1..40);
        self.now.store(now, Ordering::Relaxed);
        self.server.go_on();
        let mut order: Vec<usize> = (0..self.slots.len()).collect();
        order.shuffle(&mut self.rng);
        for at in order {
            let slot = &mut self.slots[at];
            if slot.paused_until.is_some_and(|until| now < until) {
                continue;
            }
            let slept = slot.paused_until.take().is_some();
            if let Some(life) = &slot.life {
                life.run(now, slept);
            }
            self.look_after(at);
        }
        for partition in 0..PARTITIONS {
            let holders = self.slots.iter().flat_map(|slot| &slot.life).filter(|life| life.holds(partition)).count();
            let doubled = &mut self.doubled[usize::from(partition)];
            self.faults.note(Fault::TwoHolders, u64::from(holders > 1 && !*doubled));
            *doubled = holders > 1;
        }
    }

    /// What has come of the last milliseconds at a replica.
    fn look_after(&mut self, at: usize) {
        let (now, calm) = (self.now(), self.calm_since.is_some());
        let slot = &mut self.slots[at];
        let struck = slot.home.link.struck();
        for cut in &struck {
            self.trace.add(&format!("r{at}: {cut:?}"));
            self.faults.note(fault_of(*cut), 1);
        }
        if slot.shut_until.is_some_and(|until| now >= until) {
            slot.shut_until = None;
            slot.home.link.shut(false);
        }
        let Some(life) = &slot.life else {
            if now >= slot.back_at && !self.lost.is_under_way() {
                slot.lives += 1;
                let id = format!("r{at}-{}", slot.lives);
                slot.life = Some(Life::begin(&slot.home, id, now, &mut self.rng));
                slot.crash_at = now + crash_pause(&mut self.rng);
            }
            return;
        };
        let sending = life.struck.notified().now_or_never().is_some();
        let torn = slot.torn && !struck.is_empty();
        if sending && !calm {
            self.crash(at, Fault::CrashWhileSending);
        } else if torn && !calm {
            self.crash(at, Fault::CrashInWrite);
        } else if slot.leaves_at.is_some_and(|leaves| now >= leaves) {
            self.crash(at, Fault::Drain);
        }
    }

    /// A replica ends, with everything in it.
    fn crash(&mut self, at: usize, how: Fault) {
        let back_at = self.now() + self.rng.random_range(0..5_000);
        let slot = &mut self.slots[at];
        let Some(life) = slot.life.take() else { return };
        self.trace.add(&format!("{}: {how:?}", life.id));
        drop(life);
        slot.gone(back_at);
        self.faults.note(how, 1);
        self.counts.crashes += u64::from(how != Fault::Drain);
        self.counts.torn += u64::from(how == Fault::CrashInWrite);
        self.counts.struck += u64::from(how == Fault::CrashWhileSending);
    }

    /// The cluster goes on by a slot, unless it goes back.
    fn tick(&mut self) {
        let (skipped, forks) = {
            let sky = self.weather.lock().unwrap();
            (sky.skipped, sky.forks)
        };
        let mut cluster = self.scene.cluster.lock().unwrap();
        cluster.tick(self.slot_ms, self.rng.random_bool(skipped));
        if self.rng.random_bool(forks) {
            cluster.fork(self.rng.random_range(1..super::super::chain::FINALITY as usize));
            self.counts.forks += 1;
            self.trace.add("fork");
        }
        super::super::operator::observe(&mut self.heads, &cluster, &self.scene.books);
    }

    /// What may happen in a slot beside what calls of nodes meet.
    fn misfortunes(&mut self) {
        if self.rng.random_bool(0.002) {
            self.slot_ms = if self.slot_ms == 400 { 200 } else { 400 };
        }
        if self.rng.random_bool(self.plan.deeds) {
            self.deed();
        }
        let now = self.now();
        if self.plan.failover_at.take_if(|at| now >= *at).is_some() {
            self.trace.add("the server fails over to one that has everything");
            self.server.restart(self.rng.random_range(0..2_000));
            self.faults.note(Fault::Failover, 1);
        }
        if self.rng.random_bool(self.plan.troubles) {
            self.trouble();
        }
        for at in 0..self.slots.len() {
            self.befall(at);
        }
    }

    /// Somebody does something.
    fn deed(&mut self) {
        let deed = self.scene.any_deed(&mut self.rng, self.site.clients.len());
        let done = self.scene.act(deed);
        self.counts.deeds.entry(deed.name()).or_default().add(&Tried { times: 1, done: u64::from(done) });
        if done {
            self.poisoned |= deed.is_poison();
            self.lowered |= matches!(deed, Deed::Lower(_));
            self.trace.add(&format!("{deed:?}"));
        }
    }

    /// Something is wrong with the server for a while.
    fn trouble(&mut self) {
        let ms = self.rng.random_range(100..8_000);
        let fault = match self.rng.random_range(0..3) {
            0 => {
                self.server.restart(ms);
                Fault::Away
            }
            1 => {
                self.server.refuse_writes(ms);
                Fault::ReadOnly
            }
            _ => {
                self.server.fill(ms);
                Fault::Full
            }
        };
        self.trace.add(&format!("the server: {fault:?} for {ms} ms"));
        self.faults.note(fault, 1);
    }

    /// What may befall one replica.
    fn befall(&mut self, at: usize) {
        let (now, rng, plan) = (self.now(), &mut self.rng, &self.plan);
        let [cuts, statements, late, pauses, cut_off, resets, drains, clocks] =
            [plan.cuts, plan.statements, plan.late, plan.pauses, plan.cut_off, plan.resets, plan.drains, plan.clocks]
                .map(|often| rng.random_bool(often));
        let (mut happened, slot) = (Vec::new(), &mut self.slots[at]);
        let link = slot.home.link.clone();
        let awake = slot.paused_until.is_none() && slot.shut_until.is_none();
        let half_open = rng.random_bool(plan.half_open);
        link.linger(if half_open { rng.random_range(1..15_000) } else { 0 });
        if cuts && link.is_spared() {
            link.cut(if rng.random_bool(0.5) { Cut::Commit } else { Cut::Answer });
        } else if statements && link.is_spared() {
            let after = rng.random_range(0..40);
            link.cut(if rng.random_bool(0.5) { Cut::Before(after) } else { Cut::After(after) });
        } else if late && link.is_spared() {
            link.cut(Cut::Late(rng.random_range(100..9_000)));
        } else if pauses && awake {
            let long = rng.random_bool(0.5);
            slot.paused_until = Some(now + a_while(long, rng));
            happened.push(if long { Fault::LongPause } else { Fault::ShortPause });
        } else if cut_off && awake {
            let long = rng.random_bool(0.5);
            slot.shut_until = Some(now + a_while(long, rng));
            link.shut(true);
            link.break_all();
            happened.push(if long { Fault::LostLease } else { Fault::LateLease });
            happened.extend(half_open.then_some(Fault::HalfOpen));
        } else if resets {
            link.break_all();
            happened.push(Fault::Reset);
            happened.extend(half_open.then_some(Fault::HalfOpen));
        } else if drains && slot.leaves_at.is_none() {
            if let Some(seat) = slot.life.as_ref().and_then(Life::seat) {
                seat.leave();
                slot.leaves_at = Some(now + rng.random_range(500..6_000));
            }
        } else if clocks {
            slot.home.clock.off_by_ms.store(rng.random_range(-600_000..600_000), Ordering::Relaxed);
            happened.push(Fault::WrongClock);
        }
        for fault in happened {
            self.trace.add(&format!("r{at}: {fault:?}"));
            self.faults.note(fault, 1);
        }
        let slot = &mut self.slots[at];
        if slot.life.is_some() && now >= slot.crash_at && !slot.torn {
            slot.crash_at = now + crash_pause(&mut self.rng);
            if self.rng.random_bool(0.5) {
                let late = Cut::Late(self.rng.random_range(100..9_000));
                link.cut([Cut::Commit, Cut::Answer, late][self.rng.random_range(0..3)]);
                slot.torn = true;
            } else {
                self.crash(at, Fault::Crash);
            }
        }
    }

    /// From here on nothing fails.
    fn calm_down(&mut self) {
        *self.weather.lock().unwrap() = Weather { latency: 20, delay: 1, ..Weather::default() };
        *self.site.busy.lock().unwrap() = false;
        self.server.heal();
        for slot in &mut self.slots {
            slot.home.clock.off_by_ms.store(0, Ordering::Relaxed);
            (slot.shut_until, slot.torn) = (None, false);
            slot.paused_until = slot.paused_until.map(|_| 0);
        }
        self.scene.make_peace();
        self.calm_since = Some(self.now());
        self.trace.add("calm");
    }

    pub fn end(&self, problem: Option<String>) -> End {
        End { problem, counts: self.counts.clone(), hash: self.trace.hash() }
    }
}

impl Slot {
    fn new(home: Arc<Home>, rng: &mut StdRng) -> Self {
        Self {
            home,
            life: None,
            lives: 0,
            crash_at: 0,
            back_at: rng.random_range(0..1_000),
            paused_until: None,
            shut_until: None,
            torn: false,
            leaves_at: None,
        }
    }

    /// Its life has ended; another one begins at the earliest then.
    pub fn gone(&mut self, back_at: i64) {
        (self.back_at, self.paused_until, self.torn, self.leaves_at) = (back_at, None, false, None);
        self.home.link.spare();
    }
}

impl Plan {
    fn draw(rng: &mut StdRng) -> Self {
        let mut some = |most: f64| if rng.random_bool(0.5) { rng.random_range(0.0..most) } else { 0.0 };
        let (cuts, statements, late, pauses) = (some(0.08), some(0.05), some(0.05), some(0.05));
        let (cut_off, resets, drains, clocks) = (some(0.04), some(0.06), some(0.02), some(0.006));
        let (troubles, half_open) = (some(0.02), some(1.0));
        let deeds = if rng.random_bool(0.7) { rng.random_range(0.0..0.4) } else { 0.0 };
        let calm_at = rng.random_range(15_000..40_000);
        let failover_at = rng.random_bool(0.25).then(|| rng.random_range(3_000..calm_at));
        Self {
            deeds,
            cuts,
            statements,
            late,
            pauses,
            cut_off,
            resets,
            drains,
            clocks,
            troubles,
            half_open,
            failover_at,
            calm_at,
        }
    }
}

fn crash_pause(rng: &mut StdRng) -> i64 {
    rng.random_range(1_000..40_000)
}

/// Less than a lease, or more.
fn a_while(long: bool, rng: &mut StdRng) -> i64 {
    rng.random_range(if long { LEASE_MS * 5 / 4..LEASE_MS * 3 } else { 200..LEASE_MS * 3 / 4 })
}

fn fault_of(cut: Cut) -> Fault {
    match cut {
        Cut::Commit => Fault::CutCommit,
        Cut::Answer => Fault::CutAnswer,
        Cut::Late(_) => Fault::LateCommit,
        Cut::Before(_) | Cut::After(_) => Fault::CutStatement,
    }
}
