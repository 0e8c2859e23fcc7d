//! How long to wait after a failure, with random parts that keep nodes out of step.
//!
//! Written here because the crate `backon` repeats one call, and here the next write need not be the one
//! that failed.

use std::time::Duration;

/// The pause after the first failure; doubled after each further one.
const FIRST: Duration = Duration::from_millis(500);

/// The longest pause. After an outage of the API server, a fleet comes back spread over this time.
const LONGEST: Duration = Duration::from_secs(30);

/// The longest pause that a server's Retry-After can ask for.
const LONGEST_ASKED: Duration = Duration::from_mins(5);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure: exponential, its upper half random, and never shorter than
    /// the server asked for.
    pub(super) fn pause(&mut self, asked: Option<Duration>, random: f64) -> Duration {
        let full = FIRST
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let own = full.mul_f64(0.5 + random / 2.0);
        // All clients are asked to wait for the same time, so wait a little longer.
        let asked = asked.map(|asked| asked.min(LONGEST_ASKED).mul_f64(1.0 + random / 5.0));
        own.max(asked.unwrap_or_default())
    }

    /// Something succeeded.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// `span` ±20 %.
pub(super) fn jittered(span: Duration, random: f64) -> Duration {
    span.mul_f64(0.8 + 0.4 * random)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, jittered};

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..9)
            .map(|_| backoff.pause(None, 1.0).as_millis())
            .collect();
        assert_eq!(
            pauses,
            [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]
        );
        assert_eq!(backoff.pause(None, 0.0), Duration::from_secs(15));
        backoff.reset();
        assert_eq!(backoff.pause(None, 0.0), Duration::from_millis(250));
    }

    #[test]
    fn the_server_may_ask_for_more() {
        let mut backoff = Backoff::default();
        let asked = |secs| Some(Duration::from_secs(secs));
        assert_eq!(backoff.pause(asked(7), 0.0), Duration::from_secs(7));
        assert_eq!(backoff.pause(asked(10), 1.0), Duration::from_secs(12));
        assert_eq!(backoff.pause(asked(86_400), 0.0), Duration::from_mins(5));
        assert_eq!(
            backoff.pause(asked(0), 1.0),
            Duration::from_secs(4),
            "and not for less"
        );
    }

    #[test]
    fn chance_stays_within_a_fifth() {
        let minute = Duration::from_mins(1);
        assert_eq!(jittered(minute, 0.0), Duration::from_secs(48));
        assert_eq!(jittered(minute, 1.0), Duration::from_secs(72));
    }
}
