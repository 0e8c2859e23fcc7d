//! How far a journal has been read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::object::EntryObject;

/// For how many files the position is remembered at least. Files that are gone may come back, if a disk
/// was away.
const REMEMBERED: usize = 256;

/// How far a journal has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalProgress {
    /// The sequence number of the last entry that was read from each file, by the file's id.
    files: BTreeMap<String, u64>,
    /// The last entry that was read in /run, where journald writes until the disk is there.
    #[serde(default)]
    volatile: Option<Moment>,
}

/// A boot's id, in two halves, and the microseconds since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Moment {
    boot: (u64, u64),
    monotonic: u64,
}

impl JournalProgress {
    /// The sequence number of the last entry that was read from a file; `None` if the file is unknown.
    pub(super) fn of(&self, file: &str) -> Option<u64> {
        self.files.get(file).copied()
    }

    /// Records that an entry was read. Returns false if it was read before.
    pub(super) fn take(&mut self, file: &str, sequence: u64) -> bool {
        if let Some(progress) = self.files.get_mut(file) {
            let is_new = sequence > *progress;
            *progress = sequence.max(*progress);
            return is_new;
        }
        self.files.insert(file.to_owned(), sequence);
        true
    }

    /// Records that an entry was read in /run. journald will copy it to the disk.
    pub(super) fn take_volatile(&mut self, entry: &EntryObject) {
        self.volatile = Some(Moment::of(entry));
    }

    /// Whether an entry on the disk is a copy of one that was read in /run. Compares the monotonic clock,
    /// which nobody sets.
    pub(super) fn copied(&self, entry: &EntryObject) -> bool {
        let moment = Moment::of(entry);
        self.volatile.is_some_and(|volatile| {
            moment.boot == volatile.boot && moment.monotonic <= volatile.monotonic
        })
    }

    /// Forgets files if there are too many, but not those that still exist.
    pub(super) fn forget(&mut self, is_there: impl Fn(&str) -> bool) {
        if self.files.len() > REMEMBERED {
            self.files.retain(|file, _| is_there(file));
        }
    }
}

impl Moment {
    fn of(entry: &EntryObject) -> Self {
        let halves = entry.boot.to_be_bytes();
        let half = |half: &[u8]| half.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        Self {
            boot: (half(&halves[..8]), half(&halves[8..])),
            monotonic: entry.monotonic,
        }
    }
}
