//! What a report says of a transaction that was sent: its signature, and what a place before others cost.

use serde::{Serialize, Serializer};
use solana_signature::Signature;
use std::fmt;

/// What is paid for a place before others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PriorityFee {
    /// Lamports in all.
    #[serde(serialize_with = "text")]
    pub lamports: u128,
    /// Micro-lamports a compute unit.
    #[serde(serialize_with = "text")]
    pub micro_lamports_per_unit: u64,
    /// Compute units that are paid for.
    pub units: u32,
}

/// A transaction that was confirmed; flattened into a report, it is its `signature` and its `priority_fee`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sent {
    #[serde(serialize_with = "text")]
    signature: Signature,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority_fee: Option<PriorityFee>,
}

impl Sent {
    /// A transaction with this signature, for whose place so much was paid.
    pub fn new(signature: Signature, priority_fee: Option<PriorityFee>) -> Self {
        Self { signature, priority_fee }
    }

    /// What was paid for its place, if anything was.
    pub fn priority_fee(&self) -> Option<&PriorityFee> {
        self.priority_fee.as_ref()
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.signature.fmt(f)
    }
}

/// A transaction that may not have been needed: then its `signature` is null.
pub fn or_null<S: Serializer>(sent: &Option<Sent>, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct None {
        signature: (),
    }
    match sent {
        Some(sent) => sent.serialize(to),
        Option::None => None { signature: () }.serialize(to),
    }
}

fn text<S: Serializer>(value: &impl fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Serialize)]
    struct Report {
        #[serde(flatten, serialize_with = "or_null")]
        sent: Option<Sent>,
    }

    #[test]
    fn a_report_has_the_signature_and_what_the_place_cost_if_it_cost_anything() {
        let signature = Signature::from([1; 64]);
        let of = |sent| serde_json::to_value(Report { sent }).unwrap();
        assert_eq!(of(None), json!({"signature": null}));
        assert_eq!(of(Some(Sent::new(signature, None))), json!({"signature": signature.to_string()}));
        let fee = PriorityFee { lamports: 2_000, micro_lamports_per_unit: 10_000, units: 200_000 };
        let told = of(Some(Sent::new(signature, Some(fee))));
        let expected = json!({"lamports": "2000", "micro_lamports_per_unit": "10000", "units": 200_000});
        assert_eq!(told["priority_fee"], expected);
    }
}
