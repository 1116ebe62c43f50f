//! How long prompts and answers have lately been, all models together: probes are as long. Nothing else is kept of them.

use super::sketch::Sketch;

/// Requests after which those before the last as many are forgotten.
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

    /// Tokens that a share `q` of recent prompts does not exceed; nothing without traffic.
    pub fn input(&self, q: f64) -> Option<f64> {
        self.quantile(0, q)
    }

    /// Tokens that a share `q` of recent answers does not exceed; nothing without traffic.
    pub fn output(&self, q: f64) -> Option<f64> {
        self.quantile(1, q)
    }

    fn quantile(&self, which: usize, q: f64) -> Option<f64> {
        let mut sum = self.past[which].clone();
        sum.merge(&self.present[which]);
        sum.quantile(q)
    }
}
