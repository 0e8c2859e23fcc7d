//! The rules of one config file, and what they have seen so far.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::matcher::Matcher;
use super::subject;
use crate::monitor::Declaration;
use crate::problem::{ConditionStatus, Finding, Healthy, Problem, Witness};

/// The rules of one config file, and what they have seen so far.
#[derive(Debug)]
pub(super) struct RuleSet {
    /// The name of the file.
    pub(super) monitor: Arc<str>,
    /// Its `source`.
    pub(super) source: Arc<str>,
    /// Its `conditions`.
    pub(super) conditions: Vec<Healthy>,
    /// Its `rules`; `matcher` holds their patterns, in the same order.
    pub(super) rules: Vec<Rule>,
    pub(super) matcher: Matcher,
    /// Its `lookback` and `delay`.
    pub(super) window: Window,
    /// Its `skipList`: entries that contain one of these are not seen at all.
    pub(super) skip_list: Vec<String>,
}

/// What a match of a rule means.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) problem: Arc<Problem>,
    /// Added to the message after `; `, unless empty.
    pub(super) suffix: String,
}

/// From when on entries count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// How far back from the start of the monitor, in nanoseconds; may be negative, as in Go.
    pub(super) lookback: i64,
    /// How long after boot nothing counts, in nanoseconds.
    pub(super) delay: i64,
}

impl Window {
    /// The window of a monitor that goes on where it stopped: nothing since the boot is too old.
    pub(super) fn resumed(self) -> Self {
        Self {
            lookback: i64::MAX,
            ..self
        }
    }

    /// From when on entries count, as time since boot, for a monitor that starts at `uptime`.
    /// An entry of exactly that time does.
    pub(super) fn start(self, uptime: Duration) -> Duration {
        let uptime = i64::try_from(uptime.as_nanos()).unwrap_or(i64::MAX);
        let start = self.delay.max(uptime.saturating_sub(self.lookback));
        Duration::from_nanos(u64::try_from(start).unwrap_or(0))
    }
}

impl RuleSet {
    /// What this may report.
    pub(super) fn declaration(&self) -> Declaration {
        Declaration {
            source: Arc::clone(&self.source),
            conditions: self.conditions.clone(),
            problems: self
                .rules
                .iter()
                .map(|rule| Arc::clone(&rule.problem))
                .collect(),
            publish_at_start: true,
        }
    }

    /// Whether an entry is not to be seen at all.
    pub(super) fn skips(&self, entry: &str) -> bool {
        self.skip_list.iter().any(|skipped| entry.contains(skipped))
    }

    /// Takes in the newest entry, and tells what it completes: one finding for each rule that
    /// matches, in the order of the config.
    pub(super) fn take(
        &mut self,
        timestamp: Timestamp,
        text: &str,
        witness: Witness,
    ) -> Vec<Finding> {
        let found = self.matcher.push(timestamp, text).into_iter();
        found
            .map(|(index, matched)| {
                let Rule { problem, suffix } = &self.rules[index];
                let mut message = matched.text;
                let subject = match witness {
                    Witness::KernelText => subject::of(&message),
                    _ => None,
                };
                if !suffix.is_empty() {
                    message.push_str("; ");
                    message.push_str(suffix);
                }
                Finding {
                    monitor: Arc::clone(&self.monitor),
                    source: Arc::clone(&self.source),
                    problem: Arc::clone(problem),
                    present: ConditionStatus::True,
                    timestamp: matched.timestamp,
                    message,
                    claimant: String::new(),
                    subject,
                    witness,
                    pod: None,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_start(lookback: i64, delay: i64, uptime: u64, expect: u64) {
        let second = 1_000_000_000;
        let window = Window {
            lookback: lookback * second,
            delay: delay * second,
        };
        assert_eq!(
            window.start(Duration::from_secs(uptime)),
            Duration::from_secs(expect)
        );
    }

    #[test]
    fn entries_count_from_the_lookback_but_not_from_before_the_delay() {
        check_start(0, 0, 1000, 1000);
        check_start(300, 0, 1000, 700);
        check_start(300, 0, 100, 0);
        check_start(300, 60, 100, 60);
        check_start(300, 60, 1000, 700);
        check_start(0, 60, 10, 60);
        check_start(-5, 0, 10, 15);
    }
}
