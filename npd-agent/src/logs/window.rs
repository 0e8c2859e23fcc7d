//! Which part of a log counts.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// From when on entries count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadWindow {
    /// How far back from the start of the monitor, in nanoseconds; may be negative, as in Go.
    pub(crate) lookback: i64,
    /// How long after boot nothing counts, in nanoseconds.
    pub(crate) delay: i64,
}

impl ReadWindow {
    /// The window of a monitor that goes on where it stopped: nothing since the boot is too old.
    pub(crate) fn resumed(self) -> Self {
        Self {
            lookback: i64::MAX,
            ..self
        }
    }

    /// From when on entries count, as time since boot, for a monitor that starts at `uptime`.
    /// An entry of exactly that time does.
    pub(crate) fn start(self, uptime: Duration) -> Duration {
        let uptime = i64::try_from(uptime.as_nanos()).unwrap_or(i64::MAX);
        let start = self.delay.max(uptime.saturating_sub(self.lookback));
        Duration::from_nanos(u64::try_from(start).unwrap_or(0))
    }
}

impl ReadWindow {
    /// From when on entries count, by the wall clock as it is set now.
    pub(crate) fn start_time(self, now: Timestamp, uptime: Duration) -> Timestamp {
        let signed = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        let ago = signed(uptime).saturating_sub(signed(self.start(uptime)));
        now.checked_sub(ago).unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_start(lookback: i64, delay: i64, uptime: u64, expect: u64) {
        let second = 1_000_000_000;
        let window = ReadWindow {
            lookback: lookback * second,
            delay: delay * second,
        };
        assert_eq!(
            window.start(Duration::from_secs(uptime)),
            Duration::from_secs(expect)
        );
    }

    #[test]
    fn entries_count_from_the_lookback_but_not_from_before_the_delay() {
        check_start(0, 0, 1000, 1000);
        check_start(300, 0, 1000, 700);
        check_start(300, 0, 100, 0);
        check_start(300, 60, 100, 60);
        check_start(300, 60, 1000, 700);
        check_start(0, 60, 10, 60);
        check_start(-5, 0, 10, 15);
    }
}
