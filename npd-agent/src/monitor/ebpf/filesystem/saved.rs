//! What is saved about file systems at fault for the next agent. The next agent cannot see all of it in
//! the mount table: who made a file system read-only, and what only a record has reported.

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::kernel::Identity;

/// A file system at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFilesystem {
    pub(super) identity: Identity,
    pub(super) fault: Fault,
    pub(super) error: Option<String>,
    pub(super) shutdown: Option<String>,
    pub(super) unseen_read_only: bool,
    pub(super) turned: Option<Fault>,
}
