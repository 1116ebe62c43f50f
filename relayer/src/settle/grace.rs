//! Whether what is sold can be settled at the price it was sold at: the longest request, the pause between two settlements, a
//! pause of the program and finality must fit the grace of a replaced price.

use crate::config::Config;
use std::time::Duration;
use steam_router::state::Delays;

/// Until a settlement is final, with time to sign and send it again.
const FINALITY: Duration = Duration::from_secs(30);

/// Why charges could outlive the grace of their price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a charge may take {} s to settle, and the program's price grace is {} s: the longest request ({} s), \
     settle.interval_ms and settle.dust_seconds ({} s), a pause of the program ({} s) and finality ({} s) must be shorter together",
    needed.as_secs(), grace.as_secs(), request.as_secs(), interval.as_secs(), pause.as_secs(), FINALITY.as_secs()
)]
pub struct GraceTooShort {
    needed: Duration,
    grace: Duration,
    request: Duration,
    interval: Duration,
    pause: Duration,
}

/// Checks that every charge settles within the grace of its price. A local network has delays of seconds and is not checked.
///
/// # Errors
/// [`GraceTooShort`].
pub fn check(config: &Config, delays: &Delays) -> Result<(), GraceTooShort> {
    if config.upstream.localnet {
        return Ok(());
    }
    let upstream = &config.upstream;
    let longest = upstream.total_timeout_ms_of.values().copied().fold(upstream.total_timeout_ms, u64::max);
    let request = Duration::from_millis(longest);
    let dust = Duration::from_secs(config.settle.dust_seconds);
    let interval = Duration::from_millis(config.settle.interval_ms).saturating_add(dust);
    let pause = Duration::from_secs(delays.max_pause.seconds.into());
    let grace = Duration::from_secs(delays.price_grace.seconds.into());
    let needed = request.saturating_add(interval).saturating_add(pause).saturating_add(FINALITY);
    if needed < grace { Ok(()) } else { Err(GraceTooShort { needed, grace, request, interval, pause }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steam_router::state::Delay;

    /// Delays as `steam admin init` has them by default.
    fn delays(price_grace: u32) -> Delays {
        let delay = |seconds| Delay { seconds, slots: seconds * 5 };
        Delays {
            settle_interval: delay(60),
            max_pause: delay(1_800),
            price_grace: delay(price_grace),
            revoke_grace: delay(2_700),
            withdraw_delay: delay(3_600),
            price_notice: delay(600),
            fee_notice: delay(86_400),
        }
    }

    #[test]
    fn the_longest_request_a_pause_and_a_settlement_fit_the_grace() {
        let mut config = Config::default();
        // 600 s of request, 180 s of waiting for more and 60 s to the next settlement, 1,800 s of pause, 30 s to finality.
        check(&config, &delays(2_671)).unwrap();
        let error = check(&config, &delays(2_670)).unwrap_err();
        assert!(
            error.to_string().contains("may take 2670 s to settle, and the program's price grace is 2670 s"),
            "{error}"
        );
        config.upstream.total_timeout_ms_of.insert("slow".into(), 601_000);
        assert!(check(&config, &delays(2_671)).is_err());
        check(&config, &delays(2_672)).unwrap();
        config.settle.interval_ms += 1_000;
        assert!(check(&config, &delays(2_672)).is_err());
        config.upstream.localnet = true;
        check(&config, &delays(1)).unwrap();
    }
}
