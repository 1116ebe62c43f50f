//! The counts, as they are committed and as they were measured now.

use anyhow::{Result, bail};
use std::path::Path;

/// How far a count may be from the committed one, in per cent, before the check fails.
pub const TOLERANCE: f64 = 3.0;
const HEAD: &str = "# Instructions a request costs the relayer, by\n# `cargo bench --profile production -p steam --no-default-features --bench instructions`.\n";

/// Names with instructions a request.
#[derive(Default)]
pub struct Counts(Vec<(String, u64)>);

impl Counts {
    /// Adds what was counted, and shows it.
    pub fn add(&mut self, name: &str, instructions: u64) {
        println!("{name:<26} {instructions:>10}");
        self.0.push((name.into(), instructions));
    }

    /// Compares with what is committed, one line each.
    ///
    /// # Errors
    /// If a count differs by more than [`TOLERANCE`], or is not committed.
    pub fn check(&self) -> Result<()> {
        let committed = Self::committed()?;
        println!("{:<26} {:>10} {:>10}   change", "case", "committed", "measured");
        let mut wrong = Vec::new();
        for (name, measured) in &self.0 {
            let Some((_, before)) = committed.0.iter().find(|(committed, _)| committed == name) else {
                bail!("{name} is not in counts.txt: run the bench without --check and commit the file");
            };
            let change = 100.0 * (*measured as f64 / *before as f64 - 1.0);
            println!("{name:<26} {before:>10} {measured:>10}   {change:+.2} %");
            if change.abs() > TOLERANCE {
                wrong.push(name.as_str());
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        bail!(
            "the instructions of {} changed by more than {TOLERANCE} %: mend what made a request dearer, or run the bench \
             without --check and commit counts.txt with the reason",
            wrong.join(", ")
        )
    }

    /// Writes what was counted in place of what is committed; a case that was not counted stays.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn write(self) -> Result<()> {
        let mut all = if Self::path().exists() { Self::committed()? } else { Self::default() };
        for (name, instructions) in self.0 {
            match all.0.iter_mut().find(|(committed, _)| *committed == name) {
                Some((_, before)) => *before = instructions,
                None => all.0.push((name, instructions)),
            }
        }
        let lines: String = all.0.iter().map(|(name, count)| format!("{name} {count}\n")).collect();
        Ok(std::fs::write(Self::path(), format!("{HEAD}{lines}"))?)
    }

    fn committed() -> Result<Self> {
        let mut counts = Self::default();
        for line in std::fs::read_to_string(Self::path())?.lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(' ').map(|(name, count)| (name, count.parse())) {
                Some((name, Ok(count))) => counts.0.push((name.into(), count)),
                _ => bail!("counts.txt: {line:?} is not a name and a number"),
            }
        }
        Ok(counts)
    }

    fn path() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/counts.txt"))
    }
}
