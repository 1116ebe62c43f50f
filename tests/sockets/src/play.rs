//! One market, played: its providers and the relayer as processes, every policy's client here.

use crate::clock::{Clock, Lag, busy, cpu};
use crate::direct::Direct;
use crate::field::Field;
use crate::relayed::Relayed;
use crate::relayer::Relayer;
use crate::report::{Log, Played, Report};
use crate::scenario::Scenario;
use anyhow::{Context, Result, bail};
use std::cell::RefCell;
use std::path::Path;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;
use steam_simulator::document::released;
use steam_simulator::market::Market;
use steam_simulator::policy::Spec;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

/// Time until a market begins, once everything is there.
const BEGINS_IN: Duration = Duration::from_millis(500);
/// Seconds that requests have to end after the market did.
pub const DRAIN: f64 = 150.0;

/// A policy's client.
enum Client {
    Direct(Direct),
    Relayed(Relayed),
}

impl Client {
    async fn play(&self, index: usize) -> Result<Played> {
        match self {
            Self::Direct(direct) => direct.play(index).await,
            Self::Relayed(relayed) => relayed.play(index).await,
        }
    }
}

/// The process of a market's providers.
struct Providers {
    process: Child,
    say: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Providers {
    async fn start(scenario: &Scenario, policies: usize) -> Result<(Self, Vec<String>)> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["providers", &scenario.to_string(), &policies.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let say = process.stdin.take().context("no input")?;
        let mut lines = BufReader::new(process.stdout.take().context("no output")?).lines();
        let line = lines.next_line().await?.context("the providers did not start")?;
        Ok((Self { process, say, lines }, serde_json::from_str(&line)?))
    }

    async fn begin(&mut self, nanos: u64) -> Result<()> {
        Ok(self.say.write_all(format!("{nanos}\n").as_bytes()).await?)
    }

    async fn end(mut self) -> Result<Log> {
        drop(self.say);
        let line = self.lines.next_line().await?.context("the providers ended early")?;
        self.process.wait().await?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// Plays `scenario` with the policies of these names, with the binary `steam` as the relayer.
///
/// # Errors
/// If anything does not start, or does what nobody of a market does.
pub async fn run(scenario: &Scenario, steam: &Path, names: &[String]) -> Result<Report> {
    // The process lives as long as its market.
    let market: &'static Market = Box::leak(Box::new(scenario.market()));
    let all = released();
    let taking_part: Vec<(usize, &Spec)> =
        all.iter().enumerate().filter(|(_, spec)| names.iter().any(|name| name == spec.name())).collect();
    if taking_part.len() != names.len() {
        bail!("no such policies: {names:?}; there are {:?}", all.iter().map(Spec::name).collect::<Vec<_>>());
    }
    let (mut providers, addresses) = Providers::start(scenario, all.len()).await?;
    let relayed = names.iter().any(|name| name == "steam");
    let relayer =
        if relayed { Some(Relayer::start(steam, market, scenario.models(), &addresses).await?) } else { None };
    let begins = Clock::within(BEGINS_IN);
    providers.begin(begins).await?;
    let field = Rc::new(Field::new(market, scenario.models(), &addresses, Clock::from(begins))?);
    let mut clients = Vec::new();
    for &(place, spec) in &taking_part {
        clients.push(Rc::new(match (&relayer, spec) {
            (Some(relayer), Spec::Steam(_)) => {
                Client::Relayed(Relayed::new(place, field.clone(), (&relayer.base(), &relayer.key())))
            }
            _ => Client::Direct(Direct::new(place, spec, field.clone())),
        }));
    }
    let (lag, before) = (Lag::default(), cpu());
    let posting = async {
        if let Some(relayer) = &relayer {
            relayer.post(market, field.clock).await?;
        }
        std::future::pending::<Result<()>>().await
    };
    let played = tokio::select! {
        played = play(&clients, &field) => played.with_context(|| relayer.as_ref().map(Relayer::log).unwrap_or_default())?,
        posted = posting => return posted.map(|()| Report::default()),
        () = lag.clone().watch() => bail!("nobody watches for ever"),
    };
    let busy = busy(before, cpu());
    let board = match &relayer {
        Some(relayer) => relayer.board().await?,
        None => Vec::new(),
    };
    if let Some(relayer) = relayer {
        relayer.stop().await?;
    }
    let log = providers.end().await?;
    let (played, unfinished) = played;
    let names = taking_part.iter().map(|(_, spec)| spec.name().to_owned());
    Ok(Report {
        scenario: scenario.to_string(),
        policies: names.zip(played).collect(),
        unfinished,
        attempts: log.attempts.into_iter().filter(|attempt| all[attempt.policy].name() == "steam").collect(),
        board,
        client_lag_ms: lag.p99_ms(),
        provider_lag_ms: log.lag_p99_ms,
        busy,
    })
}

/// What became of each client's requests, and how many had not ended.
async fn play(clients: &[Rc<Client>], field: &Rc<Field>) -> Result<(Vec<Vec<Played>>, usize)> {
    let requests = &field.market.requests;
    let done: Rc<RefCell<Vec<Vec<Option<Played>>>>> =
        Rc::new(RefCell::new(vec![vec![None; requests.len()]; clients.len()]));
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    for (index, request) in requests.iter().enumerate() {
        field.clock.until(request.at).await;
        for (place, client) in clients.iter().enumerate() {
            let (client, done) = (client.clone(), done.clone());
            tasks.spawn_local(async move {
                let played = client.play(index).await?;
                done.borrow_mut()[place][index] = Some(played);
                Ok(())
            });
        }
        while let Some(ended) = tasks.try_join_next() {
            ended??;
        }
    }
    let deadline = field.clock.instant(field.market.horizon + DRAIN);
    while let Ok(Some(ended)) = timeout_at(deadline, tasks.join_next()).await {
        ended??;
    }
    let unfinished = tasks.len();
    tasks.abort_all();
    let now = field.clock.now();
    let late = |index: usize| Played { index, served: false, usd: 0.0, seconds: now - requests[index].at, attempts: 1 };
    let done = done.borrow();
    let all = |of: &Vec<Option<Played>>| {
        of.iter().enumerate().map(|(index, one)| one.unwrap_or_else(|| late(index))).collect()
    };
    Ok((done.iter().map(all).collect(), unfinished))
}
