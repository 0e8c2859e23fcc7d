//! Reads a log file with every rule set on it. Everything here may wait for a disk.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use super::fingerprint::read_at;
use super::formats::PART_MARKS;
use super::line::ReadContext;
use super::lookback;
use super::reader::LineReader;
use super::rules::FileRules;
use super::tail::{LogPositions, Sink, Tail};
use super::translate::LineTranslator;
use crate::logs::entry_clock::EntryClock;
use crate::logs::matcher::LineFinder;
use crate::monitor::log::rule_set::{Remembered, RuleSet};
use crate::monitor::log::source::follow::{FollowStep, ReadBatch, Worker};
use crate::monitor::log::source::watch::{AddWatchFlags, FolderWatch};
use crate::node::Node;
use crate::node::clock::{self, ClockReading};
use crate::problem::Finding;

/// How often the reading position is reported when nothing was found.
const SAVE: Duration = Duration::from_secs(1);

/// How many bytes before the saved position are read again at the start, so that patterns can span
/// them.
const CONTEXT_BYTES: u64 = 256 << 10;

/// How much shorter than other lines those may be that are joined of parts: there may be two for each
/// config file.
const JOINED: usize = 16;

/// Reads a log file with every rule set on it.
pub(crate) struct FileWorker {
    path: PathBuf,
    tail: Tail,
    /// Longer lines are cut.
    longest_line: usize,
    rules: Vec<FileRules>,
    readers: Vec<LineReader>,
    finder: LineFinder,
    clock: EntryClock,
    /// Whether the warning about lines that do not fit the config was logged.
    warned: bool,
    /// When the reading position was last reported, and which.
    progress: (Instant, FilePosition),
}

/// What is saved for the next start of the agent.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FilePosition {
    positions: LogPositions,
    rules: Remembered,
}

impl FileWorker {
    pub(super) fn new(path: PathBuf, sets: Vec<(RuleSet, LineTranslator)>) -> anyhow::Result<Self> {
        let mut rules = Vec::new();
        let mut readers = Vec::<LineReader>::new();
        for (set, translator) in sets {
            let reader = LineReader::new(&set, translator);
            let index = readers.iter().position(|other| other.is_like(&reader));
            let index = index.unwrap_or_else(|| {
                readers.push(reader);
                readers.len() - 1
            });
            rules.push(FileRules::new(set, index));
        }
        let matchers = rules.iter().map(|rules| &rules.set.matcher);
        Ok(Self {
            finder: LineFinder::of(matchers, &PART_MARKS)
                .context("combining the rules' patterns")?,
            tail: Tail::new(path.clone(), LogPositions::default()),
            longest_line: usize::MAX,
            path,
            rules,
            readers,
            clock: EntryClock::default(),
            warned: false,
            progress: (Instant::now(), FilePosition::default()),
        })
    }

    /// Reads no longer lines than this.
    pub(super) fn limit(&mut self, longest_line: usize) {
        self.longest_line = longest_line;
        for rules in &mut self.rules {
            rules.split.limit(longest_line / JOINED);
        }
        self.tail.limit(longest_line);
    }

    fn malformed(&mut self) -> u64 {
        let readers = self.readers.iter_mut();
        let bad = readers.map(|reader| std::mem::take(&mut reader.count.not_understood));
        let bad: u64 = bad.sum();
        if bad > 0 && !std::mem::replace(&mut self.warned, true) {
            warn!(file = %self.path.display(), "Skipping lines of a log file: time or message do not match the config");
        }
        let cut = self.rules.iter_mut();
        let cut: u64 = cut.map(|rules| std::mem::take(&mut rules.split.cut)).sum();
        bad + cut + std::mem::take(&mut self.tail.cut)
    }

    fn too_old(&mut self) -> u64 {
        let readers = self.readers.iter_mut();
        let too_old = readers.map(|reader| std::mem::take(&mut reader.count.too_old));
        too_old.sum()
    }

    fn changed_position(&mut self, now: bool) -> Option<Value> {
        let (when, progress) = &mut self.progress;
        if !now && when.elapsed() < SAVE {
            return None;
        }
        let position = FilePosition {
            positions: self.tail.positions(),
            rules: Remembered::of(self.rules.iter().map(|rules| &rules.set)),
        };
        *when = Instant::now();
        if position == *progress {
            return None;
        }
        progress.clone_from(&position);
        serde_json::to_value(position).ok()
    }
}

impl Worker for FileWorker {
    fn start(&mut self, _: &Node, position: Option<&Value>) {
        let Some(position) = position.map(FilePosition::deserialize) else {
            return;
        };
        let Ok(position) = position else {
            warn!(file = %self.path.display(), "Ignoring a saved position in a log file that cannot be understood");
            return;
        };
        for rules in &mut self.rules {
            rules.resume(&position.rules);
        }
        self.tail = Tail::new(self.path.clone(), position.positions);
        self.tail.limit(self.longest_line);
    }

    fn read(&mut self, watch: Option<&mut FolderWatch>) -> ReadBatch {
        let mut reading = Reading {
            rules: &mut self.rules,
            readers: &mut self.readers,
            finder: &mut self.finder,
            at: ReadContext {
                now: ClockReading::now(),
                uptime: clock::uptime(),
                clock: self.clock,
                zone: TimeZone::system(),
            },
            findings: Vec::new(),
        };
        let mut step = self.tail.step(Instant::now(), &mut reading);
        let Reading {
            at: ReadContext { now, .. },
            mut findings,
            ..
        } = reading;
        findings.extend(
            self.rules
                .iter_mut()
                .flat_map(|rules| rules.set.expired(now)),
        );
        if let Ok(FollowStep::End) = step {
            self.clock.catch_up(now);
        }
        if let Ok(FollowStep::End | FollowStep::Absent) = step
            && let Some(watch) = watch
            && watch.renew(&watched(&self.path))
        {
            // The file may have changed before it was watched: read once more.
            step = Ok(FollowStep::More);
        }
        ReadBatch {
            step,
            malformed: self.malformed(),
            too_old: self.too_old(),
            degraded: self.readers.iter().find_map(LineReader::complaint),
            progress: self.changed_position(!findings.is_empty()),
            findings,
        }
    }
}

/// What inotify must watch for a log file: its content, and the names in its folder.
fn watched(path: &Path) -> [(&Path, AddWatchFlags); 2] {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => path,
    };
    let names = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ONLYDIR;
    [(folder, names), (path, AddWatchFlags::IN_MODIFY)]
}

/// Reads lines with every rule set.
struct Reading<'a> {
    rules: &'a mut [FileRules],
    readers: &'a mut [LineReader],
    finder: &'a mut LineFinder,
    at: ReadContext,
    findings: Vec<Finding>,
}

impl Reading<'_> {
    /// Lines from before this count for no rule.
    fn earliest(&mut self) -> Option<Timestamp> {
        let rules = self.rules.iter_mut();
        rules.map(|rules| rules.start(&self.at)).min()
    }
}

impl Sink for Reading<'_> {
    fn beginning(&mut self, file: &File) -> io::Result<u64> {
        let Some(earliest) = self.earliest() else {
            return Ok(file.metadata()?.len());
        };
        let Self { readers, at, .. } = self;
        // One search for all, because it may read the whole file.
        lookback::beginning(file, earliest, |line| {
            let times = readers.iter().filter_map(|reader| reader.time(line, at));
            times.max()
        })
    }

    fn resumed(&mut self, file: &File, position: u64) -> io::Result<()> {
        let from = position.saturating_sub(CONTEXT_BYTES);
        let mut lines = vec![0; usize::try_from(position - from).unwrap_or_default()];
        let filled = read_at(file, from, &mut lines)?;
        let lines = &lines[..filled];
        // The first line may be incomplete.
        let whole = lines.iter().position(|&byte| from > 0 && byte == b'\n');
        let lines = &lines[whole.map_or(0, |newline| newline + 1)..];
        for rules in &mut *self.rules {
            rules.take_seen(lines, &self.readers[rules.reader], &self.at);
        }
        Ok(())
    }

    fn lines(&mut self, lines: &[u8]) {
        if let Some(earliest) = self.earliest() {
            for reader in &mut *self.readers {
                reader.check(lines, earliest, &self.at);
            }
        }
        let found = self.finder.find(lines);
        for (rules, offsets) in self.rules.iter_mut().zip(found) {
            let reader = &mut self.readers[rules.reader];
            rules.take(lines, offsets, reader, &self.at, &mut self.findings);
        }
    }
}
