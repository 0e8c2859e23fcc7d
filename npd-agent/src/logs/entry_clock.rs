//! What the times of a log's entries say when someone sets the wall clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::window::ReadWindow;
use crate::node::clock::ClockReading;

/// Translates between the wall clock, whose times are in the entries of a log, and the monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EntryClock {
    /// When everything was read last. What is read next was written later, whatever its time.
    caught_up: Option<Duration>,
}

impl EntryClock {
    /// Everything is read that was written before `now`.
    pub(crate) fn catch_up(&mut self, now: ClockReading) {
        self.caught_up = Some(now.monotonic);
    }

    /// When an entry was written whose time is `wall`, and that is read `now`.
    pub(crate) fn written(&self, wall: Timestamp, now: ClockReading) -> ClockReading {
        let age = Duration::try_from(now.wall.duration_since(wall)).unwrap_or_default();
        let earliest = self.caught_up.unwrap_or_default();
        let monotonic = now.monotonic.saturating_sub(age).max(earliest);
        ClockReading { wall, monotonic }
    }
}

/// From when on entries count, by the wall clock. It goes back with a clock that is set back, so that
/// what is written after that counts too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedFrom {
    start: Timestamp,
    /// When this was made, and how long before that `start` is.
    made: Duration,
    ago: SignedDuration,
}

impl CountedFrom {
    /// For a monitor with this window that starts `now`, and `uptime` after boot.
    pub(crate) fn new(window: ReadWindow, now: ClockReading, uptime: Duration) -> Self {
        let start = window.start_time(now.wall, uptime);
        Self {
            start,
            made: now.monotonic,
            ago: now.wall.duration_since(start),
        }
    }

    /// From when on entries count that are read `now`.
    pub(crate) fn at(&mut self, now: ClockReading) -> Timestamp {
        let since = now.monotonic.saturating_sub(self.made);
        let since = SignedDuration::try_from(since).unwrap_or(SignedDuration::MAX);
        let by_now = now.wall.checked_sub(self.ago.saturating_add(since));
        self.start = self.start.min(by_now.unwrap_or(Timestamp::MIN));
        self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(wall: i64, monotonic: u64) -> ClockReading {
        ClockReading {
            wall: Timestamp::from_second(wall).unwrap(),
            monotonic: Duration::from_secs(monotonic),
        }
    }

    #[track_caller]
    fn check_written(caught_up: Option<u64>, wall: i64, now: (i64, u64), expect: u64) {
        let mut clock = EntryClock::default();
        if let Some(then) = caught_up {
            clock.catch_up(reading(0, then));
        }
        let written = clock.written(Timestamp::from_second(wall).unwrap(), reading(now.0, now.1));
        assert_eq!(written.monotonic, Duration::from_secs(expect));
        assert_eq!(written.wall.as_second(), wall);
    }

    #[test]
    fn an_entry_is_as_old_as_its_time_says_but_not_older_than_the_last_read() {
        check_written(None, 10_000, (10_000, 500), 500);
        check_written(None, 9_900, (10_000, 500), 400);
        check_written(None, 9_000, (10_000, 500), 0);
        check_written(Some(495), 9_998, (10_000, 500), 498);
        // The clock was set forward, or back, after the last read.
        check_written(Some(495), 9_998, (13_600, 500), 495);
        check_written(Some(495), 9_998, (6_400, 500), 500);
    }

    #[track_caller]
    fn check_start(lookback: i64, reads: &[(i64, u64)], expect: &[i64]) {
        let window = ReadWindow {
            lookback: lookback * 1_000_000_000,
            delay: 0,
        };
        let uptime = Duration::from_secs(50_000);
        let mut start = CountedFrom::new(window, reading(100_000, 500), uptime);
        for (&(wall, monotonic), expect) in reads.iter().zip(expect) {
            assert_eq!(start.at(reading(wall, monotonic)).as_second(), *expect);
        }
    }

    #[test]
    fn entries_count_from_the_lookback_by_the_earliest_clock() {
        check_start(0, &[(100_000, 500), (100_010, 510)], &[100_000, 100_000]);
        check_start(300, &[(100_010, 510)], &[99_700]);
        check_start(300, &[(96_410, 510), (96_420, 520)], &[96_100, 96_100]);
        check_start(300, &[(103_610, 510)], &[99_700]);
        check_start(0, &[(103_610, 510), (96_420, 520)], &[100_000, 96_400]);
        check_start(i64::MAX / 1_000_000_000, &[(96_400, 500)], &[46_400]);
    }
}
