//! Reads a journal: every file in its folders, in the order of their entries.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::warn;

use super::corruption::is_nonsense;
use super::file::{JournalFile, OpenedFile, Peeked};
use super::folder::{Inode, Listed, Root, files};
use super::object::FileState;
use super::open::{FinishedJournal, OpenJournal};
use super::progress::JournalProgress;
use super::terms::EntryFilter;
use crate::node::Roots;

/// How long it is waited for sense in a file that is being written.
const GRACE: Duration = Duration::from_secs(2);

/// How long a deleted file is read that its writer has not closed.
const WAKE: Duration = Duration::from_mins(1);

/// A journal, and how far it has been read.
#[derive(Debug)]
pub struct Journal {
    roots: Vec<Root>,
    wanted: EntryFilter,
    /// Entries before are of no interest, in microseconds since 1970.
    since: u64,
    /// How many entries are handed out again of those that an earlier agent has read.
    recalled: u64,
    /// Whether the folders have been looked at.
    begun: bool,
    files: Vec<OpenJournal>,
    /// Files that are read to their end and will not grow, or that make no sense.
    finished: BTreeMap<Inode, FinishedJournal>,
    /// Since when files make no sense.
    suspects: BTreeMap<Inode, Instant>,
    progress: JournalProgress,
    malformed: u64,
    trouble: Option<io::Error>,
}

/// An entry that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its number, within a row of files.
    pub sequence: u64,
    /// When it was received, in microseconds since 1970.
    pub realtime: u64,
    /// The same, in microseconds since the boot.
    pub monotonic: u64,
    /// The id of the boot.
    pub boot: u128,
    /// Whether it is the kernel who says it.
    pub from_kernel: bool,
    /// Whether it was handed out before the agent was started.
    pub again: bool,
    /// What it says, or the first MiB of that.
    pub message: Vec<u8>,
}

impl Journal {
    /// The entries in the journal files of a folder, or of the machines' folders in it, that were
    /// received since then.
    pub fn in_folder(path: PathBuf, wanted: EntryFilter, since: u64) -> Self {
        let volatile = false;
        Self::of(vec![Root { path, volatile }], wanted, since)
    }

    /// The entries in the node's own journal that were received since then.
    pub fn of_node(roots: &Roots, wanted: EntryFilter, since: u64) -> Self {
        let root = |path: PathBuf, volatile| Root { path, volatile };
        let roots = vec![
            root(roots.run.join("log/journal"), true),
            root(roots.log.join("journal"), false),
        ];
        Self::of(roots, wanted, since)
    }

    fn of(roots: Vec<Root>, wanted: EntryFilter, since: u64) -> Self {
        Self {
            roots,
            wanted,
            since,
            recalled: 0,
            begun: false,
            files: Vec::new(),
            finished: BTreeMap::new(),
            suspects: BTreeMap::new(),
            progress: JournalProgress::default(),
            malformed: 0,
            trouble: None,
        }
    }

    /// Goes on where an earlier agent stopped, but hands out so many entries again.
    #[must_use]
    pub fn resumed(self, progress: JournalProgress, recalled: u64) -> Self {
        Self {
            recalled,
            progress,
            ..self
        }
    }

    /// How far it has been read.
    pub fn progress(&self) -> &JournalProgress {
        &self.progress
    }

    /// How much made no sense since this was asked last: entries, and files.
    pub fn take_malformed(&mut self) -> u64 {
        std::mem::take(&mut self.malformed)
    }

    /// Whether there is no journal at all.
    pub fn is_absent(&self) -> bool {
        self.files.is_empty() && self.finished.is_empty()
    }

    /// The folders in which files may come.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.roots.iter().flat_map(Root::folders).collect()
    }

    /// Looks for files that are new, and for those that are gone.
    pub fn scan(&mut self) {
        let listed = files(&self.roots);
        self.finished.retain(|inode, finished| {
            let listed = listed.get(inode);
            listed.is_some_and(|listed| listed.path == finished.path)
        });
        self.suspects.retain(|inode, _| listed.contains_key(inode));
        for open in &mut self.files {
            open.ended = false;
            match listed.get(&open.inode) {
                Some(listed) => {
                    open.path.clone_from(&listed.path);
                    open.gone = None;
                }
                None => _ = open.gone.get_or_insert_with(Instant::now),
            }
        }
        for (inode, listed) in listed {
            let known = self.finished.contains_key(&inode)
                || self.files.iter().any(|open| open.inode == inode);
            if !known && let Err(error) = self.open(inode, &listed) {
                self.suspect(inode, &listed.path, error, false);
            }
        }
        self.begun = true;
        let (files, finished) = (&self.files, &self.finished);
        self.progress.forget(|id| {
            files.iter().any(|open| open.id == id) || finished.values().any(|file| file.id == id)
        });
    }

    fn open(&mut self, inode: Inode, listed: &Listed) -> io::Result<()> {
        let file = match File::open(&listed.path) {
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
        match self.progress.of(&id) {
            Some(progress) => {
                file.seek(|entry| entry.sequence <= progress)?;
                if !self.begun {
                    file.rewind(self.recalled);
                }
            }
            // Of files that come later all is new, whatever the clock said.
            None if self.begun => _ = self.progress.take(&id, 0),
            None => {
                let passed = file.seek(|entry| entry.realtime < self.since)?;
                self.progress.take(&id, passed);
            }
        }
        self.suspects.remove(&inode);
        self.files.push(OpenJournal::new(inode, listed, id, file));
        Ok(())
    }

    /// A file cannot be read. If that is the disk's fault, it is for the caller to try again. If the
    /// file makes no sense, it is left alone, but not at once while it may be being written.
    /// Whether it is given up.
    fn suspect(&mut self, inode: Inode, path: &Path, error: io::Error, closed: bool) -> bool {
        if !is_nonsense(&error) {
            self.trouble = Some(error);
            return true;
        }
        let since = self.suspects.entry(inode).or_insert_with(Instant::now);
        if !closed && since.elapsed() < GRACE {
            return false;
        }
        warn!(file = %path.display(), %error, "Leaving out a journal file that cannot be understood");
        self.malformed += 1;
        let finished = FinishedJournal {
            path: path.to_owned(),
            id: String::new(),
        };
        self.finished.insert(inode, finished);
        true
    }

    /// The next entry; `None` if all is read.
    pub fn next_entry(&mut self) -> Option<JournalEntry> {
        loop {
            self.look_ahead();
            let mut first: Option<(usize, &OpenedFile)> = None;
            for (index, open) in self.files.iter().enumerate() {
                if let Some(next) = &open.next
                    && first.is_none_or(|(_, first)| next.is_before(first))
                {
                    first = Some((index, next));
                }
            }
            let (index, _) = first?;
            if let Some(entry) = self.take(index) {
                return Some(entry);
            }
        }
    }

    /// Sees to it that the next entry of each file is known.
    fn look_ahead(&mut self) {
        let mut index = 0;
        while let Some(open) = self.files.get_mut(index) {
            if open.next.is_some() || open.ended {
                index += 1;
                continue;
            }
            match open.file.peek() {
                // journald copied it to the disk, after it was read where it was before.
                Ok(Peeked::JournalEntry(found))
                    if !open.volatile && self.progress.copied(&found.entry) =>
                {
                    open.file.pass(found.entry.sequence);
                }
                Ok(Peeked::JournalEntry(found)) => {
                    self.suspects.remove(&open.inode);
                    open.next = Some(found);
                }
                Ok(Peeked::End) => open.ended = true,
                Ok(Peeked::Nonsense { last, error }) => self.pass_over(index, last, &error),
                Err(error) => self.fail(index, error),
            }
        }
    }

    /// An entry makes no sense. If it may be just being written, there is time.
    fn pass_over(&mut self, index: usize, last: bool, error: &io::Error) {
        let open = &mut self.files[index];
        let since = self.suspects.entry(open.inode);
        let since = since.or_insert_with(Instant::now).elapsed();
        if last && since < GRACE && open.is_being_written() {
            open.ended = true;
            return;
        }
        open.warn(error);
        self.malformed += 1;
        if let Err(error) = open.file.skip() {
            self.fail(index, error);
        }
    }

    /// A file cannot be read on.
    fn fail(&mut self, index: usize, error: io::Error) {
        let open = &mut self.files[index];
        open.ended = true;
        let closed = !open.is_being_written();
        let (inode, path) = (open.inode, open.path.clone());
        if self.suspect(inode, &path, error, closed) {
            self.files.swap_remove(index);
        }
    }

    /// Hands out the next entry of a file.
    fn take(&mut self, index: usize) -> Option<JournalEntry> {
        let open = &mut self.files[index];
        let found = open.next.take()?;
        let message = match open.file.message(&found) {
            Ok(message) => message,
            Err(error) if is_nonsense(&error) => {
                open.warn(&error);
                self.malformed += 1;
                open.file.pass(found.entry.sequence);
                return None;
            }
            Err(error) => {
                self.fail(index, error);
                return None;
            }
        };
        let OpenedFile {
            entry, from_kernel, ..
        } = found;
        open.file.pass(entry.sequence);
        if open.volatile {
            self.progress.take_volatile(&entry);
        }
        let again = !self.progress.take(&open.id, entry.sequence);
        Some(JournalEntry {
            sequence: entry.sequence,
            realtime: entry.realtime,
            monotonic: entry.monotonic,
            boot: entry.boot,
            from_kernel,
            again,
            message,
        })
    }

    /// Closes the files that are read to their end and will not grow. Whether really all is read.
    ///
    /// # Errors
    /// Some files could not be read. All others were.
    pub fn settle(&mut self) -> io::Result<bool> {
        let mut index = 0;
        let mut settled = true;
        while let Some(open) = self.files.get_mut(index) {
            let gone_for = open.gone.map(|gone| gone.elapsed());
            let closed = match open.file.state() {
                Ok(FileState::Archived) => true,
                Ok(FileState::Offline) => gone_for.is_some(),
                Ok(FileState::Online) => gone_for.is_some_and(|gone| gone > WAKE),
                Err(error) => {
                    let files = self.files.len();
                    self.fail(index, error);
                    index += usize::from(files == self.files.len());
                    continue;
                }
            };
            if !closed || !open.ended {
                index += 1;
                continue;
            }
            // It may have grown between its end and its being closed.
            if let Ok(Peeked::End) = open.file.peek() {
                let OpenJournal {
                    inode,
                    path,
                    id,
                    gone,
                    ..
                } = self.files.swap_remove(index);
                if gone.is_none() {
                    self.finished.insert(inode, FinishedJournal { path, id });
                }
            } else {
                open.ended = false;
                settled = false;
                index += 1;
            }
        }
        self.trouble.take().map_or(Ok(settled), Err)
    }
}
