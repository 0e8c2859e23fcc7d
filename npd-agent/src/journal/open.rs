//! The files that are being read.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use tracing::warn;

use super::file::{JournalFile, OpenedFile};
use super::folder::{Inode, Listed};
use super::object::FileState;

/// A file that is being read.
#[derive(Debug)]
pub(super) struct OpenJournal {
    pub(super) inode: Inode,
    pub(super) path: PathBuf,
    pub(super) volatile: bool,
    pub(super) id: String,
    pub(super) file: JournalFile,
    /// The next entry, if it has been looked at.
    pub(super) next: Option<OpenedFile>,
    pub(super) ended: bool,
    /// Whether it has been said that some of its entries make no sense.
    warned: bool,
    /// Since when it has no name any more.
    pub(super) gone: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct FinishedJournal {
    /// An inode may be used again, but not under this name.
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

    /// Whether what could not be read can still turn out well.
    pub(super) fn is_being_written(&mut self) -> bool {
        self.gone.is_none() && !matches!(self.file.state(), Ok(FileState::Archived))
    }

    /// An entry that makes no sense is passed over.
    pub(super) fn warn(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            warn!(file = %self.path.display(), %error, "Journal file has entries that cannot be understood");
        }
    }
}
