//! Everything that touches a log file, and so may have to wait for a disk.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use super::fingerprint::read_at;
use super::lookback;
use super::rules::{Circumstances, FileRules};
use super::tail::{Places, Sink, Tail};
use super::translate::LineTranslator;
use crate::monitor::log::rule_set::{Remembered, RuleSet};
use crate::monitor::log::source::follow::{FollowStep, Look, Worker};
use crate::monitor::log::source::watch::{AddWatchFlags, FolderWatch};
use crate::node::{Node, clock};
use crate::problem::Finding;

/// How often it is said how far the file is read, when nothing was found.
const SAVE: Duration = Duration::from_secs(1);

/// How much is looked at again of what was read before the agent was started, in bytes.
const RECALLED: u64 = 256 << 10;

/// Reads a log file with every rule set on it.
pub(crate) struct FileWorker {
    path: PathBuf,
    tail: Tail,
    rules: Vec<FileRules>,
    /// Whether it has been said that lines cannot be read.
    warned: bool,
    /// When it was last said how far the file is read, and how far that was.
    progress: (Instant, FilePosition),
}

/// Where an agent that is started again goes on.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FilePosition {
    places: Places,
    rules: Remembered,
}

impl FileWorker {
    pub(super) fn new(path: PathBuf, sets: Vec<(RuleSet, LineTranslator)>) -> Self {
        let rules = sets
            .into_iter()
            .map(|(set, translator)| FileRules::new(set, translator));
        Self {
            tail: Tail::new(path.clone(), Places::default()),
            path,
            rules: rules.collect(),
            warned: false,
            progress: (Instant::now(), FilePosition::default()),
        }
    }

    fn malformed(&mut self) -> u64 {
        let untranslated = self
            .rules
            .iter_mut()
            .map(|rules| std::mem::take(&mut rules.untranslated));
        let untranslated: u64 = untranslated.sum();
        if untranslated > 0 && !std::mem::replace(&mut self.warned, true) {
            warn!(file = %self.path.display(), "Log file has lines whose time or message is not as its config says");
        }
        untranslated + std::mem::take(&mut self.tail.cut)
    }

    fn news_of_places(&mut self, now: bool) -> Option<Value> {
        let (when, progress) = &mut self.progress;
        if !now && when.elapsed() < SAVE {
            return None;
        }
        let place = FilePosition {
            places: self.tail.places(),
            rules: Remembered::of(self.rules.iter().map(|rules| &rules.set)),
        };
        *when = Instant::now();
        if place == *progress {
            return None;
        }
        progress.clone_from(&place);
        serde_json::to_value(place).ok()
    }
}

impl Worker for FileWorker {
    fn start(&mut self, _: &Node, place: Option<&Value>) {
        let Some(place) = place.map(FilePosition::deserialize) else {
            return;
        };
        let Ok(place) = place else {
            warn!(file = %self.path.display(), "Ignoring the place in a log file that a checkpoint gives");
            return;
        };
        for rules in &mut self.rules {
            rules.resume(&place.rules);
        }
        self.tail = Tail::new(self.path.clone(), place.places);
    }

    fn look(&mut self, watch: Option<&mut FolderWatch>) -> Look {
        let mut reading = Reading {
            rules: &mut self.rules,
            at: Circumstances {
                now: Timestamp::now(),
                uptime: clock::uptime(),
                zone: TimeZone::system(),
            },
            findings: Vec::new(),
        };
        let mut step = self.tail.step(Instant::now(), &mut reading);
        let Reading {
            at: Circumstances { now, .. },
            mut findings,
            ..
        } = reading;
        findings.extend(
            self.rules
                .iter_mut()
                .flat_map(|rules| rules.set.expired(now)),
        );
        if let Ok(FollowStep::End | FollowStep::Absent) = step
            && let Some(watch) = watch
            && watch.renew(&watched(&self.path))
        {
            // All is read only if the file that was read is the one that is watched.
            step = Ok(FollowStep::More);
        }
        Look {
            step,
            malformed: self.malformed(),
            progress: self.news_of_places(!findings.is_empty()),
            findings,
        }
    }
}

/// What tells of changes of a file: its content, and the names in its folder.
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
    at: Circumstances,
    findings: Vec<Finding>,
}

impl Sink for Reading<'_> {
    fn beginning(&mut self, file: &File) -> io::Result<u64> {
        let mut earliest = file.metadata()?.len();
        for rules in &mut *self.rules {
            let start = rules.start(&self.at);
            let from = lookback::beginning(file, start, |line| rules.time(line, &self.at))?;
            earliest = earliest.min(from);
        }
        Ok(earliest)
    }

    fn resumed(&mut self, file: &File, position: u64) -> io::Result<()> {
        let from = position.saturating_sub(RECALLED);
        let mut lines = vec![0; usize::try_from(position - from).unwrap_or_default()];
        let filled = read_at(file, from, &mut lines)?;
        let lines = &lines[..filled];
        // The first line may have begun before.
        let whole = lines.iter().position(|&byte| from > 0 && byte == b'\n');
        let lines = &lines[whole.map_or(0, |newline| newline + 1)..];
        for rules in &mut *self.rules {
            rules.recall(lines, &self.at);
        }
        Ok(())
    }

    fn lines(&mut self, lines: &[u8]) {
        for rules in &mut *self.rules {
            rules.take(lines, &self.at, &mut self.findings);
        }
    }
}
