//! A line of a log file, and when and where it is read.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::logs::entry_clock::EntryClock;
use crate::node::clock::ClockReading;

/// The time at which lines are read, and the local time zone.
pub(super) struct ReadContext {
    pub(super) now: ClockReading,
    pub(super) uptime: Duration,
    pub(super) clock: EntryClock,
    pub(super) zone: TimeZone,
}

/// A line without its newline, and without leading zeros: if a file is truncated and its writer does
/// not use `O_APPEND`, the file gets a hole of zeros.
pub(super) fn bare(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let zeros = line.iter().take_while(|&&byte| byte == 0).count();
    &line[zeros..]
}
