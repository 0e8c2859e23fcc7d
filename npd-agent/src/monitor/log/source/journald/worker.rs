//! Reads a journal: every file in its folders, in the order of their entries.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use super::file::{Found, JournalFile};
use super::folder::{Inode, files, folders};
use super::terms::Wanted;
use crate::monitor::log::rule_set::{Remembered, RuleSet};
use crate::monitor::log::source::follow::{Look, Step, Worker};
use crate::monitor::log::source::watch::{AddWatchFlags, Watch};
use crate::node::{self, Node};
use crate::problem::{Finding, Witness};

/// How many entries are read in a look.
const BATCH: usize = 1024;

/// How often it is said how far the journal is read, when nothing was found.
const SAVE: Duration = Duration::from_secs(1);

/// Reads a journal with every rule set on it.
pub(crate) struct JournalWorker {
    /// The folder that the config names; `None` for the node's own journal.
    folder: Option<PathBuf>,
    wanted: Wanted,
    /// The rule sets, and from when on entries count for each.
    sets: Vec<(RuleSet, Timestamp)>,
    /// The folders that hold the journal, or whose subfolders do.
    roots: Vec<PathBuf>,
    /// The entries of files from before are looked for by their time until this is set.
    begun: bool,
    /// Whether the last look has read everything.
    ended: bool,
    files: Vec<Open>,
    /// Files that are read to their end and will not grow, by their ids; or that cannot be read.
    finished: BTreeMap<Inode, String>,
    place: Place,
    said: (Instant, Place),
    malformed: u64,
}

/// A file that is being read.
struct Open {
    inode: Inode,
    path: PathBuf,
    id: String,
    file: JournalFile,
    /// The next entry, if it has been looked at.
    next: Option<Found>,
    ended: bool,
}

/// Where an agent that is started again goes on.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
struct Place {
    /// The number of the last entry that was read of each file, by the file's id.
    files: BTreeMap<String, u64>,
    rules: Remembered,
}

impl JournalWorker {
    pub(super) fn new(folder: Option<PathBuf>, wanted: Wanted, sets: Vec<RuleSet>) -> Self {
        Self {
            folder,
            wanted,
            sets: sets.into_iter().map(|set| (set, Timestamp::MAX)).collect(),
            roots: Vec::new(),
            begun: false,
            ended: true,
            files: Vec::new(),
            finished: BTreeMap::new(),
            place: Place::default(),
            said: (Instant::now(), Place::default()),
            malformed: 0,
        }
    }

    /// Opens the files that are new, and forgets those that are gone.
    fn scan(&mut self) -> io::Result<()> {
        let listed = files(&folders(&self.roots));
        self.finished.retain(|inode, _| listed.contains_key(inode));
        self.files
            .retain(|open| !open.ended || listed.contains_key(&open.inode));
        for (inode, path) in listed {
            let known = self.finished.contains_key(&inode)
                || self.files.iter().any(|open| open.inode == inode);
            if !known && let Err(error) = self.open(inode, &path) {
                self.give_up(inode, &path, error)?;
            }
        }
        self.begun = true;
        let open = self.files.iter().map(|open| &open.id);
        let there: BTreeSet<_> = self.finished.values().chain(open).cloned().collect();
        self.place.files.retain(|id, _| there.contains(id));
        Ok(())
    }

    fn open(&mut self, inode: Inode, path: &Path) -> io::Result<()> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        if file.metadata()?.len() == 0 {
            return Ok(()); // It is just being made.
        }
        let mut file = JournalFile::open(file, &self.wanted)?;
        let id = format!("{:032x}", file.id());
        if self.files.iter().any(|open| open.id == id) {
            return Ok(()); // It is a copy.
        }
        if let Some(reached) = self.place.files.get(&id) {
            file.seek(|entry| entry.sequence <= *reached)?;
            let recalled = self.sets.iter().map(|(set, _)| set.matcher.recalls()).max();
            file.rewind(recalled.unwrap_or_default());
        } else if !self.begun {
            let starts = self.sets.iter().map(|(_, start)| start.as_microsecond());
            let start = starts
                .min()
                .and_then(|start| u64::try_from(start).ok())
                .unwrap_or_default();
            if file.tail_realtime() < start && file.is_archived()? {
                self.place.files.insert(id.clone(), 0);
                self.finished.insert(inode, id);
                return Ok(());
            }
            file.seek(|entry| entry.realtime < start)?;
        }
        self.place.files.entry(id.clone()).or_default();
        self.files.push(Open {
            inode,
            path: path.to_owned(),
            id,
            file,
            next: None,
            ended: false,
        });
        Ok(())
    }

    /// A file that makes no sense is left alone. If it is the disk that fails, that is an error.
    fn give_up(&mut self, inode: Inode, path: &Path, error: io::Error) -> io::Result<()> {
        use io::ErrorKind::{InvalidData, UnexpectedEof, Unsupported};
        if !matches!(error.kind(), InvalidData | UnexpectedEof | Unsupported) {
            return Err(error);
        }
        warn!(file = %path.display(), %error, "Leaving out a journal file that cannot be understood");
        self.malformed += 1;
        self.files.retain(|open| open.inode != inode);
        self.finished.insert(inode, String::new());
        Ok(())
    }

    /// Reads a batch of entries. Whether there may be more.
    fn read(&mut self, found: &mut Vec<Finding>) -> io::Result<bool> {
        for open in &mut self.files {
            open.ended = false;
        }
        for _ in 0..BATCH {
            let Some(index) = self.earliest()? else {
                return Ok(false);
            };
            if let Err(error) = self.take(index, found) {
                self.fail(index, error)?;
            }
        }
        Ok(true)
    }

    /// The file with the earliest entry that is to be read.
    fn earliest(&mut self) -> io::Result<Option<usize>> {
        let mut index = 0;
        while let Some(open) = self.files.get_mut(index) {
            if open.next.is_none() && !open.ended {
                match open.file.peek() {
                    Ok(next) => {
                        open.ended = next.is_none();
                        open.next = next;
                    }
                    Err(error) => {
                        self.fail(index, error)?;
                        continue;
                    }
                }
            }
            index += 1;
        }
        let times = self.files.iter().enumerate().filter_map(|(index, open)| {
            let next = open.next.as_ref()?;
            Some((next.realtime, next.sequence, index))
        });
        Ok(times.min().map(|(.., index)| index))
    }

    fn fail(&mut self, index: usize, error: io::Error) -> io::Result<()> {
        let Open {
            inode, ref path, ..
        } = self.files[index];
        let path = path.clone();
        self.give_up(inode, &path, error)
    }

    /// Takes in the next entry of a file.
    fn take(&mut self, index: usize, found: &mut Vec<Finding>) -> io::Result<()> {
        let open = &mut self.files[index];
        let Some(next) = open.next.take() else {
            return Ok(());
        };
        let message = open.file.message(&next)?;
        open.file.pass(next.sequence)?;
        let reached = self.place.files.entry(open.id.clone()).or_default();
        let recalled = next.sequence <= *reached;
        *reached = next.sequence.max(*reached);
        let message = String::from_utf8_lossy(&message);
        let message = message.trim();
        let micros = i64::try_from(next.realtime).ok();
        let Some(time) = micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()) else {
            self.malformed += 1;
            return Ok(());
        };
        let witness = if next.from_kernel {
            Witness::KernelText
        } else {
            Witness::Other
        };
        for (set, start) in &mut self.sets {
            if time < *start || set.skips(message) {
                continue;
            }
            if recalled {
                set.matcher.recall(time, message);
            } else {
                found.extend(set.take(time, message, witness));
            }
        }
        Ok(())
    }

    /// Closes the files that are read to their end and will not grow.
    fn close_archived(&mut self) -> io::Result<()> {
        let mut index = 0;
        while let Some(open) = self.files.get_mut(index) {
            match open.file.is_archived() {
                Ok(true) if open.ended => {
                    let Open { inode, id, .. } = self.files.swap_remove(index);
                    self.finished.insert(inode, id);
                }
                Ok(_) => index += 1,
                Err(error) => self.fail(index, error)?,
            }
        }
        Ok(())
    }

    /// Reads what can be read at once, and watches for more.
    fn step(&mut self, watch: Option<&mut Watch>, found: &mut Vec<Finding>) -> io::Result<Step> {
        if self.ended {
            self.scan()?;
        }
        self.ended = !self.read(found)?;
        if !self.ended {
            return Ok(Step::More);
        }
        self.close_archived()?;
        let folders = folders(&self.roots);
        let watched: Vec<_> = folders.iter().map(|folder| (&**folder, CHANGES)).collect();
        if watch.is_some_and(|watch| watch.renew(&watched)) {
            return Ok(Step::More);
        }
        let empty = self.files.is_empty() && self.finished.is_empty();
        Ok(if empty { Step::Absent } else { Step::End })
    }

    fn news_of_place(&mut self, now: bool) -> Option<Value> {
        let (when, said) = &mut self.said;
        if !now && when.elapsed() < SAVE {
            return None;
        }
        *when = Instant::now();
        self.place.rules = Remembered::of(self.sets.iter().map(|(set, _)| set));
        if self.place == *said {
            return None;
        }
        said.clone_from(&self.place);
        serde_json::to_value(&self.place).ok()
    }
}

impl Worker for JournalWorker {
    fn start(&mut self, node: &Node, place: Option<&Value>) {
        self.roots = match &self.folder {
            Some(folder) => vec![folder.clone()],
            None => vec![
                node.roots.run.join("log/journal"),
                node.roots.log.join("journal"),
            ],
        };
        let place = place.map(Place::deserialize);
        if let Some(Err(error)) = &place {
            warn!(%error, "Ignoring the place in the journal that a checkpoint gives");
        }
        let (now, uptime) = (Timestamp::now(), node::uptime());
        let resumed = place.and_then(Result::ok);
        for (set, start) in &mut self.sets {
            if let Some(place) = &resumed {
                set.remember(&place.rules);
                set.window = set.window.resumed();
            }
            *start = set.window.start_time(now, uptime);
        }
        if let Some(place) = resumed {
            self.place = place;
        }
    }

    fn look(&mut self, watch: Option<&mut Watch>) -> Look {
        let mut findings = Vec::new();
        let step = self.step(watch, &mut findings);
        let now = Timestamp::now();
        findings.extend(self.sets.iter_mut().flat_map(|(set, _)| set.expired(now)));
        Look {
            step,
            malformed: std::mem::take(&mut self.malformed),
            reached: self.news_of_place(!findings.is_empty()),
            findings,
        }
    }
}

/// What tells of changes of a journal. journald maps its files, which nobody sees; but then it
/// truncates them to the length they have, for this very purpose.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_MODIFY
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE);
