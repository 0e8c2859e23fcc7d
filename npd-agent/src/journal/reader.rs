//! Reads a journal: every file in its folders, in the order of their entries.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::warn;

use super::corruption::is_corrupt;
use super::file::{JournalFile, OpenedFile, Peeked};
use super::folder::{Inode, Listed, Root, files};
use super::object::FileState;
use super::open::{FinishedJournal, OpenJournal};
use super::progress::JournalProgress;
use super::terms::EntryFilter;
use crate::node::Roots;
use crate::node::files::open_regular;

/// How long a file that is being written may look damaged before it is given up.
const GRACE: Duration = Duration::from_secs(2);

/// How long a deleted file is still read if its writer has not closed it.
const DELETED_GRACE: Duration = Duration::from_mins(1);

/// A journal, and how far it has been read.
#[derive(Debug)]
pub struct Journal {
    roots: Vec<Root>,
    wanted: EntryFilter,
    /// Entries before this time do not count, in microseconds since 1970.
    since: u64,
    /// How many of the entries that an earlier agent has read are returned again.
    repeated: u64,
    /// Whether the folders were listed at least once.
    begun: bool,
    files: Vec<OpenJournal>,
    /// Files that are read to their end and will not grow, and damaged files.
    finished: BTreeMap<Inode, FinishedJournal>,
    /// Files that look damaged, and since when.
    suspects: BTreeMap<Inode, Instant>,
    progress: JournalProgress,
    malformed: u64,
    read_error: Option<io::Error>,
}

/// An entry that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its sequence number, which is unique in files with the same sequence number id.
    pub sequence: u64,
    /// When it was received, in microseconds since 1970.
    pub realtime: u64,
    /// The same, in microseconds since the boot.
    pub monotonic: u64,
    /// The id of the boot.
    pub boot: u128,
    /// Whether the kernel wrote it.
    pub from_kernel: bool,
    /// Whether an earlier agent has read it.
    pub again: bool,
    /// Its message, or the first MiB of it.
    pub message: Vec<u8>,
}

impl Journal {
    /// The entries since `since` in the journal files of a folder, or of the machines' folders in it, or in
    /// one file.
    pub fn in_folder(path: PathBuf, wanted: EntryFilter, since: u64) -> Self {
        let volatile = false;
        Self::of(vec![Root { path, volatile }], wanted, since)
    }

    /// The entries since `since` in the node's own journal.
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
            repeated: 0,
            begun: false,
            files: Vec::new(),
            finished: BTreeMap::new(),
            suspects: BTreeMap::new(),
            progress: JournalProgress::default(),
            malformed: 0,
            read_error: None,
        }
    }

    /// Continues where an earlier agent stopped, and first returns the last `repeated` entries again.
    #[must_use]
    pub fn resumed(self, progress: JournalProgress, repeated: u64) -> Self {
        Self {
            repeated,
            progress,
            ..self
        }
    }

    /// How far it has been read.
    pub fn progress(&self) -> &JournalProgress {
        &self.progress
    }

    /// The number of damaged entries and files since the last call.
    pub fn take_malformed(&mut self) -> u64 {
        std::mem::take(&mut self.malformed)
    }

    /// Whether there is no journal at all.
    pub fn is_absent(&self) -> bool {
        self.files.is_empty() && self.finished.is_empty()
    }

    /// The folders in which journal files may appear.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.roots.iter().flat_map(Root::folders).collect()
    }

    /// Opens new files, and marks those that were deleted.
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
        let file = match open_regular(&listed.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        if file.metadata()?.len() == 0 {
            return Ok(()); // It is just being created.
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
                    file.rewind(self.repeated);
                }
            }
            // In files that appear later, all entries are new, whatever their times.
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

    /// Handles a file that cannot be read. If the disk fails, the caller must try again. If the file is
    /// damaged, it is ignored from now on. But a file that is being written first gets some time.
    /// Returns whether the file is given up.
    fn suspect(&mut self, inode: Inode, path: &Path, error: io::Error, closed: bool) -> bool {
        if !is_corrupt(&error) {
            self.read_error = Some(error);
            return true;
        }
        let since = self.suspects.entry(inode).or_insert_with(Instant::now);
        if !closed && since.elapsed() < GRACE {
            return false;
        }
        warn!(file = %path.display(), %error, "Ignoring a damaged journal file");
        self.malformed += 1;
        let finished = FinishedJournal {
            path: path.to_owned(),
            id: String::new(),
        };
        self.finished.insert(inode, finished);
        true
    }

    /// The next entry; `None` if everything is read.
    pub fn next_entry(&mut self) -> Option<JournalEntry> {
        loop {
            self.read_ahead();
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

    /// Reads the next entry of each file.
    fn read_ahead(&mut self) {
        let mut index = 0;
        while let Some(open) = self.files.get_mut(index) {
            if open.next.is_some() || open.ended {
                index += 1;
                continue;
            }
            match open.file.peek() {
                // This is journald's copy of an entry that was read in /run.
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
                Ok(Peeked::Damaged { last, error }) => self.skip_damaged(index, last, &error),
                Err(error) => self.fail(index, error),
            }
        }
    }

    /// Skips a damaged entry. If it may be just being written, it first gets some time.
    fn skip_damaged(&mut self, index: usize, last: bool, error: &io::Error) {
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

    /// Handles an error in the middle of a file.
    fn fail(&mut self, index: usize, error: io::Error) {
        let open = &mut self.files[index];
        open.ended = true;
        let closed = !open.is_being_written();
        let (inode, path) = (open.inode, open.path.clone());
        if self.suspect(inode, &path, error, closed) {
            self.files.swap_remove(index);
        }
    }

    /// Returns the next entry of a file.
    fn take(&mut self, index: usize) -> Option<JournalEntry> {
        let open = &mut self.files[index];
        let found = open.next.take()?;
        let message = match open.file.message(&found) {
            Ok(message) => message,
            Err(error) if is_corrupt(&error) => {
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

    /// Closes the files that are read to their end and will not grow. Returns false if one of them has
    /// grown meanwhile and must be read again.
    ///
    /// # Errors
    /// Some files could not be read. All others were read.
    pub fn settle(&mut self) -> io::Result<bool> {
        let mut index = 0;
        let mut settled = true;
        while let Some(open) = self.files.get_mut(index) {
            let gone_for = open.gone.map(|gone| gone.elapsed());
            let closed = match open.file.state() {
                Ok(FileState::Archived) => true,
                Ok(FileState::Offline) => gone_for.is_some(),
                Ok(FileState::Online) => gone_for.is_some_and(|gone| gone > DELETED_GRACE),
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
            // It may have grown before its writer closed it.
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
        self.read_error.take().map_or(Ok(settled), Err)
    }
}
