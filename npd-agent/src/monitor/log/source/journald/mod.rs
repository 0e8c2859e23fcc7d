//! systemd's journal.

mod worker;

use std::path::PathBuf;

use self::worker::JournalWorker;
use super::follow::Follower;
use crate::journal::EntryFilter;
use crate::monitor::log::rule_set::RuleSet;

/// Follows a journal for all rule sets that want the same entries.
pub(crate) type JournalLog = Follower<JournalWorker>;

impl JournalLog {
    pub(crate) fn new(
        folder: Option<PathBuf>,
        wanted: EntryFilter,
        sets: Vec<RuleSet>,
    ) -> anyhow::Result<Self> {
        let place = folder
            .as_ref()
            .map_or_else(String::new, |folder| format!("{}:", folder.display()));
        let name = format!("journald:{place}{wanted}");
        let declarations = sets.iter().map(RuleSet::declaration).collect();
        let worker = JournalWorker::new(folder, wanted, sets)?;
        Ok(Self::of(name, declarations, worker))
    }
}

#[cfg(test)]
mod tests;
