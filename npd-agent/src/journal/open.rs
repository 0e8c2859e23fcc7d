//! The files that are open.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use tracing::warn;

use super::file::{JournalFile, OpenedFile};
use super::folder::{Inode, Listed};
use super::object::FileState;

/// An open file.
#[derive(Debug)]
pub(super) struct OpenJournal {
    pub(super) inode: Inode,
    pub(super) path: PathBuf,
    pub(super) volatile: bool,
    pub(super) id: String,
    pub(super) file: JournalFile,
    /// The next entry, if it was read already.
    pub(super) next: Option<OpenedFile>,
    pub(super) ended: bool,
    /// Whether the warning about damaged entries was logged.
    warned: bool,
    /// Since when the file is deleted.
    pub(super) gone: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct FinishedJournal {
    /// Distinguishes the file from a later one with the same inode.
    pub(super) path: PathBuf,
    pub(super) id: String,
}

impl OpenJournal {
    pub(super) fn new(inode: Inode, listed: &Listed, id: String, file: JournalFile) -> Self {
        Self {
            inode,
            path: listed.path.clone(),
            volatile: listed.volatile,
            id,
            file,
            next: None,
            ended: false,
            warned: false,
            gone: None,
        }
    }

    /// Whether a part that looks damaged may just be in the middle of a write.
    pub(super) fn is_being_written(&mut self) -> bool {
        self.gone.is_none() && !matches!(self.file.state(), Ok(FileState::Archived))
    }

    /// Logs a damaged entry, once per file.
    pub(super) fn warn(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            warn!(file = %self.path.display(), %error, "Skipping damaged entries of a journal file");
        }
    }
}
