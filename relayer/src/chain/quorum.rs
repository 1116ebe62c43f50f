//! Asks several nodes at once. Where two or more are configured, two must answer. Decisions rest on what all answers agree on:
//! a node that lies decides nothing, and one of three that is down delays nothing.

use super::rpc::{Rpc, RpcError};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Nodes that must answer, where there are as many.
const QUORUM: usize = 2;
/// How long the others are waited for once enough have answered.
const GRACE: Duration = Duration::from_millis(500);

/// The answers of those that answered, each with the node's place, in that order.
///
/// # Errors
/// What the first node that failed said, if fewer than two answered, or the only one did not.
pub async fn ask<'a, T, F>(
    nodes: &'a [Arc<dyn Rpc>],
    call: impl Fn(&'a dyn Rpc) -> F,
) -> Result<Vec<(usize, T)>, RpcError>
where
    F: Future<Output = Result<T, RpcError>>,
{
    within(nodes, GRACE, call).await
}

/// The answer of the first node that answers, from the one in place `start` on, and that node's place. Nothing is decided on
/// its word.
///
/// # Errors
/// What the last node said, if none answered.
pub async fn first<'a, T, F>(
    nodes: &'a [Arc<dyn Rpc>],
    start: usize,
    call: impl Fn(&'a dyn Rpc) -> F,
) -> Result<(usize, T), RpcError>
where
    F: Future<Output = Result<T, RpcError>>,
{
    let mut failure = RpcError::Node("no node is configured".into());
    for step in 0..nodes.len() {
        let at = (start + step) % nodes.len();
        match call(nodes[at].as_ref()).await {
            Ok(answer) => return Ok((at, answer)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// As [`ask`]; once enough have answered, each further answer is waited for during `grace`, which is zero where the answers
/// decide nothing.
///
/// # Errors
/// As [`ask`].
pub async fn within<'a, T, F>(
    nodes: &'a [Arc<dyn Rpc>],
    grace: Duration,
    call: impl Fn(&'a dyn Rpc) -> F,
) -> Result<Vec<(usize, T)>, RpcError>
where
    F: Future<Output = Result<T, RpcError>>,
{
    let asked = nodes.iter().enumerate().map(|(at, node)| {
        let answer = call(node.as_ref());
        async move { (at, answer.await) }
    });
    let mut asked: FuturesUnordered<_> = asked.collect();
    let needed = nodes.len().min(QUORUM);
    let (mut answers, mut failure) = (Vec::with_capacity(nodes.len()), None);
    loop {
        let next =
            if answers.len() < needed { asked.next().await } else { timeout(grace, asked.next()).await.ok().flatten() };
        match next {
            Some((at, Ok(answer))) => answers.push((at, answer)),
            Some((_, Err(error))) => failure = failure.or(Some(error)),
            None => break,
        }
    }
    if answers.len() < needed {
        return Err(failure.unwrap_or_else(|| RpcError::Node("too few answered".into())));
    }
    answers.sort_unstable_by_key(|(at, _)| *at);
    Ok(answers)
}
