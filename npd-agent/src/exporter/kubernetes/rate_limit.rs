//! `--kube-api-qps` and `--kube-api-burst`: a token bucket.
//!
//! Written here because it is a few lines, no more than the code to use the crate `governor`.

use std::time::{Duration, Instant};

/// Allows `burst` requests at once, and then `rate` per second.
#[derive(Debug)]
pub(super) struct RateLimit {
    rate: f64,
    burst: f64,
    /// The number of tokens; negative if somebody already waits.
    tokens: f64,
    filled: Instant,
}

impl RateLimit {
    /// A full bucket. `rate` and `burst` must be positive.
    pub(super) fn new(rate: f64, burst: f64, now: Instant) -> Self {
        Self {
            rate,
            burst,
            tokens: burst,
            filled: now,
        }
    }

    /// The bucket that client-go makes of these flags: 0 means its defaults, 5 a second and 10 at
    /// once; a negative rate means no limit.
    pub(super) fn from_flags(qps: f32, burst: i64, now: Instant) -> Option<Self> {
        let rate = if qps == 0.0 { 5.0 } else { f64::from(qps) };
        let burst = if burst <= 0 { 10.0 } else { burst as f64 };
        (rate > 0.0).then(|| Self::new(rate, burst, now))
    }

    /// When a token will be available. Does not take it.
    pub(super) fn ready_at(&self, now: Instant) -> Instant {
        let tokens = self.tokens_at(now);
        if tokens >= 1.0 {
            return now;
        }
        let missing = Duration::try_from_secs_f64((1.0 - tokens) / self.rate);
        now + missing
            .unwrap_or(Duration::MAX)
            .min(Duration::from_hours(1))
    }

    /// Takes a token, and returns when the caller may continue.
    pub(super) fn take(&mut self, now: Instant) -> Instant {
        let ready = self.ready_at(now);
        self.tokens = self.tokens_at(now) - 1.0;
        self.filled = now.max(self.filled);
        ready
    }

    fn tokens_at(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        (self.tokens + passed * self.rate).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::RateLimit;

    #[test]
    fn a_burst_passes_and_the_rest_is_paced() {
        let start = Instant::now();
        let mut rate_limit = RateLimit::new(2.0, 3.0, start);
        let waits: Vec<u128> = (0..6)
            .map(|_| (rate_limit.take(start) - start).as_millis())
            .collect();
        assert_eq!(waits, [0, 0, 0, 500, 1000, 1500]);
        let later = start + Duration::from_mins(1);
        let waits: Vec<u128> = (0..4)
            .map(|_| (rate_limit.take(later) - later).as_millis())
            .collect();
        assert_eq!(waits, [0, 0, 0, 500], "a pause fills it to the burst only");
    }

    #[test]
    fn flags_mean_what_client_go_makes_of_them() {
        let now = Instant::now();
        assert!(RateLimit::from_flags(-1.0, 10, now).is_none());
        assert!(RateLimit::from_flags(f32::NAN, 10, now).is_none());
        let rate_limit = RateLimit::from_flags(0.0, 0, now).unwrap();
        assert_eq!((rate_limit.rate, rate_limit.burst), (5.0, 10.0));
    }
}
