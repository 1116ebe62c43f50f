//! Lengths of recent prompts and answers, of all models together. Probes have the same lengths.

use super::sketch::Sketch;

/// Requests of a generation: the generation before the last one is forgotten.
const GENERATION: u64 = 4_096;

/// Lengths in tokens, of the present generation of requests and the one before.
#[derive(Clone, Debug, Default)]
pub struct Lengths {
    present: [Sketch; 2],
    past: [Sketch; 2],
}

impl Lengths {
    pub(super) fn add(&mut self, input: u64, output: u64) {
        if self.present[0].samples() >= GENERATION {
            self.past = std::mem::take(&mut self.present);
        }
        self.present[0].add(input as f64);
        self.present[1].add(output as f64);
    }

    /// Tokens that a share `q` of recent prompts does not exceed; `None` without traffic.
    pub fn input(&self, q: f64) -> Option<f64> {
        self.quantile(0, q)
    }

    /// Tokens that a share `q` of recent answers does not exceed; `None` without traffic.
    pub fn output(&self, q: f64) -> Option<f64> {
        self.quantile(1, q)
    }

    fn quantile(&self, which: usize, q: f64) -> Option<f64> {
        let mut sum = self.past[which].clone();
        sum.merge(&self.present[which]);
        sum.quantile(q)
    }
}
