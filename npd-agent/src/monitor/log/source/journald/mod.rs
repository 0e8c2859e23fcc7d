//! systemd's journal.
//!
//! Its files are read directly, without systemd's library and without any of its programs. Files
//! are mapped by nobody here: a file that journald truncates, or a disk that fails, would kill a
//! process that maps it.

mod file;
mod folder;
mod object;
mod payload;
mod terms;
mod worker;

use std::path::PathBuf;

pub(crate) use self::terms::{Term, Wanted};
use self::worker::JournalWorker;
use super::follow::Follower;
use crate::monitor::log::rule_set::RuleSet;

/// Follows a journal for all rule sets that want the same of its entries.
pub(crate) type Journal = Follower<JournalWorker>;

impl Journal {
    pub(crate) fn new(folder: Option<PathBuf>, wanted: Wanted, sets: Vec<RuleSet>) -> Self {
        let place = folder
            .as_ref()
            .map_or_else(String::new, |folder| format!("{}:", folder.display()));
        let name = format!("journald:{place}{wanted}");
        let declarations = sets.iter().map(RuleSet::declaration).collect();
        Self::of(name, declarations, JournalWorker::new(folder, wanted, sets))
    }
}

#[cfg(test)]
mod tests;
