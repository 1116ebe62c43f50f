//! Requests that somebody recorded: their moments and the lengths of prompt and answer are a real service's. What was not
//! recorded is drawn. `recordings/README.md` has source and licence.

use super::Request;
use crate::draw::{Purpose, at};
use rand::Rng;

/// Seconds, prompt tokens and answer tokens of each request of an Azure conversation service.
const AZURE: &str = include_str!("../../recordings/azure-2023-conversation.csv");
/// Share of the requests that state an output limit, and the most that such a limit is above the answer.
const LIMITED: (f64, f64) = (0.4, 4.0);
/// Share of the answers that are streamed.
const STREAMED: f64 = 0.8;

/// The recorded requests of `horizon` seconds from a moment drawn by `seed`, of which a part drawn by it is kept, as if a
/// smaller service had been recorded. After the recording's end it begins again.
pub fn requests(seed: u64, horizon: f64) -> Vec<Request> {
    let rows: Vec<(f64, u32, u32)> = AZURE.lines().skip(1).filter_map(row).collect();
    let Some(&(lasts, ..)) = rows.last() else { return Vec::new() };
    let mut rng = at(seed, Purpose::Traffic, 0, 1);
    let (begins, kept) = (rng.random_range(0.0..lasts), rng.random_range(0.15..1.0));
    let mut requests = Vec::new();
    for round in 0..=(horizon / lasts) as u32 + 1 {
        for &(seconds, input, output) in &rows {
            let at = f64::from(round) * lasts + seconds - begins;
            let [keep, limited, streamed] = std::array::from_fn(|_| rng.random::<f64>());
            let generous = (f64::from(output) * rng.random_range(1.0..LIMITED.1)).ceil() as u32;
            if (0.0..horizon).contains(&at) && keep < kept {
                requests.push(Request {
                    at,
                    input,
                    output,
                    limit: (limited < LIMITED.0).then_some(generous),
                    streamed: streamed < STREAMED,
                    conversation: requests.len() as u32,
                    repeated: 0,
                });
            }
        }
    }
    requests
}

fn row(line: &str) -> Option<(f64, u32, u32)> {
    let mut fields = line.split(',');
    let (seconds, input, output) =
        (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((seconds, input, output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read_and_a_seed_gives_the_same_requests_again() {
        let rows: Vec<_> = AZURE.lines().skip(1).map(|line| row(line).expect("a row")).collect();
        assert!(rows.is_sorted_by(|a, b| a.0 <= b.0) && rows.len() > 400, "{}", rows.len());
        let [one, same, other] = [1, 1, 2].map(|seed| format!("{:?}", requests(seed, 120.0)));
        assert!(one == same && one != other);
        for seed in 0..20 {
            let requests = requests(seed, 120.0);
            assert!(requests.is_sorted_by(|a, b| a.at <= b.at), "in the order of time");
            assert!(requests.iter().all(|r| r.at < 120.0 && r.limit.is_none_or(|limit| limit >= r.output)));
            assert!(requests.len() > 40, "{}", requests.len());
        }
    }
}
