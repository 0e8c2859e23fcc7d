//! Reads the kernel log as it is now.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use nix::errno::Errno;
use nix::libc::O_NONBLOCK;
use nix::unistd::read as read_record;

use crate::logs::kmsg::KmsgRecord;
use crate::logs::window::ReadWindow;
use crate::node::clock;

/// No kernel makes records larger than this (`CONSOLE_EXT_LOG_MAX`, up to 6.2).
const BUFFER: usize = 8192;

/// Passes the records in the window, up to now, to a function.
pub(super) fn read(
    path: &Path,
    window: ReadWindow,
    mut take: impl FnMut(Timestamp, &str),
) -> anyhow::Result<()> {
    let now = clock::monotonic();
    let start = window.start(now);
    let mut options = OpenOptions::new();
    let device = options.read(true).custom_flags(O_NONBLOCK).open(path);
    let device = device.with_context(|| format!("opening the kernel log {}", path.display()))?;
    let mut buffer = [0; BUFFER];
    loop {
        let length = match read_record(&device, &mut buffer) {
            Ok(0) | Err(Errno::EAGAIN) => return Ok(()),
            Ok(length) => length,
            // The record was overwritten before it was read, or is too large: read the next one.
            Err(Errno::EPIPE | Errno::EINVAL | Errno::EINTR) => continue,
            Err(error) => return Err(error).context("reading the kernel log"),
        };
        let Some(record) = KmsgRecord::parse(&buffer[..length]) else {
            continue;
        };
        if record.stamp > now {
            return Ok(());
        }
        if record.stamp >= start {
            take(clock::wall_time(record.stamp), &record.text);
        }
    }
}
