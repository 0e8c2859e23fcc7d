//! What is remembered of file systems at fault for the agent that comes after this one, which cannot
//! see all of it: who made them read-only, and what only a record told.

use serde::{Deserialize, Serialize};

use super::kernel::Identity;
use super::mounts::MountAccess;
use super::state::{Fault, FilesystemState, WatchedFilesystem};

/// A file system at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFilesystem {
    pub(super) identity: Identity,
    fault: Fault,
    error: Option<String>,
    shutdown: Option<String>,
    unseen_read_only: bool,
    turned: Option<Fault>,
}

impl FilesystemState {
    /// The file systems at fault, also those out of sight.
    pub fn saved(&self) -> Vec<SavedFilesystem> {
        self.known
            .values()
            .filter_map(WatchedFilesystem::saved)
            .collect()
    }

    /// Knows what an earlier agent reported of the file systems that will come into sight.
    #[must_use]
    pub fn with_saved(mut self, saved: Vec<SavedFilesystem>) -> Self {
        self.saved = saved;
        self
    }
}

impl WatchedFilesystem {
    fn saved(&self) -> Option<SavedFilesystem> {
        Some(SavedFilesystem {
            identity: self.identity.clone(),
            fault: self.fault()?,
            error: self.error.clone(),
            shutdown: self.shutdown.clone(),
            unseen_read_only: self.unseen_read_only,
            turned: self.turned,
        })
    }

    /// Goes on with what an earlier agent knew of this very file system.
    pub(super) fn resume(&mut self, saved: SavedFilesystem) {
        // Without an instance, another file system on the device looks the same.
        let surely = self.identity.instance.is_some();
        // One that someone mounted read-only on purpose is so everywhere.
        let superblock = &self.superblock;
        let writable_mounts = superblock.read_only_mounts < superblock.mounts;
        let lasts = |turned: &Fault| {
            superblock.access == MountAccess::ReadOnly
                && (surely || writable_mounts || *turned == Fault::RemountedReadOnly)
        };
        self.turned = saved.turned.filter(lasts).or(self.turned);
        self.unseen_read_only = surely && saved.unseen_read_only;
        self.shutdown = saved.shutdown.filter(|_| surely);
        self.error = saved.error.filter(|_| surely);
        self.resumed = self.fault() == Some(saved.fault);
    }
}
