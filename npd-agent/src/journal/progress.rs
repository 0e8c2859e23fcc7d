//! How far a journal has been read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::object::EntryObject;

/// Of how many files it is remembered how far they were read, at least. Those that are gone come
/// back when a disk was away.
const REMEMBERED: usize = 256;

/// How far a journal has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalProgress {
    /// The number of the last entry that was read of each file, by the file's id.
    files: BTreeMap<String, u64>,
    /// The last entry that was read where journald writes until the disk is there.
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
    /// The number of the last entry that was read of a file; `None` if the file is not known.
    pub(super) fn of(&self, file: &str) -> Option<u64> {
        self.files.get(file).copied()
    }

    /// An entry of this number has been read. Whether it was not before.
    pub(super) fn take(&mut self, file: &str, sequence: u64) -> bool {
        if let Some(progress) = self.files.get_mut(file) {
            let is_new = sequence > *progress;
            *progress = sequence.max(*progress);
            return is_new;
        }
        self.files.insert(file.to_owned(), sequence);
        true
    }

    /// An entry has been read that journald will copy to the disk when that is there.
    pub(super) fn take_volatile(&mut self, entry: &EntryObject) {
        self.volatile = Some(Moment::of(entry));
    }

    /// Whether an entry on the disk was read before journald copied it there. The clock of a boot
    /// tells: nobody sets it.
    pub(super) fn copied(&self, entry: &EntryObject) -> bool {
        let moment = Moment::of(entry);
        self.volatile.is_some_and(|volatile| {
            moment.boot == volatile.boot && moment.monotonic <= volatile.monotonic
        })
    }

    /// Forgets files if they are too many, but not those that are there.
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
