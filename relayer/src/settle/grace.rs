//! Whether what is sold can be settled at the price it was sold at: the longest request, the pause between two settlements, a
//! pause of the program and finality must fit the grace of a replaced price. Dust waits while its price holds, and what is left
//! of the grace once it was replaced.

use crate::config::Config;
use std::time::Duration;
use steam_router::state::Delays;

/// Until a settlement is final, with time to sign and send it again.
const FINALITY: Duration = Duration::from_secs(30);

/// Until all nodes say that a price was replaced.
const NOTICED: Duration = Duration::from_secs(120);

/// Why charges could outlive the grace of their price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a charge may take {} s to settle, and the program's price grace is {} s: the longest request ({} s), \
     settle.interval_ms ({} s), a pause of the program ({} s) and finality ({} s) must be shorter together",
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
/// Returns how long what was charged before may still wait after its price was replaced.
///
/// # Errors
/// [`GraceTooShort`].
pub fn check(config: &Config, delays: &Delays) -> Result<Duration, GraceTooShort> {
    if config.upstream.localnet {
        return Ok(Duration::ZERO);
    }
    let upstream = &config.upstream;
    let longest = upstream.total_timeout_ms_of.values().copied().fold(upstream.total_timeout_ms, u64::max);
    let request = Duration::from_millis(longest);
    let interval = Duration::from_millis(config.settle.interval_ms);
    let pause = Duration::from_secs(delays.max_pause.seconds.into());
    let grace = Duration::from_secs(delays.price_grace.seconds.into());
    let settling = interval.saturating_add(pause).saturating_add(FINALITY);
    let needed = request.saturating_add(settling);
    if needed >= grace {
        return Err(GraceTooShort { needed, grace, request, interval, pause });
    }
    Ok(grace.saturating_sub(settling).saturating_sub(NOTICED))
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
        // 600 s of request, 60 s to the next settlement, 1,800 s of pause, 30 s to finality.
        check(&config, &delays(2_491)).unwrap();
        let error = check(&config, &delays(2_490)).unwrap_err();
        assert!(
            error.to_string().contains("may take 2490 s to settle, and the program's price grace is 2490 s"),
            "{error}"
        );
        config.upstream.total_timeout_ms_of.insert("slow".into(), 601_000);
        assert!(check(&config, &delays(2_491)).is_err());
        check(&config, &delays(2_492)).unwrap();
        config.settle.interval_ms += 1_000;
        assert!(check(&config, &delays(2_492)).is_err());
        config.upstream.localnet = true;
        assert_eq!(check(&config, &delays(1)), Ok(Duration::ZERO));
    }

    #[test]
    fn dust_waits_for_what_is_left_of_the_grace() {
        // Of 2,700 s what a settlement takes goes off, and 120 s until the nodes have told.
        let waits = check(&Config::default(), &delays(2_700)).unwrap();
        assert_eq!(waits, Duration::from_secs(2_700 - 60 - 1_800 - 30 - 120));
    }
}
