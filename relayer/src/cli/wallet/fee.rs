//! What a compute unit's price comes to.

/// Compute units that the cluster sets aside for an instruction.
pub const UNITS_EACH: u32 = 200_000;

/// Lamports that so many compute units cost at a price in micro-lamports.
pub fn priority_fee(price: u64, units: u32) -> u128 {
    (u128::from(price) * u128::from(units)).div_ceil(1_000_000)
}

/// Lamports in SOL.
pub fn sol(lamports: u128) -> String {
    let (whole, rest) = (lamports / 1_000_000_000, lamports % 1_000_000_000);
    let text = format!("{whole}.{rest:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_rounded_up_to_lamports() {
        assert_eq!((priority_fee(10_000, UNITS_EACH), priority_fee(1, 1), priority_fee(0, 1)), (2_000, 1, 0));
        assert_eq!([0, 1, 10_000_000, 2_000_000_000].map(sol), ["0", "0.000000001", "0.01", "2"]);
    }
}
