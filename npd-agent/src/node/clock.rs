//! The machine's clocks.

use std::io;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};
use rtime_clock::adjtime::{Timex, adjtimex};

/// One moment by two clocks: the wall clock, to show it, and the monotonic clock, to measure how long
/// something takes. Anyone may set the wall clock, also back.
#[derive(Clone, Copy, Debug)]
pub struct ClockReading {
    /// By the wall clock.
    pub wall: Timestamp,
    /// By the monotonic clock.
    pub monotonic: Duration,
}

impl ClockReading {
    /// What the clocks show now.
    pub fn now() -> Self {
        Self {
            wall: Timestamp::now(),
            monotonic: monotonic(),
        }
    }
}

/// The time since boot without suspend: the clock of the kernel's log.
pub fn monotonic() -> Duration {
    clock(ClockId::CLOCK_MONOTONIC)
}

/// The time since boot with suspend.
pub fn uptime() -> Duration {
    clock(ClockId::CLOCK_BOOTTIME)
}

/// Converts `stamp` of the kernel's clock to the wall clock as it is set now. This is computed for each
/// record, because suspend and clock steps change the difference of the clocks (NPD's #479).
pub fn wall_time(stamp: Duration) -> Timestamp {
    let ago = SignedDuration::try_from(monotonic().saturating_sub(stamp));
    let now = Timestamp::now();
    ago.ok()
        .and_then(|ago| now.checked_sub(ago).ok())
        .unwrap_or(now)
}

/// From this error on, the kernel considers its clock unsynchronised (`NTP_PHASE_LIMIT`).
pub const CLOCK_LOST: Duration = Duration::from_secs(16);

/// How wrong the wall clock may be. The kernel increases this by 500 ppm until something sets the clock
/// again, up to [`CLOCK_LOST`]; then nothing has set it for hours.
///
/// The flag `STA_UNSYNC` is not used: chronyd leaves it set if it does not write to the hardware clock, and
/// systemd does not use it either.
///
/// # Errors
///
/// If the system call fails, for example because of a system call filter.
pub fn clock_error() -> io::Result<Duration> {
    let mut clock = Timex::default();
    adjtimex(&mut clock)?;
    let error = u64::try_from(clock.0.maxerror).unwrap_or_default();
    Ok(Duration::from_micros(error))
}

fn clock(id: ClockId) -> Duration {
    // Both clocks exist on every Linux since 2.6.39; zero would mean "just booted".
    clock_gettime(id).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with such a stamp has just been written.
    #[test]
    fn a_stamp_from_the_future_is_now() {
        let stamp = monotonic() + Duration::from_hours(1);
        let before = Timestamp::now();
        let time = wall_time(stamp);
        assert!(before <= time && time <= Timestamp::now());
    }

    #[test]
    fn a_suspended_machine_is_up_too() {
        let awake = monotonic();
        assert!(uptime() >= awake);
    }
}
