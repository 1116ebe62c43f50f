//! Score.
/// Scorer.
#[derive(Debug)]
pub struct Scorer;
