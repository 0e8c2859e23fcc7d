//! What a match of a rule's pattern means, and what the rule remembers of earlier ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kernel_text;
use crate::logs::buffer::Matched;
use crate::node::clock::ClockReading;
use crate::problem::{ConditionStatus, Problem, Subject, Witness};

/// Of how many subjects a rule remembers that it has claimed a condition. There are no more claims
/// on a condition either.
const MAX_CLAIMED: usize = 1024;

/// A rule without its pattern.
#[derive(Debug)]
pub(super) struct LogRule {
    pub(super) problem: Arc<Problem>,
    /// Added to the message after `; `, unless empty.
    pub(super) suffix: String,
    /// Who claims the condition. Rules without a way to clear share the empty name: the last match
    /// wins, as in NPD.
    pub(super) claimant: String,
    /// How many matches it takes.
    pub(super) threshold: Option<Threshold>,
    /// How long after the last match the condition is over.
    pub(super) clear_after: Option<Duration>,
    /// Tells the rule from others of the file after a restart.
    pub(super) pattern: String,
    pub(super) memory: RuleMemory,
}

/// So many matches within so long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threshold {
    pub(super) count: usize,
    pub(super) window: Duration,
}

/// What a rule remembers. Its times are those of the monotonic clock: a restarted agent reads this only
/// on the same boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RuleMemory {
    /// The times of the matches that have not yet reached the threshold.
    recent: VecDeque<Duration>,
    /// About what the rule has claimed its condition, and when it last matched.
    claimed: Claimed,
}

/// Kept as pairs, for JSON has no such keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "Vec<(Option<Subject>, Duration)>",
    into = "Vec<(Option<Subject>, Duration)>"
)]
struct Claimed(BTreeMap<Option<Subject>, Duration>);

/// What a rule has to say.
#[derive(Debug)]
pub(super) struct RuleResult {
    pub(super) present: ConditionStatus,
    pub(super) timestamp: Timestamp,
    pub(super) message: String,
    pub(super) subject: Option<Subject>,
}

impl RuleMemory {
    pub(super) fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.claimed.0.is_empty()
    }
}

impl Threshold {
    /// Adds a match; whether there are enough of them. Then they are counted anew.
    fn reached(self, recent: &mut VecDeque<Duration>, now: Duration) -> bool {
        recent.push_back(now);
        // The entries of two files may come in any order.
        recent.retain(|then| now.abs_diff(*then) <= self.window);
        let reached = recent.len() >= self.count;
        if reached {
            recent.clear();
        }
        reached
    }
}

impl LogRule {
    /// Whether a claim of this rule can end.
    fn clears(&self) -> bool {
        !self.claimant.is_empty()
    }

    /// The pattern has matched, when the newest entry was written.
    pub(super) fn matched(
        &mut self,
        matched: Matched,
        now: Duration,
        witness: Witness,
    ) -> Option<RuleResult> {
        let Matched {
            timestamp,
            text: mut message,
        } = matched;
        let subject = about(&message, witness);
        // What has been claimed is claimed by any further match.
        let known = self.memory.claimed.0.contains_key(&subject);
        if let Some(threshold) = self.threshold
            && !threshold.reached(&mut self.memory.recent, now)
            && !known
        {
            return None;
        }
        if self.clears() && (known || self.memory.claimed.0.len() < MAX_CLAIMED) {
            self.memory.claimed.0.insert(subject.clone(), now);
        }
        if !self.suffix.is_empty() {
            message.push_str("; ");
            message.push_str(&self.suffix);
        }
        Some(RuleResult {
            present: ConditionStatus::True,
            timestamp,
            message,
            subject,
        })
    }

    /// The pattern that ends the condition has matched: for the subject of that text, or if it has
    /// none, for all.
    pub(super) fn cleared(&mut self, matched: &Matched, witness: Witness) -> Vec<RuleResult> {
        self.memory.recent.clear();
        let subject = about(&matched.text, witness);
        let over =
            |claimed: &Option<Subject>, _: &Duration| subject.is_none() || *claimed == subject;
        self.end(over, matched.timestamp)
    }

    /// The condition is over where the rule has not matched for long enough.
    pub(super) fn expired(&mut self, now: ClockReading) -> Vec<RuleResult> {
        let ClockReading { wall, monotonic } = now;
        match self.clear_after {
            Some(patience) => self.end(|_, last| monotonic.saturating_sub(*last) >= patience, wall),
            None => Vec::new(),
        }
    }

    /// When [`LogRule::expired`] will have something to say, if the rule does not match before: by the
    /// monotonic clock.
    pub(super) fn expiry(&self) -> Option<Duration> {
        let last = self.memory.claimed.0.values().min()?;
        last.checked_add(self.clear_after?)
    }

    fn end(
        &mut self,
        mut over: impl FnMut(&Option<Subject>, &Duration) -> bool,
        timestamp: Timestamp,
    ) -> Vec<RuleResult> {
        let claimed = &mut self.memory.claimed.0;
        let ended = claimed.extract_if(.., |subject, last| over(subject, last));
        ended
            .map(|(subject, _)| RuleResult {
                present: ConditionStatus::False,
                timestamp,
                message: String::new(),
                subject,
            })
            .collect()
    }
}

fn about(text: &str, witness: Witness) -> Option<Subject> {
    match witness {
        Witness::KernelText => kernel_text::subject(text),
        _ => None,
    }
}

impl From<Vec<(Option<Subject>, Duration)>> for Claimed {
    fn from(pairs: Vec<(Option<Subject>, Duration)>) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl From<Claimed> for Vec<(Option<Subject>, Duration)> {
    fn from(Claimed(claimed): Claimed) -> Self {
        claimed.into_iter().collect()
    }
}
