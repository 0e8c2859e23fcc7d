//! Notes about the lines that were printed, so that a restarted agent does not print them again.
//!
//! A checkpoint contains the reading position of a source. It is written only when everything before
//! that position was printed. If the agent is killed before that, the next one reads the same entries
//! again. The notes say which of them were already printed. A note is written immediately after its
//! line, with one system call, so the agent is hardly ever killed between the two. When a checkpoint
//! covers a note, the note is no longer needed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::checkpoint::StateDir;
use crate::problem::{OccurrenceId, Update};
use crate::state_dir::{self, StateThread};

/// The file's name in `--state-dir`, and that of the one before it.
const FILE: &str = "printed";
const OLD: &str = "printed.old";

/// How long the file may grow, in bytes.
const LARGEST: usize = 1 << 20;

/// The length of a note, in bytes: the number of the update, its source, and what was found.
const NOTE: usize = 24;

/// The length of the head of the file, which identifies the boot and the node.
const HEAD: usize = 8;

/// What an earlier agent has printed, and no checkpoint covers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Known(HashMap<(u64, u64), usize>);

/// Writes notes. If that fails, the next agent may print lines again, and nothing else happens.
#[derive(Debug)]
pub(super) struct Notes {
    disk: StateThread,
    /// `None` after a failure.
    file: Option<NoteFile>,
}

/// The file that is written.
#[derive(Debug)]
struct NoteFile {
    folder: PathBuf,
    head: [u8; HEAD],
    file: File,
    length: usize,
}

/// A note.
pub(super) type Note = [u8; NOTE];

/// The note about an update; `None` if the next agent cannot find it again.
pub(super) fn note(status: &Update) -> Option<Note> {
    let occurrence = status.occurrence.as_ref()?;
    let source = occurrence.source.as_deref()?;
    let mut note = [0; NOTE];
    note[..8].copy_from_slice(&status.number.to_le_bytes());
    note[8..16].copy_from_slice(&hash(source).to_le_bytes());
    note[16..].copy_from_slice(&occurrence.found.to_le_bytes());
    Some(note)
}

impl Known {
    /// Whether an earlier agent has already printed this.
    pub(super) fn take(&mut self, occurrence: Option<&OccurrenceId>) -> bool {
        let occurrence = occurrence.filter(|_| !self.0.is_empty());
        let source = occurrence.and_then(|occurrence| occurrence.source.as_deref());
        let (Some(occurrence), Some(source)) = (occurrence, source) else {
            return false;
        };
        let key = (hash(source), occurrence.found);
        let Some(count) = self.0.get_mut(&key) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.0.remove(&key);
        }
        true
    }
}

impl Notes {
    /// Reads the notes of the earlier agent, and continues with those that its checkpoint does not
    /// cover.
    pub(super) fn open(state: &StateDir) -> (Self, Known) {
        let checkpoint = &state.checkpoint;
        let head = hash(checkpoint.holds_for()).to_le_bytes();
        let covered: HashMap<_, _> = checkpoint
            .acknowledged
            .iter()
            .map(|(source, number)| (hash(source.as_str()), *number))
            .collect();
        let (folder, disk) = (state.folder.clone(), state.disk.clone());
        let (file, known) = disk
            .within_patience(move || {
                let (uncovered, known) = known(&folder, head, &covered);
                let begun = fs::create_dir_all(&folder)
                    .and_then(|()| NoteFile::begin(folder.clone(), head, &uncovered))
                    .and_then(|file| gone(&folder.join(OLD)).map(|()| file));
                (begun, known)
            })
            .unwrap_or_else(|error| (Err(error), Known::default()));
        let mut notes = Self { disk, file: None };
        notes.continue_with(file);
        (notes, known)
    }

    /// Notes what has just been printed.
    pub(super) fn add(&mut self, notes: &[Note]) {
        if notes.is_empty() {
            return;
        }
        let Some(file) = self.file.take() else { return };
        let notes = notes.as_flattened().to_vec();
        let added = self.disk.within_patience(move || file.add(&notes));
        self.continue_with(added.flatten());
    }

    fn continue_with(&mut self, file: io::Result<NoteFile>) {
        match file {
            Ok(file) => self.file = Some(file),
            Err(error) => {
                warn!(%error, "Cannot note what was printed; after a restart, problems may be printed again");
            }
        }
    }
}

impl NoteFile {
    /// Starts a new file. If this fails, the old one stays.
    fn begin(folder: PathBuf, head: [u8; HEAD], notes: &[u8]) -> io::Result<Self> {
        let new = folder.join("printed.new");
        let mut file = state_dir::create(&new)?;
        file.write_all(&[&head, notes].concat())?;
        fs::rename(&new, folder.join(FILE))?;
        Ok(Self {
            folder,
            head,
            file,
            length: HEAD + notes.len(),
        })
    }

    fn add(mut self, notes: &[u8]) -> io::Result<Self> {
        self.file.write_all(notes)?;
        self.length += notes.len();
        if self.length < LARGEST {
            return Ok(self);
        }
        fs::rename(self.folder.join(FILE), self.folder.join(OLD))?;
        Self::begin(self.folder, self.head, &[])
    }
}

/// The notes in `folder` that no checkpoint covers, in bytes, and what they say.
fn known(folder: &Path, head: [u8; HEAD], covered: &HashMap<u64, u64>) -> (Vec<u8>, Known) {
    let mut known = Known::default();
    let mut uncovered = Vec::new();
    for name in [OLD, FILE] {
        let notes = read(&folder.join(name), head);
        for note in notes.chunks_exact(NOTE) {
            let [number, source, found] = [0, 8, 16].map(|at| number(note, at));
            if covered.get(&source).is_none_or(|covered| number > *covered) {
                *known.0.entry((source, found)).or_default() += 1;
                uncovered.extend_from_slice(note);
            }
        }
    }
    (uncovered, known)
}

/// The notes in a file; none if they are of another boot or node.
fn read(path: &Path, head: [u8; HEAD]) -> Vec<u8> {
    let Ok(bytes) = state_dir::read(path, 2 * LARGEST as u64) else {
        return Vec::new(); // There are none yet, or lines may be printed again.
    };
    bytes.strip_prefix(&head).unwrap_or_default().to_vec()
}

fn gone(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn number(note: &[u8], at: usize) -> u64 {
    let bytes = note[at..].first_chunk();
    u64::from_le_bytes(bytes.copied().unwrap_or_default())
}

/// The same in the next agent, unless another compiler has built it. Then lines may be printed
/// again.
fn hash(value: impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;
    use crate::checkpoint::Checkpoint;

    fn occurrence(source: &str, found: u64) -> OccurrenceId {
        OccurrenceId {
            source: Some(Arc::from(source)),
            found,
        }
    }

    fn status(number: u64, source: &str, found: u64) -> Note {
        let status = Update {
            number,
            occurrence: Some(occurrence(source, found)),
            source: Arc::from(""),
            event: None,
            conditions: Vec::new(),
        };
        note(&status).unwrap()
    }

    fn open(folder: &TempDir, acknowledged: &[(&str, u64)]) -> (Notes, Known) {
        let acknowledged = acknowledged
            .iter()
            .map(|(name, number)| ((*name).to_owned(), *number));
        let mut checkpoint = Checkpoint::default();
        checkpoint.acknowledged.extend(acknowledged);
        let folder = folder.path().join("state");
        Notes::open(&StateDir {
            folder,
            checkpoint,
            disk: StateThread::default(),
        })
    }

    #[test]
    fn what_was_printed_is_known_as_often_as_it_was_printed() {
        let folder = TempDir::new().unwrap();
        let (mut notes, known) = open(&folder, &[]);
        assert_eq!(known, Known::default());
        notes.add(&[status(5, "a", 1), status(6, "a", 1), status(7, "b", 1)]);
        drop(notes);
        // And still is, if the next one is killed before its first checkpoint.
        for _ in 0..2 {
            let (_, mut known) = open(&folder, &[]);
            assert!(!known.take(None));
            assert!(!known.take(Some(&occurrence("a", 2))));
            assert!(known.take(Some(&occurrence("a", 1))));
            assert!(known.take(Some(&occurrence("a", 1))));
            assert!(!known.take(Some(&occurrence("a", 1))));
            assert!(known.take(Some(&occurrence("b", 1))));
            assert_eq!(known, Known::default());
        }
    }

    #[test]
    fn what_a_checkpoint_covers_is_forgotten() {
        let folder = TempDir::new().unwrap();
        let (mut notes, _) = open(&folder, &[]);
        notes.add(&[status(5, "a", 1), status(6, "b", 2), status(7, "a", 3)]);
        let (_, mut known) = open(&folder, &[("a", 6)]);
        assert!(!known.take(Some(&occurrence("a", 1))));
        assert!(known.take(Some(&occurrence("b", 2))));
        assert!(known.take(Some(&occurrence("a", 3))));
    }

    #[test]
    fn notes_are_bounded_and_the_latest_stay() {
        let folder = TempDir::new().unwrap();
        let (mut notes, _) = open(&folder, &[]);
        let most = (3 * LARGEST / NOTE) as u64;
        for number in 0..most {
            notes.add(&[status(number, "a", number)]);
        }
        let length = |name| {
            let metadata = fs::metadata(folder.path().join("state").join(name));
            metadata.map_or(0, |metadata| metadata.len())
        };
        assert!(length(FILE) + length(OLD) < 3 << 20);
        let (_, mut known) = open(&folder, &[]);
        for number in most - 40_000..most {
            assert!(known.take(Some(&occurrence("a", number))), "{number}");
        }
    }

    #[test]
    fn rubbish_is_no_note() {
        let folder = TempDir::new().unwrap();
        let (mut notes, _) = open(&folder, &[]);
        notes.add(&[status(5, "a", 1)]);
        let path = folder.path().join("state").join(FILE);
        // Cut in the middle of a note, as a full disk does it.
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend([1; 7]);
        fs::write(&path, &bytes).unwrap();
        let (mut notes, mut known) = open(&folder, &[]);
        notes.add(&[status(6, "a", 2)]);
        assert!(known.take(Some(&occurrence("a", 1))));
        let (_, mut known) = open(&folder, &[]);
        assert!(known.take(Some(&occurrence("a", 1))) && known.take(Some(&occurrence("a", 2))));
        fs::write(&path, [7; 1000]).unwrap();
        assert_eq!(open(&folder, &[]).1, Known::default());
    }
}
