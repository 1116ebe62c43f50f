//! `steam admin`: set the program up on a cluster, once; change its settings; stop settlement for a while, or a provider, in
//! an emergency.

mod change;

pub use change::{Acceptance, Change, Offered, Suspension};

use super::amount::{show_span, span};
use super::error::{CliError, Result};
use super::output::{Report, line};
use super::parse::address;
use super::rpc::RpcSession;
use super::sending::Sending;
use super::session::{Session, until};
use super::solana::Global;
use super::wallet::sent::{Sent, or_null};
use crate::chain::Pubkey;
use crate::{addresses, instructions};
use serde::Serialize;
use std::io::{self, Write};
use steam_router::state::{Delay, Delays};

/// USDC on Solana's mainnet.
const USDC: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";

/// Set up and pause the program
#[derive(Debug, clap::Subcommand)]
pub enum Admin {
    /// Set the program up on this cluster; the keypair is the program's upgrade authority
    Init(Init),
    /// Stop settlement and registration for a while; the keypair is the guardian
    Pause(Pause),
    /// Suspend a provider: relayers stop routing to it; the keypair is the guardian
    SuspendProvider(Suspension),
    /// Change the guardian or delays; the keypair is the admin
    Config(Change),
    /// Offer the role of admin to an address, which must accept it; the keypair is the admin
    Transfer(Offered),
    /// Accept the role of admin; the keypair is the address it was offered to
    Accept(Acceptance),
    /// Show the program's settings
    Status,
}

/// Set the program up on this cluster
#[derive(Debug, clap::Args)]
pub struct Init {
    /// The token vaults hold
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = USDC)]
    pub mint: Pubkey,
    /// Who may change settings [default: the keypair]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub admin: Option<Pubkey>,
    /// Who may pause and suspend [default: the keypair]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub guardian: Option<Pubkey>,
    /// How often relayers settle
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, default_value = "60s")]
    pub settle_interval: u32,
    /// How long a pause lasts
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, default_value = "30m")]
    pub max_pause: u32,
    /// How long a replaced price or fee still settles
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, default_value = "45m")]
    pub price_grace: u32,
    /// How long a revoked or expired key still settles
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, default_value = "45m")]
    pub revoke_grace: u32,
    /// From the request of a withdrawal to its execution
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, default_value = "1h")]
    pub withdraw_delay: u32,
    /// From the posting of a higher price to its effect
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, default_value = "10m")]
    pub price_notice: u32,
    /// From the posting of a higher fee to its effect
    #[arg(long, value_name = "SPAN", value_parser = span, allow_negative_numbers = true, default_value = "24h")]
    pub fee_notice: u32,
    /// The shortest that each delay may ever be made, in percent of the one given here; never changes
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100), allow_negative_numbers = true, default_value_t = 50)]
    pub floor_percent: u32,
    /// Length of a slot by which delays are also counted in slots, in milliseconds; not shorter than a slot takes
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..=10_000), allow_negative_numbers = true, default_value_t = 400)]
    pub slot_ms: u32,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

/// Stop settlement and registration for a while
#[derive(Debug, clap::Args)]
pub struct Pause {
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

impl Admin {
    pub async fn run(self, global: &Global) -> Result<()> {
        match self {
            Self::Init(init) => init.run(global).await,
            Self::Pause(pause) => pause.run(global).await,
            Self::SuspendProvider(suspension) => suspension.run(global).await,
            Self::Config(change) => change.run(global).await,
            Self::Transfer(offered) => offered.run(global).await,
            Self::Accept(acceptance) => acceptance.run(global).await,
            Self::Status => status(global).await,
        }
    }
}

#[derive(Serialize)]
struct ShownDelay {
    name: &'static str,
    seconds: u32,
    slots: u32,
    floor_seconds: u32,
    floor_slots: u32,
}

/// The delays' names, in the order of the fields.
const NAMES: [&str; 7] =
    ["settle interval", "max pause", "price grace", "revoke grace", "withdraw delay", "price notice", "fee notice"];

#[derive(Serialize)]
struct Settings {
    program: String,
    config: String,
    domain: String,
    mint: String,
    admin: String,
    pending_admin: Option<String>,
    guardian: String,
    paused: bool,
    pause_seconds_left: i64,
    next_pause_in_seconds: i64,
    delays: Vec<ShownDelay>,
    #[serde(flatten, serialize_with = "or_null")]
    signature: Option<Sent>,
}

impl Settings {
    async fn read(session: &Session, signature: Option<Sent>) -> Result<Self> {
        let config = &session.config;
        let clock = session.clock().await?;
        let delays = NAMES.into_iter().zip(config.delays.each()).zip(config.floors.each());
        let shown = |((name, delay), floor): ((&'static str, Delay), Delay)| ShownDelay {
            name,
            seconds: delay.seconds,
            slots: delay.slots,
            floor_seconds: floor.seconds,
            floor_slots: floor.slots,
        };
        Ok(Self {
            program: addresses::program().to_string(),
            config: addresses::config().to_string(),
            domain: hex::encode(config.domain),
            mint: config.mint.to_string(),
            admin: config.admin.to_string(),
            pending_admin: (config.pending_admin != Pubkey::default()).then(|| config.pending_admin.to_string()),
            guardian: config.guardian.to_string(),
            paused: config.is_paused(&clock),
            pause_seconds_left: until(&config.paused_until, &clock),
            next_pause_in_seconds: until(&config.next_pause_from, &clock),
            delays: delays.map(shown).collect(),
            signature,
        })
    }
}

impl Report for Settings {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "program", &self.program)?;
        line(out, "settings", &self.config)?;
        line(out, "domain", &self.domain)?;
        line(out, "mint", &self.mint)?;
        line(out, "admin", &self.admin)?;
        if let Some(pending) = &self.pending_admin {
            line(out, "offered to", format!("{pending}, who has not accepted"))?;
        }
        line(out, "guardian", &self.guardian)?;
        match (self.paused, self.next_pause_in_seconds) {
            (true, _) => line(out, "paused", format!("for another {}", show_span(self.pause_seconds_left)))?,
            (false, 0) => line(out, "paused", "no")?,
            (false, left) => line(out, "paused", format!("no; not again within {}", show_span(left)))?,
        }
        for ShownDelay { name, seconds, slots, floor_seconds, floor_slots } in &self.delays {
            let (span, floor) = (show_span((*seconds).into()), show_span((*floor_seconds).into()));
            line(out, name, format!("{span} and {slots} slots; never below {floor} and {floor_slots} slots"))?;
        }
        match &self.signature {
            Some(signature) => line(out, "transaction", signature),
            None => Ok(()),
        }
    }
}

impl Init {
    async fn run(self, global: &Global) -> Result<()> {
        let delays = self.delays();
        let floors = self.floors(&delays);
        check(&delays, &floors).map_err(|error| error.next("leave these flags out to use the defaults"))?;
        let rpc = RpcSession::of(global)?;
        let wallet = self.sending.wallet(global)?;
        let authority = wallet.address();
        let genesis = rpc.genesis().await?;
        let init = instructions::init_config(
            &authority,
            &wallet.payer(),
            &self.mint,
            genesis,
            &self.admin.unwrap_or(authority),
            &self.guardian.unwrap_or(authority),
            (delays, floors),
        );
        if rpc.data(&addresses::config()).await?.is_some() {
            return Err(CliError::new("initialized", "the program is set up on this cluster already")
                .next("see `steam admin status`"));
        }
        let Some(signature) = wallet.send(&rpc, &[init], None).await? else { return Ok(()) };
        let session = Session::open(global).await?;
        global.output.print(&Settings::read(&session, Some(signature)).await?)
    }

    fn delays(&self) -> Delays {
        let delay = |seconds| delay(seconds, self.slot_ms);
        Delays {
            settle_interval: delay(self.settle_interval),
            max_pause: delay(self.max_pause),
            price_grace: delay(self.price_grace),
            revoke_grace: delay(self.revoke_grace),
            withdraw_delay: delay(self.withdraw_delay),
            price_notice: delay(self.price_notice),
            fee_notice: delay(self.fee_notice),
        }
    }

    /// The shortest that each delay may ever be, rounded up.
    fn floors(&self, delays: &Delays) -> Delays {
        let part = |whole: u32| (u64::from(whole) * u64::from(self.floor_percent)).div_ceil(100) as u32;
        let floor = |delay: Delay| Delay { seconds: part(delay.seconds), slots: part(delay.slots) };
        let [settle_interval, max_pause, price_grace, revoke_grace, withdraw_delay, price_notice, fee_notice] =
            delays.each().map(floor);
        Delays { settle_interval, max_pause, price_grace, revoke_grace, withdraw_delay, price_notice, fee_notice }
    }
}

/// A delay, its slots counted by the length of a slot.
fn delay(seconds: u32, slot_ms: u32) -> Delay {
    let slots = (u64::from(seconds) * 1_000).div_ceil(slot_ms.into());
    Delay { seconds, slots: u32::try_from(slots).unwrap_or(u32::MAX) }
}

/// The delays that are below their floors, by their flags.
fn below_floors(delays: &Delays, floors: &Delays) -> Vec<String> {
    let low = |((_, delay), floor): &((&str, Delay), Delay)| delay.seconds < floor.seconds || delay.slots < floor.slots;
    let said = |((name, delay), floor): ((&str, Delay), Delay)| {
        let (flag, given) = (name.replace(' ', "-"), show_span(delay.seconds.into()));
        let (least, slots) = (show_span(floor.seconds.into()), floor.slots);
        format!("--{flag}: {given} and {} slots are below its floor of {least} and {slots} slots", delay.slots)
    };
    NAMES.into_iter().zip(delays.each()).zip(floors.each()).filter(low).map(said).collect()
}

/// Checks that the program will take these delays.
fn check(delays: &Delays, floors: &Delays) -> Result<()> {
    use steam_router::error::SteamError;
    match delays.validate(floors) {
        Ok(()) => Ok(()),
        Err(error) if error == SteamError::DelayBelowFloor.into() => {
            let low = below_floors(delays, floors).join("; ");
            Err(CliError::usage(format!("{low}; floors were fixed when the program was set up")))
        }
        Err(error) if error == SteamError::DelayTooLong.into() => {
            let Delay { seconds, slots } = Delays::LONGEST;
            let longest = show_span(seconds.into());
            Err(CliError::usage(format!(
                "these delays could keep an owner from withdrawing: none, from --settle-interval to --withdraw-delay and \
                 --fee-notice, may be longer than {longest} and {slots} slots (--slot-ms)"
            )))
        }
        Err(_) => Err(CliError::usage(format!(
            "these delays would let money leave before it is settled: {}. --settle-interval plus --max-pause must be \
             shorter than --price-grace, which must be at most --revoke-grace, which must be at most --withdraw-delay, \
             in seconds and in slots",
            out_of_order(delays).join("; ")
        ))),
    }
}

/// What a delay is in one unit.
type InUnit = fn(&Delay) -> u32;

/// What of the delays is out of order, in the unit in which it is.
fn out_of_order(delays: &Delays) -> Vec<String> {
    let wait = |of: InUnit| u64::from(of(&delays.settle_interval)) + u64::from(of(&delays.max_pause));
    let units: [(InUnit, &str); 2] = [(|delay| delay.seconds, "seconds"), (|delay| delay.slots, "slots")];
    let mut found = Vec::new();
    for (of, unit) in units {
        let [grace, revoke, withdraw] =
            [delays.price_grace, delays.revoke_grace, delays.withdraw_delay].map(|delay| u64::from(of(&delay)));
        for (wrong, one, of_one, other, of_other) in [
            (wait(of) >= grace, "--settle-interval plus --max-pause", wait(of), "--price-grace", grace),
            (grace > revoke, "--price-grace", grace, "--revoke-grace", revoke),
            (revoke > withdraw, "--revoke-grace", revoke, "--withdraw-delay", withdraw),
        ] {
            if wrong {
                found.push(format!("{one} is {of_one} {unit} and {other} {of_other}"));
            }
        }
        let none = NAMES.into_iter().zip(delays.each()).filter(|(_, delay)| of(delay) == 0);
        found.extend(none.map(|(name, _)| format!("--{} is 0 {unit}", name.replace(' ', "-"))));
    }
    found
}

impl Pause {
    async fn run(self, global: &Global) -> Result<()> {
        let wallet = self.sending.wallet(global)?;
        let pause = instructions::pause(&wallet.address());
        if wallet.print_without_node(std::slice::from_ref(&pause))? {
            return Ok(());
        }
        change::send(&Session::open(global).await?, &wallet, global, pause).await
    }
}

async fn status(global: &Global) -> Result<()> {
    let session = Session::open(global).await?;
    global.output.print(&Settings::read(&session, None).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_order_is_told_in_its_unit() {
        let at = |seconds, slots| Delay { seconds, slots };
        let ordered = Delays {
            settle_interval: at(60, 150),
            max_pause: at(1_800, 4_500),
            price_grace: at(2_700, 6_750),
            revoke_grace: at(2_700, 6_750),
            withdraw_delay: at(3_600, 9_000),
            price_notice: at(600, 1_500),
            fee_notice: at(86_400, 216_000),
        };
        assert_eq!(out_of_order(&ordered), Vec::<String>::new());
        for (delays, says) in [
            // Seconds alone are in order: another length of a slot was given for one of them.
            (
                Delays { price_grace: at(2_700, 4_650), ..ordered },
                "--settle-interval plus --max-pause is 4650 slots and --price-grace 4650",
            ),
            (
                Delays { revoke_grace: at(2_699, 6_750), ..ordered },
                "--price-grace is 2700 seconds and --revoke-grace 2699",
            ),
            (
                Delays { withdraw_delay: at(3_600, 6_749), ..ordered },
                "--revoke-grace is 6750 slots and --withdraw-delay 6749",
            ),
            (Delays { fee_notice: at(86_400, 0), ..ordered }, "--fee-notice is 0 slots"),
        ] {
            assert_eq!(out_of_order(&delays), [says]);
            let error = check(&delays, &ordered).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_delay_below_its_floor_is_named_with_the_floor() {
        let at = |seconds| delay(seconds, 400);
        let floors = Delays {
            settle_interval: at(30),
            max_pause: at(900),
            price_grace: at(1_350),
            revoke_grace: at(1_350),
            withdraw_delay: at(1_800),
            price_notice: at(300),
            fee_notice: at(43_200),
        };
        let low = Delays { price_notice: at(299), ..floors };
        let few = Delays { fee_notice: Delay { slots: 1, ..floors.fee_notice }, ..floors };
        for (delays, says) in [
            (low, "--price-notice: 4m59s and 748 slots are below its floor of 5m and 750 slots"),
            (few, "--fee-notice: 12h and 1 slots are below its floor of 12h and 108000 slots"),
        ] {
            assert_eq!(below_floors(&delays, &floors), [says]);
            let error = check(&delays, &floors).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("floors were fixed"), "{error}");
        }
        check(&floors, &floors).unwrap();
    }
}
