//! A provider dies under load: traffic moves away, and no request fails. The client never retries; what the relayer has
//! to go by are the bytes it receives, or does not.

use super::super::system::System;
use super::super::table;
use super::answer::Whole;
use super::{Paid, ask, provider_name, remember, tour::Tour};
use crate::localnet::MODELS;
use crate::relay::dialect::chat::client;
use crate::relay::dialect::chat::question::{Question, Stream, message};
use anyhow::{Context, Result};
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use std::time::Instant;
use steam_client::Client;

/// Streamed answers to begin with: they show how soon a first token comes.
const STREAMS: usize = 32;
/// Requests in all, after those.
const REQUESTS: usize = 240;
/// Requests at once.
const CONCURRENCY: usize = 16;
/// After how many answers the busiest provider dies.
const DIES_AFTER: usize = 100;
/// The last requests, among which the dead provider is asked for probes only.
const END: usize = 60;
/// Probes among them: one at a time, ever further apart.
const MAX_PROBES: u64 = 6;

type Counts = BTreeMap<String, usize>;

pub(super) async fn run(system: &System, client: &Client, tour: &mut Tour, paid: &mut Vec<Paid>) -> Result<()> {
    tour.step(&format!(
        "A provider dies under load: {REQUESTS} requests, {CONCURRENCY} at once, no retries by the client"
    ));
    stream_some(client, tour, paid).await?;
    let began = Instant::now();
    let mut under_way = FuturesUnordered::new();
    let (mut started, mut done, mut failed) = (0, 0, Vec::new());
    let (mut before, mut after) = (Counts::new(), Counts::new());
    let mut dead: Option<usize> = None;
    let mut refused_until_end = 0;
    while done < REQUESTS {
        while started < REQUESTS && under_way.len() < CONCURRENCY {
            under_way.push(request(client, started, dead.is_some()));
            started += 1;
        }
        let Some((since_death, outcome)) = under_way.next().await else { break };
        done += 1;
        match outcome {
            Ok(whole) => {
                let provider = provider_name(system, &whole.receipt.receipt.provider).to_owned();
                *(if since_death { &mut after } else { &mut before }).entry(provider).or_default() += 1;
                remember(paid, whole)?;
            }
            Err(error) => failed.push(format!("{error:#}")),
        }
        if done == DIES_AFTER {
            dead = Some(kill_busiest(system, &before, tour)?);
        }
        if done == REQUESTS - END {
            refused_until_end = dead.map_or(0, |index| system.providers[index].stats().refused);
        }
    }
    let index = dead.context("nobody died")?;
    let name = system.deployment.providers[index].name.clone();
    let refused = system.providers[index].stats().refused;
    let late = refused - refused_until_end;
    tour.line("answered", format!("{} in {:.1} s", REQUESTS - failed.len(), began.elapsed().as_secs_f64()));
    tour.line("before", shares(&before));
    tour.line("after", shares(&after));
    tour.line("noticed", format!("attempts at {name} after its death: {refused}, in the last {END} requests: {late}"));
    for line in table::render(system).lines() {
        tour.line("", line);
    }
    for problem in failed.iter().take(3) {
        tour.line("failed", problem);
    }
    tour.check(failed.is_empty(), "no request fails when a provider dies before anything reached the client")?;
    tour.check(!after.contains_key(&name), "the dead provider serves nobody")?;
    tour.check(late <= MAX_PROBES, "traffic moves away from a dead provider")?;
    system.providers[index].revive();
    let share = before.get(&name).map_or(0.0, |&n| percent(n, &before));
    tour.held(
        "failover",
        format!("{REQUESTS} of {REQUESTS} answered while {name} died; its share went from {share:.0} % to 0 %"),
    );
    Ok(())
}

/// Streams a few answers from everybody, and lets them end: a stream that breaks off after its first words cannot be
/// begun anew without saying them twice, so what dies later must not be in the middle of one.
async fn stream_some(client: &Client, tour: &mut Tour, paid: &mut Vec<Paid>) -> Result<()> {
    let one = async |number: usize| -> Result<Whole> {
        let body = ask(&format!("Stream {number}: which route is best?"), true);
        Ok(Whole::read(client::bearer(client, &body).await?).await?)
    };
    let mut answers = futures::stream::iter((0..STREAMS).map(one)).buffer_unordered(CONCURRENCY);
    while let Some(answer) = answers.next().await {
        remember(paid, answer?)?;
    }
    tour.line("streamed", format!("{STREAMS} answers first, to measure who begins soonest"));
    Ok(())
}

/// One whole answer: nothing of it reaches the client before all of it reached the relayer.
async fn request(client: &Client, number: usize, since_death: bool) -> (bool, Result<Whole>) {
    let question = message("user", &format!("Question {number}: which route is best?"));
    let body = Question { model: MODELS[0], messages: &[question], max_tokens: 24, stream: Stream::Off }.body();
    let outcome = async { Ok(Whole::read(client::bearer(client, &body).await?).await?) };
    (since_death, outcome.await)
}

fn kill_busiest(system: &System, served: &Counts, tour: &mut Tour) -> Result<usize> {
    let (name, count) = served.iter().max_by_key(|(_, count)| **count).context("nobody served")?;
    let index = system.deployment.providers.iter().position(|p| p.name == *name).context("an unknown provider")?;
    system.providers[index].kill();
    tour.line("dies", format!("{name}, the busiest with {count} of {DIES_AFTER} answers: its connections break off"));
    Ok(index)
}

fn percent(count: usize, of: &Counts) -> f64 {
    count as f64 * 100.0 / of.values().sum::<usize>().max(1) as f64
}

fn shares(counts: &Counts) -> String {
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let shares: Vec<String> =
        sorted.into_iter().map(|(name, &count)| format!("{name} {:.0} %", percent(count, counts))).collect();
    shares.join("   ")
}
