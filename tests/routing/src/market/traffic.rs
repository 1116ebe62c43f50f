//! Who asks for what, and when: requests by diurnal load from users who continue their conversations.

use crate::draw::{Purpose, at, exponential, lognormal};
use rand::Rng;
use rand_pcg::Pcg64Mcg;

/// Users of a market.
pub const USERS: usize = 300;
/// What is asked of a market: shares are from 0 to 1, lengths are medians in tokens and sigmas of lognormals.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Requests a second, on average over the day.
    pub rate: f64,
    /// Swing of the load between night and day, as a share of its mean. A day is as long as the market lasts.
    pub swing: f64,
    /// Share of requests that continue their user's last conversation.
    pub continued: f64,
    /// Share of requests that ask for a stream.
    pub streamed: f64,
    /// Share of requests that state an output limit.
    pub limited: f64,
    /// How much above what they need such a limit is at most, as a factor.
    pub generous: f64,
    /// Prompts that begin a conversation.
    pub fresh: (f64, f64),
    /// What a continued prompt adds.
    pub added: (f64, f64),
    /// Answers.
    pub output: (f64, f64),
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it is asked, in seconds.
    pub at: f64,
    /// Prompt tokens.
    pub input: u32,
    /// Tokens of the answer, whoever gives it.
    pub output: u32,
    /// Output limit stated, if any.
    pub limit: Option<u32>,
    /// Whether the answer is streamed.
    pub streamed: bool,
    /// Its conversation, counted from 0.
    pub conversation: u32,
    /// Prompt tokens it has in common with the conversation so far.
    pub repeated: u32,
}

struct User {
    conversation: u32,
    /// Tokens of its prompt and answers.
    tokens: u32,
}

/// The requests of `horizon` seconds, by time.
pub fn requests(workload: &Workload, horizon: f64, seed: u64) -> Vec<Request> {
    let mut rng = at(seed, Purpose::Traffic, 0, 0);
    let mut users: Vec<Option<User>> = (0..USERS).map(|_| None).collect();
    let mut conversations = 0;
    let mut requests = Vec::new();
    let mut now = 0.0;
    loop {
        // Thinning: arrivals at the peak's rate, of which the load of the moment keeps its part.
        now += exponential(&mut rng, 1.0 / (workload.rate * (1.0 + workload.swing)));
        if now >= horizon {
            return requests;
        }
        let load = 1.0 + workload.swing * (std::f64::consts::TAU * (now / horizon - 0.25)).sin();
        if rng.random::<f64>() * (1.0 + workload.swing) < load {
            let user = &mut users[zipf(&mut rng)];
            requests.push(request(workload, user, now, &mut conversations, &mut rng));
        }
    }
}

/// A few users ask most: the one in place `r` about in proportion to 1/r.
fn zipf(rng: &mut Pcg64Mcg) -> usize {
    let place = ((USERS as f64 + 1.0).ln() * rng.random::<f64>()).exp();
    (place as usize - 1).min(USERS - 1)
}

fn request(
    workload: &Workload,
    user: &mut Option<User>,
    at: f64,
    conversations: &mut u32,
    rng: &mut Pcg64Mcg,
) -> Request {
    let length = |rng: &mut Pcg64Mcg, (median, sigma): (f64, f64)| lognormal(rng, median, sigma);
    let continued = rng.random::<f64>() < workload.continued;
    let fresh = tokens(length(rng, workload.fresh), 60_000);
    let added = tokens(length(rng, workload.added), 8_000);
    let output = tokens(length(rng, workload.output), 4_000);
    let generous = (f64::from(output) * rng.random_range(1.05..workload.generous)).ceil() as u32;
    let limit = (rng.random::<f64>() < workload.limited).then_some(generous);
    let streamed = rng.random::<f64>() < workload.streamed;
    let before = user.take().filter(|user| continued && user.tokens < 60_000);
    let (conversation, repeated, input) = match before {
        Some(user) => (user.conversation, user.tokens, user.tokens + added),
        None => {
            *conversations += 1;
            (*conversations - 1, 0, fresh)
        }
    };
    *user = Some(User { conversation, tokens: input + output });
    Request { at, input, output, limit, streamed, conversation, repeated }
}

fn tokens(drawn: f64, most: u32) -> u32 {
    (drawn as u32).clamp(4, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `rate` requests a second with a deep night.
    fn requests_at(rate: f64, horizon: f64, seed: u64) -> Vec<Request> {
        let workload = Workload {
            rate,
            swing: 0.6,
            continued: 0.6,
            streamed: 0.8,
            limited: 0.3,
            generous: 2.0,
            fresh: (700.0, 1.2),
            added: (80.0, 0.8),
            output: (250.0, 0.9),
        };
        requests(&workload, horizon, seed)
    }

    #[test]
    fn load_follows_the_day_and_comes_at_the_stated_rate() {
        let all = requests_at(10.0, 1_000.0, 1);
        assert!((all.len() as f64 / 10_000.0 - 1.0).abs() < 0.05, "{}", all.len());
        let noon = all.iter().filter(|r| (400.0..600.0).contains(&r.at)).count();
        let midnight = all.iter().filter(|r| r.at < 100.0 || r.at >= 900.0).count();
        assert!(noon > 3 * midnight, "{noon} at noon, {midnight} at midnight");
        assert!(all.is_sorted_by(|a, b| a.at <= b.at));
    }

    #[test]
    fn a_continued_prompt_repeats_what_was_said_and_adds_to_it() {
        let all = requests_at(10.0, 500.0, 2);
        let mut said = std::collections::HashMap::new();
        for request in &all {
            let before = said.insert(request.conversation, request.input + request.output);
            assert_eq!(request.repeated, before.unwrap_or(0));
            assert!(request.input > request.repeated);
        }
        let continued = all.iter().filter(|r| r.repeated > 0).count() as f64 / all.len() as f64;
        assert!((0.5..0.65).contains(&continued), "{continued}");
    }

    #[test]
    fn a_stated_limit_is_never_below_the_answer() {
        let all = requests_at(10.0, 200.0, 3);
        assert!(all.iter().all(|r| r.limit.is_none_or(|limit| limit >= r.output)));
        assert!(all.iter().any(|r| r.limit.is_some()) && all.iter().any(|r| r.limit.is_none()));
    }
}
