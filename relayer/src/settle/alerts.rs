//! What a person must be told of settlement, under names that do not change: in the log when it begins and when it ends,
//! in `/metrics` as long as it lasts.

use crate::config::AlertConfig;
use serde::Serialize;

/// Every name an alert can have.
pub const NAMES: [&str; 8] = [
    "unsettled_age",
    "backlog",
    "skipped_groups",
    "set_aside",
    "halted_vaults",
    "fee_spend",
    "settler_balance",
    "rpc_node",
];

/// Where settlement stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Age of the oldest charge that is not settled.
    pub oldest_unsettled_seconds: Option<u64>,
    /// Receipts that are not settled.
    pub unsettled_receipts: u64,
    /// Groups that the program skipped and that wait for their vault.
    pub skipped_groups: u64,
    /// Incidents that wait for a person's decision.
    pub set_aside: u64,
    /// Vaults whose chain is not this ledger's.
    pub halted_vaults: u64,
    /// Lamports that settlements cost in the last day.
    pub fees_of_day: u64,
    /// The settler's lamports, if a node told them.
    pub settler_lamports: Option<u64>,
    /// The finalized height of each node, if it answered.
    pub heights: Vec<Option<u64>>,
}

impl Facts {
    /// What is known of two partitions of a ledger together. Nodes and the settler are the same for both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            oldest_unsettled_seconds: self.oldest_unsettled_seconds.max(other.oldest_unsettled_seconds),
            unsettled_receipts: self.unsettled_receipts + other.unsettled_receipts,
            skipped_groups: self.skipped_groups + other.skipped_groups,
            set_aside: self.set_aside + other.set_aside,
            halted_vaults: self.halted_vaults + other.halted_vaults,
            fees_of_day: self.fees_of_day + other.fees_of_day,
            settler_lamports: self.settler_lamports.or(other.settler_lamports),
            heights: if self.heights.is_empty() { other.heights } else { self.heights },
        }
    }
}

/// Something that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// One of [`NAMES`].
    pub name: &'static str,
    /// What is the matter and what helps.
    pub message: String,
}

/// The alerts that `facts` give reason for.
pub fn of(facts: &Facts, config: &AlertConfig) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let mut alert = |name, message| alerts.push(Alert { name, message });
    if let Some(age) = facts.oldest_unsettled_seconds.filter(|age| *age > config.unsettled_seconds) {
        alert("unsettled_age", format!("a charge has waited {age} s for its settlement; after the grace it is lost"));
    }
    if facts.unsettled_receipts > config.unsettled_receipts {
        alert("backlog", format!("{} receipts are not settled", facts.unsettled_receipts));
    }
    if facts.skipped_groups > 0 {
        let count = facts.skipped_groups;
        alert("skipped_groups", format!("{count} groups wait because their vault is frozen or holds too little"));
    }
    if facts.set_aside > 0 {
        alert(
            "set_aside",
            format!("charges were set aside {} times: `steam ledger resolve` shows them", facts.set_aside),
        );
    }
    if facts.halted_vaults > 0 {
        alert("halted_vaults", format!("{} vaults are halted until they are reconciled", facts.halted_vaults));
    }
    if facts.fees_of_day > config.fees_per_day {
        alert("fee_spend", format!("settlements cost {} lamports within a day", facts.fees_of_day));
    }
    if let Some(left) = facts.settler_lamports.filter(|left| *left < config.settler_lamports) {
        alert("settler_balance", format!("the settler has {left} lamports left: send it SOL"));
    }
    let best = facts.heights.iter().flatten().max();
    for (at, height) in facts.heights.iter().enumerate() {
        match (height, best) {
            (None, _) => alert("rpc_node", format!("node {} of chain.rpc_urls does not answer", at + 1)),
            (Some(height), Some(best)) if best - height > config.node_lag_blocks => {
                alert("rpc_node", format!("node {} of chain.rpc_urls is {} blocks behind", at + 1, best - height));
            }
            _ => {}
        }
    }
    alerts
}

#[cfg(test)]
mod tests {
    use super::*;

    type Happens = fn(&mut Facts);

    /// The names of the alerts that `facts` give reason for.
    fn told(facts: Facts) -> Vec<&'static str> {
        of(&facts, &AlertConfig::default()).into_iter().map(|alert| alert.name).collect()
    }

    #[test]
    fn what_is_known_of_two_partitions_is_their_sum_and_the_worse_of_both() {
        let one = Facts {
            oldest_unsettled_seconds: None,
            unsettled_receipts: 1,
            skipped_groups: 2,
            set_aside: 3,
            halted_vaults: 4,
            fees_of_day: 5,
            settler_lamports: Some(6),
            heights: vec![Some(7)],
        };
        let two = Facts { oldest_unsettled_seconds: Some(9), ..one.clone() };
        let both = Facts {
            oldest_unsettled_seconds: Some(9),
            unsettled_receipts: 2,
            skipped_groups: 4,
            set_aside: 6,
            halted_vaults: 8,
            fees_of_day: 10,
            ..one.clone()
        };
        assert_eq!(one.clone().and(two.clone()), both);
        assert_eq!(two.and(one), both);
    }

    #[test]
    fn a_person_is_told_of_each_trouble_by_its_name_and_of_nothing_else() {
        let limits = AlertConfig::default();
        let fine = Facts {
            oldest_unsettled_seconds: Some(limits.unsettled_seconds),
            unsettled_receipts: limits.unsettled_receipts,
            fees_of_day: limits.fees_per_day,
            settler_lamports: Some(limits.settler_lamports),
            heights: vec![Some(1_000), Some(1_000 - limits.node_lag_blocks)],
            ..Facts::default()
        };
        assert!(told(fine.clone()).is_empty());
        let troubles: [(&str, Happens); 9] = [
            ("unsettled_age", |facts| {
                facts.oldest_unsettled_seconds = facts.oldest_unsettled_seconds.map(|age| age + 1)
            }),
            ("backlog", |facts| facts.unsettled_receipts += 1),
            ("skipped_groups", |facts| facts.skipped_groups = 1),
            ("set_aside", |facts| facts.set_aside = 1),
            ("halted_vaults", |facts| facts.halted_vaults = 1),
            ("fee_spend", |facts| facts.fees_of_day += 1),
            ("settler_balance", |facts| facts.settler_lamports = facts.settler_lamports.map(|left| left - 1)),
            ("rpc_node", |facts| facts.heights[1] = None),
            ("rpc_node", |facts| facts.heights[0] = Some(1_001)),
        ];
        for (name, happens) in troubles {
            let mut facts = fine.clone();
            happens(&mut facts);
            assert_eq!(told(facts), [name]);
        }
        assert!(NAMES.iter().all(|name| troubles.iter().any(|(told, _)| told == name)));
    }
}
