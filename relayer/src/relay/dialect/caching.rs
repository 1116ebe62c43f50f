//! What a request says about prompt caches, and so which cache writes its provider may bill as such.

use super::Dialect;
use crate::score::AskedWrites;
use serde_json::Value;
use steam_protocol::units::Tariff;

/// Without one of these there is no mark: the names, and escapes of letters that may spell them.
const HINTS: [&str; 7] = [
    "cache_control",
    "prompt_cache_breakpoint",
    "prompt_cache_options",
    "prompt_cache_retention",
    "\\u005",
    "\\u006",
    "\\u007",
];
/// Lifetimes that are the longer one.
const LONGER: [&str; 3] = ["1h", "12h", "24h"];

/// The cache writes that a provider may bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheWrites {
    /// None.
    None,
    /// Those of the shorter lifetime that nobody asked for and that cost little more than other input.
    Unasked,
    /// Those of the shorter lifetime.
    Short,
    /// Those of either lifetime.
    Any,
}

/// The marks of prompt caching in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheMarks {
    marked: bool,
    longer: bool,
    /// OpenAI: in the mode `explicit` nothing is cached but what ends at a breakpoint.
    explicit: bool,
}

impl CacheMarks {
    /// Looks for them in the JSON of a request.
    pub fn of(body: &str) -> Self {
        let mut marks = Self::default();
        if HINTS.iter().any(|hint| body.contains(hint))
            && let Ok(body) = serde_json::from_str::<Value>(body)
        {
            marks.look(&body);
            let given = |name: &str| body.get(name).filter(|value| !value.is_null());
            if let Some(retention) = given("prompt_cache_retention") {
                marks.mark(retention);
            }
            if let Some(options) = given("prompt_cache_options") {
                marks.explicit = options["mode"] == "explicit";
                if !marks.explicit {
                    marks.mark(&options["ttl"]);
                }
            }
        }
        marks
    }

    /// Looks for what marks a part of a prompt, at any depth.
    fn look(&mut self, value: &Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.look(value)),
            Value::Object(members) => {
                for (name, value) in members {
                    match name.as_str() {
                        // A tool's schema may have a property of that name.
                        "cache_control" if value["type"] == "ephemeral" => self.mark(&value["ttl"]),
                        "prompt_cache_breakpoint" if !value.is_null() => self.mark(&value["ttl"]),
                        _ => self.look(value),
                    }
                }
            }
            _ => {}
        }
    }

    fn mark(&mut self, lifetime: &Value) {
        self.marked = true;
        self.longer |= lifetime.as_str().is_some_and(|lifetime| LONGER.contains(&lifetime));
    }

    /// The cache writes that the request itself asks for.
    pub fn asked(self) -> AskedWrites {
        match (self.marked, self.longer) {
            (true, true) => AskedWrites::Any,
            (true, false) => AskedWrites::Short,
            (false, _) => AskedWrites::None,
        }
    }

    /// What a provider that was asked in `dialect` may bill as written.
    pub fn writes(self, dialect: &dyn Dialect) -> CacheWrites {
        match self.asked() {
            AskedWrites::Any => CacheWrites::Any,
            AskedWrites::Short => CacheWrites::Short,
            AskedWrites::None if dialect.caches_unasked() && !self.explicit => CacheWrites::Unasked,
            AskedWrites::None => CacheWrites::None,
        }
    }

    /// The same, where a token of the prompt may cost at most `most` at this price: of writes that nobody asked for, no choice
    /// of an offer was made.
    pub fn writes_within(self, dialect: &dyn Dialect, price: &Tariff, most: Option<u64>) -> CacheWrites {
        let highest = price.standard.cache_write.max(price.long.cache_write);
        match self.writes(dialect) {
            CacheWrites::Unasked if most.is_some_and(|most| highest > most) => CacheWrites::None,
            writes => writes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{chat::Chat, messages::Messages};
    use super::*;

    #[test]
    fn writes_that_nobody_asked_for_cost_no_more_than_the_prompt_may() {
        use steam_protocol::units::Price;
        let price = Price { cache_write: 2_000_000, ..Price::basic(1_000_000, 100_000, 1_000_000, 0) }.into();
        let (plain, marked) = (CacheMarks::of("{}"), CacheMarks::of(r#"{"prompt_cache_retention":"5m"}"#));
        for (marks, most, writes) in [
            (plain, None, CacheWrites::Unasked),
            (plain, Some(2_000_000), CacheWrites::Unasked),
            (plain, Some(1_999_999), CacheWrites::None),
            (marked, Some(1_999_999), CacheWrites::Short),
        ] {
            assert_eq!(marks.writes_within(&Chat, &price, most), writes, "{most:?}");
        }
    }

    #[test]
    fn a_request_asks_for_cache_writes_by_its_marks_or_by_its_api() {
        use CacheWrites::{Any, None, Short, Unasked};
        for (body, chat, messages) in [
            (r#"{"messages":[{"content":"\"cache_control\" \"1h\""}]}"#, Unasked, None),
            (r#"{"ttl":"1h"}"#, Unasked, None),
            (r#"{"messages":[{"content":"cache_control"},{"content":"1h"}]}"#, Unasked, None),
            (r#"{"tools":[{"properties":{"cache_control":{"type":"string","enum":["1h"]}}}]}"#, Unasked, None),
            (r#"{"system":[{"cache\u005fcontrol":{"type":"ephemeral","ttl":"\u0031h"}}]}"#, Any, Any),
            (r#"{"system":[{"cache_control":{"type":"ephemeral"}}]}"#, Short, Short),
            (r#"{"system":[{"cache_control":{"type":"ephemeral","ttl":"1h"}}]}"#, Any, Any),
            (r#"{"prompt_cache_retention":"24h"}"#, Any, Any),
            (r#"{"prompt_cache_retention":null,"prompt_cache_options":null}"#, Unasked, None),
            (r#"{"prompt_cache_options":{"ttl":"30m"}}"#, Short, Short),
            (r#"{"prompt_cache_options":{"mode":"explicit"}}"#, None, None),
            (r#"{"prompt_cache_options":{"mode":"explicit"},"x":{"prompt_cache_breakpoint":{}}}"#, Short, Short),
        ] {
            let marks = CacheMarks::of(body);
            assert_eq!((marks.writes(&Chat), marks.writes(&Messages)), (chat, messages), "{body}");
        }
    }
}
