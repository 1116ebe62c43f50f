//! What is said: requests of the market's lengths, and answers. A token is four bytes, which is what the relayer takes it for
//! where it does not know the model's tokenizer.

use serde_json::{Value, json};
use std::collections::HashMap;
use steam_simulator::market::Market;

/// Bytes of a token.
pub const TOKEN: &str = "abc ";

/// Whose request a provider has before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The policy's place.
    pub policy: usize,
    /// The request's place in the market.
    pub index: usize,
}

/// The conversations of a market: what was said before each request.
pub struct Conversations {
    /// For each request: prompt tokens that it adds, and the request before it in its conversation.
    turns: Vec<(u32, Option<usize>)>,
}

impl Conversations {
    /// Of `market`.
    pub fn of(market: &Market) -> Self {
        let mut last = HashMap::new();
        let turn = |(index, request): (usize, &steam_simulator::market::Request)| {
            let before = last.insert(request.conversation, index);
            (request.input - request.repeated, before.filter(|_| request.repeated > 0))
        };
        Self { turns: market.requests.iter().enumerate().map(turn).collect() }
    }

    /// The body of a request, as a client of the chat API sends it. Its prompt says whose it is, at its very beginning as well:
    /// nobody's prompt begins like another's.
    pub fn body(&self, market: &Market, mark: Mark, model: &str) -> String {
        let request = &market.requests[mark.index];
        let mut messages = Vec::new();
        let mut at = Some(mark.index);
        let mut last = format!(" {}", mark.text());
        while let Some(index) = at {
            let (added, before) = self.turns[index];
            let begins = format!("{}/{} ", mark.policy, market.requests[index].conversation);
            let bytes = (added as usize * TOKEN.len()).saturating_sub(begins.len() + last.len());
            messages.push(message("user", format!("{begins}{}{last}", filler(bytes))));
            last.clear();
            if let Some(before) = before {
                let said = market.requests[before].output as usize * TOKEN.len();
                messages.push(message("assistant", filler(said)));
            }
            at = before;
        }
        messages.reverse();
        let mut body = json!({ "model": model, "messages": messages, "stream": request.streamed });
        if request.streamed {
            body["stream_options"] = json!({ "include_usage": true });
        }
        if let Some(limit) = request.limit {
            body["max_tokens"] = json!(limit);
        }
        body.to_string()
    }
}

fn message(role: &str, content: String) -> Value {
    json!({ "role": role, "content": content })
}

fn filler(bytes: usize) -> String {
    let mut text = TOKEN.repeat(bytes.div_ceil(TOKEN.len()));
    text.truncate(bytes);
    text
}

impl Mark {
    fn text(self) -> String {
        format!("[[{}.{}]]", self.policy, self.index)
    }

    /// The mark in a body, however its JSON was written anew.
    pub fn find(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let begins = text.rfind("[[")? + 2;
        let (mark, _) = text[begins..].split_once("]]")?;
        let (policy, index) = mark.split_once('.')?;
        Some(Self { policy: policy.parse().ok()?, index: index.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steam_simulator::market::drawn;

    #[test]
    fn a_prompt_has_its_tokens_its_history_and_its_mark() {
        let market = drawn::lasting(4, 120.0);
        let conversations = Conversations::of(&market);
        let continued = market.requests.iter().position(|r| r.repeated > 2_000).expect("a long conversation");
        let before = market.requests.iter().position(|r| r.conversation == market.requests[continued].conversation);
        let body = |index| conversations.body(&market, Mark { policy: 3, index }, "m");
        for index in 0..market.requests.len().min(200) {
            let body = body(index);
            assert_eq!(Mark::find(body.as_bytes()), Some(Mark { policy: 3, index }));
            let tokens = body.len() as f64 / 4.0;
            let stated = f64::from(market.requests[index].input);
            // JSON and short turns are the rest.
            assert!(
                (stated * 0.99 - 1.0..stated + 60.0 * body.matches("role").count() as f64).contains(&tokens),
                "{tokens} of {stated}"
            );
        }
        let prompt = |body: String| body.split_once("\"messages\":").map(|(_, prompt)| prompt.to_owned());
        let (first, next) =
            (prompt(body(before.expect("a first"))).expect("a prompt"), prompt(body(continued)).expect("a prompt"));
        let common = first.bytes().zip(next.bytes()).take_while(|(a, b)| a == b).count();
        let turn = f64::from(market.requests[before.expect("a first")].input) * 4.0;
        assert!(common as f64 > turn - 60.0, "{common} of {turn}");
    }

    #[test]
    fn a_body_without_a_mark_is_nobodys() {
        for body in ["{}", "[[1.2", "[[a.b]]", ""] {
            assert_eq!(Mark::find(body.as_bytes()), None, "{body}");
        }
    }
}
