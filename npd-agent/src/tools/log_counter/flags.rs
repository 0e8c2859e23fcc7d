//! The command line of `log-counter`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::go::duration::GoDuration;
use crate::go::pflag::{Flag, Program, boolean, integer, string};
use crate::logs::window::ReadWindow;
use crate::program::read_flags;
use crate::tools::klog;

/// The values of the flags.
#[derive(Debug, Default)]
pub(super) struct LogCounterOptions {
    pub(super) journald_source: String,
    log_path: String,
    pub(super) kmsg: bool,
    lookback: String,
    delay: String,
    pub(super) pattern: String,
    pub(super) revert_pattern: String,
    pub(super) count: i64,
}

const FLAGS: &[Flag<LogCounterOptions>] = &[
    Flag::new(
        "--journald-source",
        "SOURCE",
        "",
        "The SYSLOG_IDENTIFIER of the entries that count",
        |options, _, value| string(&mut options.journald_source, value),
    ),
    Flag::new(
        "--log-path",
        "FOLDER",
        "",
        "The folder of the journal [default: the node's own journal]",
        |options, _, value| string(&mut options.log_path, value),
    ),
    Flag::boolean(
        "--kmsg",
        "false",
        "Read the kernel's log itself, /dev/kmsg, and no journal",
        |options, _, value| boolean(&mut options.kmsg, value),
    ),
    Flag::new(
        "--lookback",
        "DURATION",
        "",
        "How far back entries count [default: 0s]",
        |options, _, value| string(&mut options.lookback, value),
    ),
    Flag::new(
        "--delay",
        "DURATION",
        "",
        "Entries from this long after the boot do not count [default: 0s]",
        |options, _, value| string(&mut options.delay, value),
    ),
    Flag::new(
        "--pattern",
        "PATTERN",
        "",
        "A Go regular expression that an entry must match up to its end [default: anything]",
        |options, _, value| string(&mut options.pattern, value),
    ),
    Flag::new(
        "--revert-pattern",
        "PATTERN",
        "",
        "An entry that matches this lowers the count by one",
        |options, _, value| string(&mut options.revert_pattern, value),
    ),
    Flag::new(
        "--count",
        "COUNT",
        "1",
        "How many matches are enough",
        |options, _, value| integer(&mut options.count, value),
    ),
];

/// The program's command line.
pub(super) fn program() -> Program<LogCounterOptions> {
    Program {
        name: super::TOOL.name,
        about: "Counts journal entries. Exit code: 0 there are fewer than --count, 1 as many or more, 2 unknown.",
        words: "",
        after: "",
        sections: vec![("Flags", [FLAGS, &klog::flags()].concat())],
    }
}

impl LogCounterOptions {
    /// Reads a command line, or gives the exit code if there is nothing to run.
    pub(super) fn read(line: Vec<OsString>) -> Result<Self, ExitCode> {
        read_flags(&program(), line)
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::go::pflag::tests::recorded::{self, outcome};

    fn value(options: &LogCounterOptions, flag: &str) -> Value {
        let value = match flag {
            "--journald-source" => &options.journald_source,
            "--log-path" => &options.log_path,
            "--lookback" => &options.lookback,
            "--delay" => &options.delay,
            "--pattern" => &options.pattern,
            "--revert-pattern" => &options.revert_pattern,
            "--count" => return json!(options.count.to_string()),
            _ => panic!("{flag}"),
        };
        json!(value)
    }

    #[test]
    fn every_line_is_read_as_npd_reads_it() {
        let program = program();
        recorded::check("log-counter", |line| outcome(&program, line), value);
    }
}
