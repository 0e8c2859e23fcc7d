//! The programs that read the log.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::naive::Naive;
use regex::Regex;
use serde_json::json;

use super::lines::{FAULTS, LAST, LINES, Log};

/// The result of a reader: what it has read, and the cost.
pub(super) struct Reading {
    pub(super) lines: usize,
    /// Processor time.
    pub(super) spent: Duration,
    /// Bytes before, and at most.
    pub(super) resident: Option<(u64, u64)>,
}

impl Reading {
    /// Lines in a second.
    pub(super) fn rate(&self) -> f64 {
        self.lines as f64 / self.spent.as_secs_f64()
    }
}

const MESSAGE: &str = r"kernel: \[.*\] (.*)";

pub(super) fn rule(pattern: &String) -> serde_json::Value {
    json!({"type": "temporary", "reason": "Bench", "pattern": pattern})
}

/// A rule of the catalogue that reports each of its lines as [`rule`] does.
pub(super) fn catalogue_rule(pattern: &str) -> serde_json::Value {
    json!({
        "type": "temporary", "reason": "Bench", "pattern": pattern, "match": "line",
        "repeatAfter": "0s",
    })
}

/// The agent with a config file for each list of rules, which waits for the log. It has read the log when
/// it reports the last line.
pub(super) fn agent(
    folder: &Path,
    log: &Log,
    files: &[Vec<serde_json::Value>],
) -> anyhow::Result<Reading> {
    let path = folder.join("kern.log");
    let written = folder.join("written");
    drop(fs::remove_file(&path));
    fs::write(&written, &log.text).context("writing a log")?;
    let mut flags = Vec::new();
    for (number, rules) in files.iter().enumerate() {
        let config = json!({
            "plugin": "filelog",
            "logPath": path,
            "lookback": "1h",
            "pluginConfig": {"timestamp": "^.{15}", "message": MESSAGE, "timestampFormat": "Jan _2 15:04:05"},
            "rules": rules,
        });
        let file = folder.join(format!("log-{number}.json"));
        fs::write(&file, config.to_string()).context("writing a config")?;
        flags.push(format!("--config.system-log-monitor={}", file.display()));
    }
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let agent = Agent::start(folder, &flags)?;
    agent.wait_until("the agent to miss the file", PATIENCE, || {
        let sources = agent.page("/status")?["sources"].to_string();
        Ok(sources.contains("there is no such file").then_some(()))
    })?;
    std::thread::sleep(Duration::from_millis(300));
    let process = PathBuf::from(format!("/proc/{}", agent.id()));
    let resident =
        |name| anyhow::Ok(crate::field(&crate::read(&process.join("status"))?, name)? * 1024);
    let (spent, before) = (crate::cpu_time(&process)?, resident("VmRSS:")?);
    fs::rename(&written, &path).context("moving a log")?;
    let mut found = 0;
    agent.wait_for("the last line", PATIENCE, |line| {
        found += usize::from(line.is_event("Bench", ""));
        line.is_event("Bench", LAST)
    })?;
    let spent = crate::cpu_time(&process)?.saturating_sub(spent);
    ensure!(found == FAULTS + 1, "the agent has found {found} faults");
    Ok(Reading {
        lines: LINES,
        spent,
        resident: Some((before, resident("VmHWM:")?)),
    })
}

/// ripgrep, which prints the lines that match. It uses one thread for one file.
pub(super) fn ripgrep(folder: &Path, log: &Log, patterns: &[String]) -> anyhow::Result<Reading> {
    let (path, list) = (folder.join("kern.log"), folder.join("patterns"));
    fs::write(&path, &log.text).context("writing a log")?;
    fs::write(&list, patterns.join("\n")).context("writing patterns")?;
    let before = children()?;
    let printed = Command::new("rg")
        .args(["--no-config", "--no-unicode"]) // in Go's regexes, `\w` is ASCII
        .arg("--file")
        .args([&list, &path])
        .output()
        .context("running ripgrep")?;
    let found = String::from_utf8_lossy(&printed.stdout).lines().count();
    let complaint = String::from_utf8_lossy(&printed.stderr);
    ensure!(
        found == FAULTS + 1,
        "ripgrep has found {found} faults: {complaint}"
    );
    Ok(Reading {
        lines: LINES,
        spent: children()?.saturating_sub(before),
        resident: None,
    })
}

/// The processor time of the children that have been waited for.
fn children() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("asking what children took")?;
    let duration = |time: TimeVal| {
        anyhow::Ok(Duration::try_from(jiff::SignedDuration::new(
            time.tv_sec(),
            i32::try_from(time.tv_usec() * 1000)?,
        ))?)
    };
    Ok(duration(usage.user_time())? + duration(usage.system_time())?)
}

/// A naive reader, in this process; it has enough with a part of the log.
pub(super) fn naive(log: &Log, patterns: &[String]) -> anyhow::Result<Reading> {
    const PART: usize = LINES / 10;
    let anchored = patterns
        .iter()
        .map(|pattern| Regex::new(&format!(r"{pattern}\z")));
    let timestamp = Regex::new("^.{15}")?;
    let (zone, year) = (TimeZone::system(), Zoned::now().year());
    let time = |line: &str| {
        let written = format!("{year} {}", timestamp.find(line)?.as_str());
        let time = DateTime::strptime("%Y %b %e %H:%M:%S", written).ok()?;
        Some(zone.to_zoned(time).ok()?.timestamp())
    };
    let mut reader = Naive {
        message: Regex::new(MESSAGE)?,
        time,
        start: Timestamp::MIN,
        skip_list: Vec::new(),
        patterns: anchored.collect::<Result<_, _>>()?,
        capacity: 10,
        ring: VecDeque::new(),
    };
    let ourselves = Path::new("/proc/self");
    let before = crate::cpu_time(ourselves)?;
    let lines = log.text.as_bytes().split_inclusive(|&byte| byte == b'\n');
    let found: usize = lines.take(PART).map(|line| reader.line(line).len()).sum();
    let spent = crate::cpu_time(ourselves)?.saturating_sub(before);
    ensure!(
        found == PART / 1000,
        "the naive reader has found {found} faults"
    );
    Ok(Reading {
        lines: PART,
        spent,
        resident: None,
    })
}
