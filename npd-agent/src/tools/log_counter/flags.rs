//! The command line of `log-counter`.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use crate::go::duration::GoDuration;
use crate::logs::window::ReadWindow;
use crate::tools::klog::Klog;

/// Says by its exit code whether the journal has so many entries of a kind: 0 no, 1 yes, 2 unknown
#[derive(Parser, Debug)]
#[command(
    name = "log-counter",
    args_override_self = true,
    disable_version_flag = true
)]
pub(super) struct LogCounterOptions {
    /// Whose entries count: their `SYSLOG_IDENTIFIER`
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) journald_source: String,

    /// The folder of the journal [default: the node's own journal]
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "FOLDER"
    )]
    log_path: String,

    /// Read the kernel's log itself, /dev/kmsg, and no journal
    #[arg(long)]
    pub(super) kmsg: bool,

    /// How far back entries count [default: not at all]
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "DURATION"
    )]
    lookback: String,

    /// How long after the boot entries do not count [default: 0s]
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "DURATION"
    )]
    delay: String,

    /// What an entry has to match to its end, a Go regular expression [default: anything]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) pattern: String,

    /// An entry that matches this takes one match back
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) revert_pattern: String,

    /// How many matches are enough
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    pub(super) count: i64,

    #[command(flatten)]
    _klog: Klog,
}

impl LogCounterOptions {
    /// Reads a command line; prints and exits as clap does on `--help` and on errors.
    pub(super) fn parse(line: Vec<OsString>) -> Self {
        Self::parse_from(line)
    }

    /// The folder of the journal; `None` for the node's own journal.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        Some(PathBuf::from(&self.log_path)).filter(|path| !path.as_os_str().is_empty())
    }

    /// From when on entries count.
    pub(super) fn window(&self) -> anyhow::Result<ReadWindow> {
        Ok(ReadWindow {
            lookback: nanoseconds("lookback", &self.lookback)?,
            delay: nanoseconds("delay", &self.delay)?,
        })
    }
}

fn nanoseconds(flag: &str, text: &str) -> anyhow::Result<i64> {
    if text.is_empty() {
        return Ok(0);
    }
    let duration: GoDuration = text.parse().with_context(|| format!("--{flag}={text}"))?;
    Ok(duration.as_nanos())
}
