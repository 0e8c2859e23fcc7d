//! Aliases: conditions that repeat others under the names and the polarity that a consumer knows.
//!
//! An alias is sick while one of its sources is True. It is well when all its sources are published and
//! False. Like a condition, it is published when it is known: at once if it is sick, and otherwise when all
//! its sources are published.
//!
//! A consumer acts when an alias has been sick for some time. So its transition time is that of its status,
//! also when another source is the reason now, and also over a restart of the agent.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::problem::{Condition, ConditionStatus, Healthy};

/// The command-line flag that names the config files.
pub const FLAG: &str = "--config.condition-aliases";

/// An alias, from a config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Its type, and its reason and message while all is well.
    pub healthy: Healthy,
    /// The status that means that all is well.
    pub well: ConditionStatus,
    /// The types of the conditions that it repeats, the most important first; at least one.
    pub sources: Vec<Arc<str>>,
}

/// An alias in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedAlias {
    r#type: Arc<str>,
    status: ConditionStatus,
    since: Timestamp,
}

/// All aliases, and what they show.
#[derive(Debug, Default)]
pub struct Aliases {
    entries: Vec<AliasEntry>,
}

#[derive(Debug)]
struct AliasEntry {
    alias: Alias,
    shown: Option<Condition>,
    /// What an earlier agent showed.
    before: Option<SavedAlias>,
}

impl Aliases {
    /// None of `aliases` is published yet.
    pub fn new(aliases: Vec<Alias>) -> Self {
        let entry = |alias| AliasEntry {
            alias,
            shown: None,
            before: None,
        };
        Self {
            entries: aliases.into_iter().map(entry).collect(),
        }
    }

    /// Continues with the transition times of an earlier agent.
    pub fn restore(&mut self, saved: Vec<SavedAlias>) {
        for saved in saved {
            let mut entries = self.entries.iter_mut();
            if let Some(entry) = entries.find(|entry| entry.alias.healthy.r#type == saved.r#type) {
                entry.before = Some(saved);
            }
        }
    }

    /// Brings all aliases up to date, and returns those that have changed. `published` are the conditions
    /// that are published now.
    pub fn update(&mut self, published: &[&Condition]) -> Vec<Condition> {
        let entries = self.entries.iter_mut();
        entries
            .filter_map(|entry| entry.update(published))
            .collect()
    }

    /// The published aliases.
    pub fn shown(&self) -> impl Iterator<Item = &Condition> {
        self.entries.iter().filter_map(|entry| entry.shown.as_ref())
    }

    /// The types of the aliases that are not published, each with the sources that it waits for.
    pub fn unseen(&self, published: &[&Condition]) -> Vec<(Arc<str>, Vec<String>)> {
        let hidden = self.entries.iter().filter(|entry| entry.shown.is_none());
        let awaited = |alias: &Alias| {
            let missing = |source: &&Arc<str>| find(published, source).is_none();
            let missing = alias.sources.iter().filter(missing);
            missing.map(ToString::to_string).collect()
        };
        hidden
            .map(|entry| {
                (
                    Arc::clone(&entry.alias.healthy.r#type),
                    awaited(&entry.alias),
                )
            })
            .collect()
    }

    /// What to save for a restart.
    pub fn saved(&self) -> Vec<SavedAlias> {
        let entries = self.entries.iter();
        entries.filter_map(AliasEntry::saved).collect()
    }
}

impl AliasEntry {
    fn update(&mut self, published: &[&Condition]) -> Option<Condition> {
        let mut next = self.alias.condition(published)?;
        if let Some(last) = self.saved()
            && last.status == next.status
        {
            next.transition = last.since;
        }
        if self.shown.as_ref() == Some(&next) {
            return None;
        }
        self.before = None;
        self.shown = Some(next.clone());
        Some(next)
    }

    fn saved(&self) -> Option<SavedAlias> {
        let saved = |shown: &Condition| SavedAlias {
            r#type: Arc::clone(&shown.r#type),
            status: shown.status,
            since: shown.transition,
        };
        self.shown
            .as_ref()
            .map(saved)
            .or_else(|| self.before.clone())
    }
}

impl Alias {
    /// What its sources say now; `None` if that is not known yet.
    fn condition(&self, published: &[&Condition]) -> Option<Condition> {
        let seen = self.sources.iter().map(|source| find(published, source));
        let with = |status| {
            let mut seen = seen.clone().flatten();
            seen.find(|source| source.status == status)
        };
        if let Some(source) = with(ConditionStatus::True) {
            return Some(self.repeat(source, self.well.opposite()));
        }
        let all = seen.clone().collect::<Option<Vec<_>>>()?;
        if let Some(source) = with(ConditionStatus::Unknown) {
            return Some(self.repeat(source, ConditionStatus::Unknown));
        }
        let Healthy {
            r#type,
            reason,
            message,
        } = self.healthy.clone();
        Some(Condition {
            r#type,
            status: self.well,
            transition: all.iter().map(|source| source.transition).max()?,
            reason,
            message,
            healthy: Some(self.well),
        })
    }

    fn repeat(&self, source: &Condition, status: ConditionStatus) -> Condition {
        Condition {
            r#type: Arc::clone(&self.healthy.r#type),
            status,
            healthy: Some(self.well),
            ..source.clone()
        }
    }
}

fn find<'a>(published: &[&'a Condition], r#type: &str) -> Option<&'a Condition> {
    published
        .iter()
        .copied()
        .find(|condition| *condition.r#type == *r#type)
}

#[cfg(test)]
mod tests;
