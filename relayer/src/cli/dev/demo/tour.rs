//! What the tour says: numbered steps, aligned lines, and in the end a table of what held.

use super::super::say;
use anyhow::{Result, ensure};
use std::fmt::{Display, Write};
use std::time::Instant;

/// A tour under way.
pub(super) struct Tour {
    steps: usize,
    step: usize,
    checks: usize,
    began: Instant,
    held: Vec<(&'static str, String)>,
}

impl Tour {
    pub(super) fn begin(steps: usize) -> Self {
        say("\nA tour of Steam Router. Providers are simulated; network, program, receipts and settlement are real.\n");
        Self { steps, step: 0, checks: 0, began: Instant::now(), held: Vec::new() }
    }

    /// Begins the next step.
    pub(super) fn step(&mut self, title: &str) {
        self.step += 1;
        say(&format!("\n{} of {}  {title}\n", self.step, self.steps));
    }

    /// Says something about it.
    pub(super) fn line(&mut self, name: &str, value: impl Display) {
        say(&format!("        {name:<13} {value}\n"));
    }

    /// Checks a promise.
    pub(super) fn check(&mut self, holds: bool, promise: &str) -> Result<()> {
        self.checks += 1;
        if !holds {
            say(&format!("  ✗     {promise}\n"));
        }
        ensure!(holds, "promise broken: {promise}");
        Ok(())
    }

    /// Ends a step: what it has shown.
    pub(super) fn held(&mut self, what: &'static str, how: impl Into<String>) {
        let how = how.into();
        say(&format!("  ✓     {how}\n"));
        self.held.push((what, how));
    }

    /// Ends the tour.
    pub(super) fn end(self) {
        let mut text = String::from("\nSummary\n");
        // Writing to a String cannot fail.
        for (what, how) in &self.held {
            let _ = writeln!(text, "  ✓ {what:<16} {how}");
        }
        let seconds = self.began.elapsed().as_secs_f64();
        let _ = writeln!(text, "{} checks in {seconds:.1} s\ndemo: everything held", self.checks);
        say(&text);
    }
}
