//! `log-counter`: a plugin that counts the entries of the journal that match a pattern.
//!
//! It uses the agent's own reader, and reads the journal to its present end. So the image needs no other
//! program, and there is nothing to wait for.

mod flags;
mod kernel_log;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use jiff::Timestamp;

use self::flags::LogCounterOptions;
use crate::go::regex::compile_anchored;
use crate::journal::{EntryFilter, Journal, Term};
use crate::logs::matcher::{MatchUnit, Matcher};
use crate::logs::window::ReadWindow;
use crate::node::{Roots, clock};
use crate::program::{Tool, complain};

/// The program.
pub const TOOL: Tool = Tool {
    name: "log-counter",
    help: || flags::program().help(),
    run,
};

/// How many entries a pattern may span, as in NPD.
const SPAN: usize = 1000;

/// Exit codes of a plugin.
const ENOUGH: u8 = 1;
const UNKNOWN: u8 = 2;

/// NPD's code for a fatal error.
const FATAL: u8 = 255;

fn run(line: Vec<OsString>) -> ExitCode {
    let options = match LogCounterOptions::read(line) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let window = match options.window() {
        Ok(window) => window,
        Err(error) => {
            complain(TOOL.name, format_args!("{error:#}"));
            return ExitCode::from(FATAL);
        }
    };
    let roots = Roots::from_env(|name| std::env::var(name).ok());
    let (said, code) = match count(&options, window, &roots) {
        Ok(found) if found >= options.count => {
            let least = options.count;
            let said = format!("Found {found} matching logs, which meets the threshold of {least}");
            (said, ENOUGH)
        }
        Ok(_) => return ExitCode::SUCCESS,
        Err(error) => (format!("{error:#}"), UNKNOWN),
    };
    // If nobody reads the output, the exit code is enough.
    drop(writeln!(std::io::stdout(), "{said}"));
    ExitCode::from(code)
}

/// The number of entries that match the pattern, minus those that match the revert pattern.
fn count(options: &LogCounterOptions, window: ReadWindow, roots: &Roots) -> anyhow::Result<i64> {
    let mut count = EntryCount::new(&options.pattern, &options.revert_pattern)?;
    if options.kmsg {
        kernel_log::read(&roots.dev.join("kmsg"), window, |time, text| {
            count.take(time, text);
        })?;
        return Ok(count.matches);
    }
    let source = &options.journald_source;
    ensure!(!source.is_empty(), "--journald-source is missing");
    let groups = vec![vec![Term::new("SYSLOG_IDENTIFIER", source)]];
    let now = Timestamp::now();
    let since = micros(window.start_time(now, clock::uptime()));
    let folder = options.folder();
    let mut journal = match &folder {
        Some(folder) => {
            let found = std::fs::read_dir(folder);
            found.with_context(|| format!("reading the journal in {}", folder.display()))?;
            Journal::in_folder(folder.clone(), EntryFilter { groups }, since)
        }
        None => Journal::of_node(roots, EntryFilter { groups }, since),
    };
    journal.scan();
    ensure!(
        folder.is_some() || !journal.is_absent(),
        "the node has no journal"
    );
    let until = micros(now);
    while let Some(entry) = journal.next_entry() {
        if entry.realtime > until {
            break;
        }
        if entry.realtime >= since {
            let time = i64::try_from(entry.realtime).unwrap_or(i64::MAX);
            let time = Timestamp::from_microsecond(time).unwrap_or(Timestamp::MAX);
            count.take(time, String::from_utf8_lossy(&entry.message).trim());
        }
    }
    journal.settle().context("reading the journal")?;
    Ok(count.matches)
}

/// Microseconds since 1970.
fn micros(time: Timestamp) -> u64 {
    u64::try_from(time.as_microsecond()).unwrap_or_default()
}

/// Counts entries.
struct EntryCount {
    /// The pattern, and the revert pattern if there is one.
    matcher: Matcher,
    matches: i64,
}

impl EntryCount {
    fn new(pattern: &str, revert: &str) -> anyhow::Result<Self> {
        let mut patterns = Vec::new();
        for pattern in [
            Some(pattern),
            Some(revert).filter(|revert| !revert.is_empty()),
        ] {
            let Some(pattern) = pattern else { continue };
            let compiled = compile_anchored(pattern);
            let compiled = compiled.with_context(|| format!("the pattern {pattern:?}"))?;
            patterns.push((compiled.into(), MatchUnit::Entries));
        }
        Ok(Self {
            matcher: Matcher::new(patterns, SPAN).context("combining the patterns")?,
            matches: 0,
        })
    }

    fn take(&mut self, time: Timestamp, text: &str) {
        for (pattern, _) in self.matcher.push(time, text, true) {
            self.matches += if pattern == 0 { 1 } else { -1 };
        }
    }
}

#[cfg(test)]
mod tests;
