//! Reads a journal with every rule set on it.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use crate::journal::{EntryFilter, Journal, JournalEntry, JournalProgress};
use crate::logs::entry_clock::{CountedFrom, EntryClock};
use crate::logs::matcher::LiteralSet;
use crate::monitor::log::rule_set::{Remembered, RuleSet};
use crate::monitor::log::source::follow::{FollowStep, ReadBatch, Worker};
use crate::monitor::log::source::watch::{AddWatchFlags, FolderWatch};
use crate::node::Node;
use crate::node::clock::{self, ClockReading};
use crate::problem::{Finding, Witness};

/// How many entries are read at a time, and about how many findings are made.
const BATCH: usize = 1024;

/// How often the reading position is reported when nothing was found.
const SAVE: Duration = Duration::from_secs(1);

/// Reads a journal with every rule set on it.
pub(crate) struct JournalWorker {
    /// The folder that the config names; `None` for the node's own journal.
    folder: Option<PathBuf>,
    wanted: EntryFilter,
    sets: Vec<RuleSet>,
    /// The literals of all their patterns.
    literals: LiteralSet,
    /// From when on entries count for each of the sets. Set at the start.
    starts: Vec<CountedFrom>,
    clock: EntryClock,
    journal: Option<Journal>,
    /// When the reading position was last reported, and which.
    progress: (Instant, JournalPosition),
    /// The number of entries with an impossible time.
    malformed: u64,
}

/// What is saved for the next start of the agent.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
struct JournalPosition {
    #[serde(flatten)]
    progress: JournalProgress,
    rules: Remembered,
}

impl JournalWorker {
    pub(super) fn new(
        folder: Option<PathBuf>,
        wanted: EntryFilter,
        sets: Vec<RuleSet>,
    ) -> anyhow::Result<Self> {
        let matchers = sets.iter().map(|set| &set.matcher);
        Ok(Self {
            folder,
            wanted,
            literals: LiteralSet::of(matchers).context("combining the rules' patterns")?,
            sets,
            starts: Vec::new(),
            clock: EntryClock::default(),
            journal: None,
            progress: (Instant::now(), JournalPosition::default()),
            malformed: 0,
        })
    }

    fn take(&mut self, entry: &JournalEntry, now: ClockReading, found: &mut Vec<Finding>) {
        let micros = i64::try_from(entry.realtime).ok();
        let Some(time) = micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()) else {
            self.malformed += 1;
            return;
        };
        let message = String::from_utf8_lossy(&entry.message);
        let message = message.trim();
        let witness = if entry.from_kernel {
            Witness::KernelText
        } else {
            Witness::Other
        };
        let written = self.clock.written(time, now);
        let has_literal = self.literals.is_in_entry(message);
        for (set, start) in self.sets.iter_mut().zip(&mut self.starts) {
            if time < start.at(now) || set.skips(message) {
                continue;
            }
            if entry.again {
                set.matcher.push_seen(time, message);
            } else if has_literal || set.matcher.is_armed() {
                found.extend(set.take(written, message, witness));
            } else {
                set.matcher.push_unmatched(time, message);
            }
        }
    }

    /// Reads a batch of entries. When everything is read, watches the folders.
    fn step(
        &mut self,
        watch: Option<&mut FolderWatch>,
        now: ClockReading,
        found: &mut Vec<Finding>,
    ) -> io::Result<FollowStep> {
        let Some(mut journal) = self.journal.take() else {
            return Ok(FollowStep::Absent);
        };
        journal.scan();
        let mut entries = 0;
        while entries < BATCH
            && found.len() < BATCH
            && let Some(entry) = journal.next_entry()
        {
            entries += 1;
            self.take(&entry, now, found);
        }
        let settled = journal.settle();
        let journal = self.journal.insert(journal);
        if entries == BATCH || found.len() >= BATCH || !settled? {
            return Ok(FollowStep::More);
        }
        let folders = journal.folders();
        let watched: Vec<_> = folders.iter().map(|folder| (&**folder, CHANGES)).collect();
        Ok(if watch.is_some_and(|watch| watch.renew(&watched)) {
            FollowStep::More
        } else if journal.is_absent() {
            FollowStep::Absent
        } else {
            FollowStep::End
        })
    }

    fn changed_position(&mut self, now: bool) -> Option<Value> {
        let (when, progress) = &mut self.progress;
        if !now && when.elapsed() < SAVE {
            return None;
        }
        *when = Instant::now();
        let position = JournalPosition {
            progress: self.journal.as_ref()?.progress().clone(),
            rules: Remembered::of(&self.sets),
        };
        if position == *progress {
            return None;
        }
        progress.clone_from(&position);
        serde_json::to_value(&position).ok()
    }
}

impl Worker for JournalWorker {
    fn start(&mut self, node: &Node, position: Option<&Value>) {
        let position = position.map(JournalPosition::deserialize);
        if let Some(Err(error)) = &position {
            warn!(%error, "Ignoring a saved position in the journal that cannot be understood");
        }
        let (now, uptime) = (ClockReading::now(), clock::uptime());
        let resumed = position.and_then(Result::ok);
        if let Some(position) = &resumed {
            for set in &mut self.sets {
                set.remember(&position.rules);
                set.window = set.window.resumed();
            }
        }
        let starts = self.sets.iter();
        self.starts = starts
            .map(|set| CountedFrom::new(set.window, now, uptime))
            .collect();
        let starts = self.starts.iter_mut();
        let since = starts.map(|start| start.at(now).as_microsecond()).min();
        let since = since.and_then(|since| u64::try_from(since).ok());
        let (since, wanted) = (since.unwrap_or_default(), self.wanted.clone());
        let mut journal = match &self.folder {
            Some(folder) => Journal::in_folder(folder.clone(), wanted, since),
            None => Journal::of_node(&node.roots, wanted, since),
        };
        if let Some(position) = resumed {
            let context = self.sets.iter().map(|set| set.matcher.context_size()).max();
            journal = journal.resumed(position.progress, context.unwrap_or_default());
        }
        self.journal = Some(journal);
    }

    fn read(&mut self, watch: Option<&mut FolderWatch>) -> ReadBatch {
        let mut findings = Vec::new();
        let now = ClockReading::now();
        let step = self.step(watch, now, &mut findings);
        findings.extend(self.sets.iter_mut().flat_map(|set| set.expired(now)));
        if let Ok(FollowStep::End) = step {
            self.clock.catch_up(now);
        }
        let unread = self.journal.as_mut().map(Journal::take_malformed);
        ReadBatch {
            step,
            malformed: std::mem::take(&mut self.malformed) + unread.unwrap_or_default(),
            too_old: 0,
            degraded: None,
            progress: self.changed_position(!findings.is_empty()),
            findings,
        }
    }
}

/// What inotify must watch in a journal's folder. journald writes through a memory map, which inotify
/// does not see. So after each write it truncates the file to its present length, which inotify sees.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_MODIFY
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE);
