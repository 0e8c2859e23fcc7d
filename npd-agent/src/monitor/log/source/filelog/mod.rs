//! A log file.
//!
//! One reader feeds every rule set on the file. It follows the file through rotation and truncation
//! ([`tail`]). It parses only lines that a rule could match ([`rules`]).
//!
//! Written here because the crate `linemux` brings 40 crates, an old `notify` among them, and cannot
//! continue at a position after a restart; `nix` has inotify, which is all that is needed.

mod fingerprint;
mod formats;
#[cfg(any(test, fuzzing))]
pub(in crate::monitor::log) mod fuzz;
mod line;
mod line_count;
mod lookback;
mod reader;
mod rotation;
mod rules;
mod split_lines;
mod tail;
mod translate;
mod worker;

use std::path::PathBuf;

pub(crate) use self::translate::{DescribedFormat, LineTranslator};
use self::worker::FileWorker;
use super::follow::Follower;
use crate::monitor::log::rule_set::RuleSet;

/// Follows a log file for all rule sets on it.
pub(crate) type LogFile = Follower<FileWorker>;

impl LogFile {
    pub(crate) fn new(
        path: PathBuf,
        sets: Vec<(RuleSet, LineTranslator)>,
        longest_line: usize,
    ) -> anyhow::Result<Self> {
        let name = format!("filelog:{}", path.display());
        let declarations = sets.iter().map(|(set, _)| set.declaration()).collect();
        let mut worker = FileWorker::new(path, sets)?;
        worker.limit(longest_line);
        Ok(Self::of(name, declarations, worker))
    }
}

#[cfg(test)]
mod tests;
