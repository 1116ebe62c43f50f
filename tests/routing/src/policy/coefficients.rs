//! The scorer's own settings, by the names they have in a decision's record.

use anyhow::{Context, Result};
use steam::score::Coefficients;

/// `base` with `changes` like `exploration=0.02`.
///
/// # Errors
/// Where a name or value does not fit.
pub fn with(base: Coefficients, changes: &[String]) -> Result<Coefficients> {
    let mut fields = serde_json::to_value(base)?;
    for change in changes {
        let (name, value) = change.split_once('=').with_context(|| format!("`{change}` is not like name=value"))?;
        let field = fields.get_mut(name).with_context(|| format!("there is no coefficient `{name}`"))?;
        *field = serde_json::from_str(value).with_context(|| format!("`{value}` is no number"))?;
    }
    serde_json::from_value(fields).context("a coefficient has a value it cannot have")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_by_name_and_anything_else_says_what_is_wrong() {
        let changed = with(Coefficients::default(), &["memory=7".into()]).expect("exists");
        assert_eq!(changed, Coefficients { memory: 7.0, ..Coefficients::default() });
        for (change, complaint) in [("memory", "name=value"), ("magic=1", "no coefficient"), ("memory=x", "number")] {
            let error = format!("{:#}", with(Coefficients::default(), &[change.into()]).expect_err("refused"));
            assert!(error.contains(complaint), "{error}");
        }
    }
}
