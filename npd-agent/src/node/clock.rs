//! The machine's clocks.

use std::io;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};
use rtime_clock::adjtime::{Timex, adjtimex};

/// The time since boot without suspend: the clock of the kernel's log.
pub fn monotonic() -> Duration {
    clock(ClockId::CLOCK_MONOTONIC)
}

/// The time since boot with suspend.
pub fn uptime() -> Duration {
    clock(ClockId::CLOCK_BOOTTIME)
}

/// When the kernel's clock stood at `stamp`, by the wall clock as it is set now. Computed anew for
/// each record, because suspend and clock steps move the two apart (NPD's #479).
pub fn wall_time(stamp: Duration) -> Timestamp {
    let ago = SignedDuration::try_from(monotonic().saturating_sub(stamp));
    let now = Timestamp::now();
    ago.ok()
        .and_then(|ago| now.checked_sub(ago).ok())
        .unwrap_or(now)
}

/// The time from which on the kernel takes its clock for unsynchronised (`NTP_PHASE_LIMIT`).
pub const CLOCK_LOST: Duration = Duration::from_secs(16);

/// How far off the wall clock may be. The kernel lets this grow by 500 ppm until something sets the
/// clock again, up to [`CLOCK_LOST`]: then nothing has set it for hours.
///
/// Its flag `STA_UNSYNC` is not looked at: chronyd leaves it set when it does not write to the
/// hardware clock, and systemd does not look at it either.
///
/// # Errors
///
/// If the kernel does not tell, as under a system call filter.
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
