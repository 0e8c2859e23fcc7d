//! logrotate against a log file that is written all the time.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::harness;
use serde_json::json;
use tempfile::TempDir;

/// How long the log is written; with `NPD_TEST_SECONDS`, that long.
const SECONDS: u64 = 9;

/// How long an agent runs before it is killed, and how long then none runs.
const LIFE: Duration = Duration::from_millis(2300);
const DEATH: Duration = Duration::from_millis(1400);

pub(crate) fn by_renaming() -> anyhow::Result<()> {
    check("create\npostrotate\n  touch reopen\nendscript")
}

pub(crate) fn by_copying_and_truncating() -> anyhow::Result<()> {
    check("copytruncate")
}

/// Rotates so. A slow machine is unlucky more often, but not always: see [`check_once`].
fn check(how: &str) -> anyhow::Result<()> {
    for _ in 0..3 {
        if Bench::new(how)?.check()? <= 1 {
            return Ok(());
        }
    }
    bail!("more than one kill came between printing and noting, each time")
}

/// A log that is rotated every second.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new(how: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        File::create(folder.path().join("log"))?;
        let log = folder.path().join("log");
        let how = how.replace("touch ", &format!("touch {}/", folder.path().display()));
        let config = format!("{} {{\nsize 1\nrotate 1000\n{how}\n}}\n", log.display());
        fs::write(folder.path().join("logrotate.conf"), config)?;
        let config = json!({
            "plugin": "filelog", "logPath": log, "lookback": "1h", "source": "test",
            "pluginConfig": {
                "timestamp": "^\\S+", "message": "^\\S+ (.*)",
                "timestampFormat": "2006-01-02T15:04:05.999999999Z07:00",
            },
            "rules": [{"type": "temporary", "reason": "Bad", "pattern": "bad line \\d+"}],
        });
        fs::write(folder.path().join("config.json"), config.to_string())?;
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn agent(&self) -> anyhow::Result<Agent> {
        let arguments = [
            "--config.system-log-monitor=config.json",
            "--state-dir=state",
        ];
        Agent::start(self.folder.path(), &arguments)
    }

    /// How many kills came between printing and noting.
    fn check(&self) -> anyhow::Result<usize> {
        let end =
            Instant::now() + Duration::from_secs(harness::amount("NPD_TEST_SECONDS", SECONDS)?);
        let over = AtomicBool::new(false);
        let (reported, written) = scope(|scope| {
            let writer = scope.spawn(|| self.write(&over));
            let rotated = scope.spawn(|| self.rotate(&over));
            let reported = self.watch(end, &over);
            over.store(true, Relaxed);
            let written = writer.join().ok().context("the writer has panicked")??;
            rotated.join().ok().context("rotating has panicked")??;
            anyhow::Ok((reported?, written))
        })?;
        self.compare(&reported, written)
    }

    /// Writes 5000 lines a second, every tenth of them bad; gives back how many.
    fn write(&self, over: &AtomicBool) -> anyhow::Result<u64> {
        let open = || {
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(self.path("log"))
        };
        let mut log = open()?;
        let mut written = 0;
        let mut next = Instant::now();
        while !over.load(Relaxed) {
            if fs::remove_file(self.path("reopen")).is_ok() {
                log = open()?;
            }
            let mut lines = String::new();
            let now = jiff::Timestamp::now();
            for number in written..written + 50 {
                let how = if number % 10 == 0 { "bad" } else { "good" };
                writeln!(lines, "{now} {how} line {number}")?;
            }
            log.write_all(lines.as_bytes())?;
            written += 50;
            next += Duration::from_millis(10);
            sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(written)
    }

    fn rotate(&self, over: &AtomicBool) -> anyhow::Result<()> {
        while !over.load(Relaxed) {
            sleep(Duration::from_secs(1));
            let mut logrotate = Command::new("logrotate");
            logrotate
                .arg("--force")
                .arg("--state")
                .arg(self.path("logrotate.state"));
            let status = logrotate.arg(self.path("logrotate.conf")).status()?;
            ensure!(status.success(), "logrotate ended with {status}");
        }
        Ok(())
    }

    /// Starts and kills agents until the end, and lets the last one finish. Returns the lines that each
    /// has reported.
    fn watch(&self, end: Instant, over: &AtomicBool) -> anyhow::Result<Vec<Vec<u64>>> {
        let mut reported = Vec::new();
        while Instant::now() + LIFE + DEATH < end {
            let agent = self.agent()?;
            // At another moment of its work each time.
            sleep(LIFE + Duration::from_micros(u64::from(agent.id()) * 7919 % 50_000));
            reported.push(numbers(agent.kill()?));
            sleep(DEATH);
        }
        let agent = self.agent()?;
        sleep(end.saturating_duration_since(Instant::now()));
        over.store(true, Relaxed);
        // It is finished when nothing new has come for a while, and every line before.
        let mut quiet = (0, Instant::now());
        agent.wait_until("the last line", PATIENCE, || {
            let lines = agent.lines().len();
            if lines != quiet.0 {
                quiet = (lines, Instant::now());
            }
            if quiet.1.elapsed() < Duration::from_secs(3) {
                return Ok(None);
            }
            let last = numbers(agent.lines());
            let known: BTreeSet<_> = reported.iter().chain([&last]).flatten().collect();
            let is_there = self.there()?.iter().all(|line| known.contains(line));
            Ok(is_there.then_some(()))
        })?;
        reported.push(numbers(agent.kill()?));
        Ok(reported)
    }

    /// The bad lines that are in a file.
    fn there(&self) -> anyhow::Result<BTreeSet<u64>> {
        let mut there = BTreeSet::new();
        for entry in fs::read_dir(self.folder.path())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("log") {
                there.extend(bad_lines(&entry.path())?);
            }
        }
        Ok(there)
    }

    /// Every line that is in a file is reported. What logrotate cuts off is in no file.
    fn compare(&self, reported: &[Vec<u64>], written: u64) -> anyhow::Result<usize> {
        let there = self.there()?;
        let all: BTreeSet<_> = reported.iter().flatten().copied().collect();
        let missing: Vec<_> = there.difference(&all).collect();
        ensure!(
            missing.is_empty(),
            "of {written} lines, these are missing: {missing:?}"
        );
        let unlucky = check_once(reported)?;
        let bad = written.div_ceil(10);
        eprintln!(
            "{} lines in {} lives; logrotate lost {} of {bad} lines, of which {} were reported before",
            all.len(),
            reported.len(),
            bad - there.len() as u64,
            all.difference(&there).count()
        );
        Ok(unlucky)
    }
}

/// Every line is reported once. The only exception is the last piece before a kill, and it is rare:
/// returns how often it happened.
///
/// An agent that is killed between writing a piece of at most 4 KiB and noting that it did, two
/// system calls in a row, writes it again. A busy machine lets others run in between, and a busy
/// ext4 has the note wait for its journal: then it was one kill in 190.
pub(crate) fn check_once(reported: &[Vec<u64>]) -> anyhow::Result<usize> {
    const PIECE: usize = 4096 / 100;
    let mut before = BTreeSet::<u64>::new();
    let mut last: &[u64] = &[];
    let mut unlucky = 0;
    for life in reported {
        let is_again = |line: &&u64| before.contains(*line);
        let again: Vec<_> = life.iter().filter(is_again).copied().collect();
        ensure!(
            again.len() <= PIECE && last.ends_with(&again),
            "these are reported twice: {again:?}"
        );
        unlucky += usize::from(!again.is_empty());
        before.extend(life);
        ensure!(
            life.len() == life.iter().collect::<BTreeSet<_>>().len(),
            "a life repeats itself"
        );
        last = life;
    }
    if unlucky > 0 {
        eprintln!("{unlucky} kills came between printing and noting: a piece was reported twice");
    }
    Ok(unlucky)
}

/// The numbers of the bad lines that were reported.
pub(crate) fn numbers(lines: Vec<npd_tests::agent::Line>) -> Vec<u64> {
    let event = |line: npd_tests::agent::Line| number(line.report["event"]["message"].as_str()?);
    lines.into_iter().filter_map(event).collect()
}

fn bad_lines(path: &Path) -> anyhow::Result<Vec<u64>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(text.lines().filter_map(number).collect())
}

fn number(line: &str) -> Option<u64> {
    line.split_once("bad line ")?.1.parse().ok()
}
