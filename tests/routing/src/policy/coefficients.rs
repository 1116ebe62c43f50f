//! The scorer's own settings, by the names they have in a decision's record.

use super::Spec;
use anyhow::{Context, Result};
use steam::score::Coefficients;

/// `base` with `changes` like `exponent=4`.
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

/// Values of each coefficient that are searched.
const VALUES: &[(&str, &[f64])] = &[
    ("exponent", &[4.0, 8.0, 16.0, 20.0, 30.0]),
    ("quantile", &[0.5, 0.6]),
    ("exploration", &[0.0, 0.01, 0.02, 0.05]),
    ("near", &[0.02, 0.05, 0.1, 0.2]),
    ("hysteresis", &[0.0, 0.02, 0.05]),
    ("probe_share", &[0.01, 0.03, 0.05]),
    ("sticky_hits", &[0.5, 0.8]),
];

/// The defaults, every change of one coefficient and every change of two.
///
/// # Errors
/// Where a searched coefficient is gone.
pub fn grid() -> Result<Vec<Spec>> {
    let singles: Vec<(usize, String)> = VALUES
        .iter()
        .enumerate()
        .flat_map(|(place, (name, values))| values.iter().map(move |value| (place, format!("{name}={value}"))))
        .collect();
    let pairs = singles.iter().flat_map(|(place, one)| {
        singles.iter().filter(move |(other, _)| other > place).map(move |(_, other)| vec![one.clone(), other.clone()])
    });
    let changes = std::iter::once(Vec::new()).chain(singles.iter().map(|(_, one)| vec![one.clone()])).chain(pairs);
    changes.map(|changes| Ok(Spec::Steam(with(Coefficients::default(), &changes)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_by_name_and_anything_else_says_what_is_wrong() {
        let changed = with(Coefficients::default(), &["exponent=7".into()]).expect("exists");
        assert_eq!(changed, Coefficients { exponent: 7.0, ..Coefficients::default() });
        for (change, complaint) in [("exponent", "name=value"), ("magic=1", "no coefficient"), ("exponent=x", "number")]
        {
            let error = format!("{:#}", with(Coefficients::default(), &[change.into()]).expect_err("refused"));
            assert!(error.contains(complaint), "{error}");
        }
    }

    #[test]
    fn the_grid_begins_with_the_defaults() {
        let grid = grid().expect("all coefficients exist");
        assert!(matches!(grid[0], Spec::Steam(first) if first == Coefficients::default()));
    }
}
