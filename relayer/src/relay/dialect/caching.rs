//! What a request says about prompt caches, and so which cache writes its provider may bill as such.

use super::Dialect;

/// Members by which clients of one API or another mark what is to be cached, or for how long.
const MARKS: [&str; 4] =
    ["\"cache_control\"", "\"prompt_cache_breakpoint\"", "\"prompt_cache_options\"", "\"prompt_cache_retention\""];
/// Lifetimes that are the longer one.
const LONGER: [&str; 3] = ["\"1h\"", "\"12h\"", "\"24h\""];

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheMarks {
    marked: bool,
    longer: bool,
    declined: bool,
}

impl CacheMarks {
    /// Looks for them in the JSON of a request. In its texts, the quotes of a name would be escaped.
    pub fn of(body: &str) -> Self {
        let has = |name: &&str| body.contains(*name);
        Self {
            marked: MARKS.iter().any(has),
            longer: LONGER.iter().any(has),
            // OpenAI: in the mode `explicit` nothing is cached but what ends at a breakpoint.
            declined: ["\"prompt_cache_options\"", "\"explicit\""].iter().all(has)
                && !["\"cache_control\"", "\"prompt_cache_breakpoint\""].iter().any(has),
        }
    }

    /// What a provider that was asked in `dialect` may bill as written.
    pub fn writes(self, dialect: &dyn Dialect) -> CacheWrites {
        match self {
            Self { declined: true, .. } => CacheWrites::None,
            Self { marked: true, longer: true, .. } => CacheWrites::Any,
            Self { marked: true, .. } => CacheWrites::Short,
            Self { .. } if dialect.caches_unasked() => CacheWrites::Unasked,
            Self { .. } => CacheWrites::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{chat::Chat, messages::Messages};
    use super::*;

    #[test]
    fn a_request_asks_for_cache_writes_by_its_marks_or_by_its_api() {
        use CacheWrites::{Any, None, Short, Unasked};
        for (body, chat, messages) in [
            (r#"{"messages":[{"content":"\"cache_control\" \"1h\""}]}"#, Unasked, None),
            (r#"{"ttl":"1h"}"#, Unasked, None),
            (r#"{"system":[{"cache_control":{"type":"ephemeral"}}]}"#, Short, Short),
            (r#"{"system":[{"cache_control":{"type":"ephemeral","ttl":"1h"}}]}"#, Any, Any),
            (r#"{"prompt_cache_retention":"24h"}"#, Any, Any),
            (r#"{"prompt_cache_options":{"ttl":"30m"}}"#, Short, Short),
            (r#"{"prompt_cache_options":{"mode":"explicit"}}"#, None, None),
            (r#"{"prompt_cache_options":{"mode":"explicit"},"x":{"prompt_cache_breakpoint":{}}}"#, Short, Short),
        ] {
            let marks = CacheMarks::of(body);
            assert_eq!((marks.writes(&Chat), marks.writes(&Messages)), (chat, messages), "{body}");
        }
    }
}
