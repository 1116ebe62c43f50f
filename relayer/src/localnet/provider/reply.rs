//! An answer about to be given, and the form in which it is written.

use super::answer::{Choice, Head, Usage};
use super::behaviour::Pace;
use tokio::time::Instant;

/// The API of a request, and so the form of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Chat completions.
    Chat,
    /// Text completions.
    Text,
    /// Anthropic's messages.
    Messages,
}

/// An answer about to be given.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) form: Form,
    /// Whether it shows thoughts.
    pub(super) thinks: bool,
    pub(super) head: Head,
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Usage,
    pub(super) pace: Pace,
    pub(super) began: Instant,
}
