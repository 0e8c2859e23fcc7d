//! What a match of a rule's pattern means, and what the rule remembers of earlier ones.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::node_storage::NodeStorage;
use crate::go::regex::LazyRegex;
use crate::kernel_text;
use crate::logs::buffer::Matched;
use crate::node::clock::ClockReading;
use crate::problem::{ConditionStatus, FaultyObject, Problem, Severity, Subject, Witness, bounded};

/// For how many subjects a rule remembers its claims. A condition has no more claims either.
const MAX_CLAIMED: usize = 1024;

/// The group of a pattern that says how many events a line stands for.
const COUNT: &str = "count";

/// The longest name of an object, in bytes: text of the log ends in labels and annotations.
const MAX_OBJECT: usize = 128;

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
    /// The patterns of a rule for records, whose groups say more.
    pub(super) groups: RuleGroups,
    /// What the text of a match must not contain.
    pub(super) except: Option<LazyRegex>,
    /// Two matches with the same value are about the same fault of an object. It is the reason, or the
    /// rule's `fault`.
    pub(super) fault: Arc<str>,
    /// Whether the rule names its fault: what one rule about it claims covers the others.
    pub(super) shares_fault: bool,
    /// Where the file system of a device must be mounted, so that the condition is the node's; empty if
    /// that does not matter.
    pub(super) mount_points: BTreeSet<PathBuf>,
    /// For how long another match about the same object is only counted.
    pub(super) repeat_after: Option<Duration>,
    /// Identifies the rule among the rules of the file after a restart.
    pub(super) pattern: String,
    pub(super) memory: RuleMemory,
}

/// The patterns of a rule whose groups say what a text is about.
#[derive(Debug, Default)]
pub(super) struct RuleGroups {
    pub(super) pattern: Option<LazyRegex>,
    pub(super) clear_pattern: Option<LazyRegex>,
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
    recent: Recent,
    /// The subjects of the rule's claims, and when the rule last matched each.
    claimed: Claimed,
}

/// For each object, the times of the matches that have not yet reached the threshold. Saved as pairs,
/// because JSON has no such keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<RecentOfObject>", into = "Vec<RecentOfObject>")]
struct Recent(BTreeMap<Option<FaultyObject>, VecDeque<Duration>>);

type RecentOfObject = (Option<FaultyObject>, VecDeque<Duration>);

/// Saved as pairs, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "Vec<(Option<Subject>, Duration)>",
    into = "Vec<(Option<Subject>, Duration)>"
)]
struct Claimed(BTreeMap<Option<Subject>, Duration>);

/// What a rule reports.
#[derive(Debug)]
pub(super) struct RuleResult {
    pub(super) present: ConditionStatus,
    pub(super) timestamp: Timestamp,
    pub(super) message: String,
    pub(super) subject: Option<Subject>,
    pub(super) object: Option<FaultyObject>,
}

impl RuleMemory {
    pub(super) fn is_empty(&self) -> bool {
        self.recent.0.is_empty() && self.claimed.0.is_empty()
    }
}

impl Threshold {
    /// Adds a match about `object` that stands for `times` events. Returns whether there are enough of
    /// them, and then starts to count from zero.
    fn reached(
        self,
        Recent(recent): &mut Recent,
        object: Option<&FaultyObject>,
        now: Duration,
        times: usize,
    ) -> bool {
        // The entries of two files may come in any order.
        let is_recent = |then: &Duration| now.abs_diff(*then) <= self.window;
        if recent.len() >= MAX_CLAIMED && !recent.contains_key(&object.cloned()) {
            recent.retain(|_, times| times.back().is_some_and(is_recent));
        }
        if recent.len() >= MAX_CLAIMED {
            recent.pop_first();
        }
        let of_object = recent.entry(object.cloned()).or_default();
        of_object.extend(std::iter::repeat_n(now, times.min(self.count)));
        of_object.retain(is_recent);
        let reached = of_object.len() >= self.count;
        if reached {
            recent.remove(&object.cloned());
        }
        reached
    }
}

impl LogRule {
    /// What a text is about that the pattern that ends the fault has matched; `None` if it names
    /// nothing.
    pub(super) fn cleared_object(&self, text: &str) -> Option<FaultyObject> {
        object(self.groups.clear_pattern.as_ref(), text).0
    }

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
        if self
            .except
            .as_ref()
            .is_some_and(|except| except.is_match(&message))
        {
            return None;
        }
        let (object, times) = object(self.groups.pattern.as_ref(), &message);
        let subject = about(&message, object.as_ref(), witness);
        // A claim is renewed by every further match.
        let known = self.memory.claimed.0.contains_key(&subject);
        if let Some(threshold) = self.threshold
            && !threshold.reached(&mut self.memory.recent, object.as_ref(), now, times)
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
            message: bounded(message),
            subject,
            object,
        })
    }

    /// The pattern that ends the condition has matched: for the subject of that text, or if it has
    /// none, for all.
    pub(super) fn cleared(&mut self, matched: &Matched, witness: Witness) -> Vec<RuleResult> {
        self.memory.recent.0.clear();
        let (object, _) = object(self.groups.clear_pattern.as_ref(), &matched.text);
        let subject = about(&matched.text, object.as_ref(), witness);
        let over =
            |claimed: &Option<Subject>, _: &Duration| subject.is_none() || *claimed == subject;
        self.end(over, matched.timestamp)
    }

    /// Ends the claims about subjects for which the rule has not matched for long enough.
    pub(super) fn expired(&mut self, now: ClockReading) -> Vec<RuleResult> {
        let ClockReading { wall, monotonic } = now;
        match self.clear_after {
            Some(patience) => self.end(|_, last| monotonic.saturating_sub(*last) >= patience, wall),
            None => Vec::new(),
        }
    }

    /// The devices of its claims, if these end when a device is unmounted.
    pub(super) fn claimed_devices(&self) -> impl Iterator<Item = &str> {
        let claimed = self.memory.claimed.0.keys().flatten();
        let claimed = claimed.filter(|_| !self.mount_points.is_empty());
        claimed.map(|subject| subject.key.as_str())
    }

    /// The claims about devices that are not the node's have ended.
    pub(super) fn unmounted(&mut self, storage: &NodeStorage, now: Timestamp) -> Vec<RuleResult> {
        if self.mount_points.is_empty() {
            return Vec::new();
        }
        let paths = self.mount_points.clone();
        let over = |subject: &Option<Subject>, _: &Duration| {
            let device = subject.as_ref().map(|subject| &*subject.key);
            device.is_some_and(|device| !storage.has(device, &paths, None))
        };
        self.end(over, now)
    }

    /// Whether this claims a condition because of this fault, which it takes for at least as bad. If so,
    /// the claim is renewed.
    pub(super) fn renew(
        &mut self,
        fault: &str,
        subject: Option<&Subject>,
        severity: Severity,
        now: Duration,
    ) -> bool {
        let is_about = self.shares_fault && *self.fault == *fault;
        let is_as_bad = self.problem.severity() >= severity;
        let mut claimed = self.memory.claimed.0.iter_mut();
        let claimed = claimed.find(|(about, _)| is_about && is_as_bad && about.as_ref() == subject);
        match claimed {
            Some((_, last)) => {
                *last = now;
                true
            }
            None => false,
        }
    }

    /// A match was about something that another rule claims, or that is not the node's.
    pub(super) fn forget(&mut self, subject: Option<&Subject>) {
        let claimed = &mut self.memory.claimed.0;
        claimed.retain(|about, _| about.as_ref() != subject);
    }

    /// When [`LogRule::expired`] will end a claim, if the rule does not match before: by the monotonic
    /// clock.
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
                object: None,
            })
            .collect()
    }
}

fn about(text: &str, object: Option<&FaultyObject>, witness: Witness) -> Option<Subject> {
    let seen_by_probe = match witness {
        Witness::KernelText => kernel_text::subject(text),
        _ => None,
    };
    seen_by_probe.or_else(|| object.map(FaultyObject::subject))
}

/// What the groups of a pattern say: the object, which is the first group with a name, and how many
/// events the line stands for.
fn object(pattern: Option<&LazyRegex>, text: &str) -> (Option<FaultyObject>, usize) {
    let Some((pattern, found)) =
        pattern.and_then(|pattern| Some((pattern, pattern.captures(text)?)))
    else {
        return (None, 1);
    };
    let group = |name: &str| found.name(name).map(|group| group.as_str());
    let names = pattern.group_names();
    let object = names
        .filter(|name| *name != COUNT)
        .find_map(|kind| Some((kind, group(kind)?)))
        .map(|(kind, name)| FaultyObject {
            kind: kind.to_owned(),
            name: name[..name.floor_char_boundary(MAX_OBJECT)].to_owned(),
        });
    let times = group(COUNT).and_then(|count| count.parse().ok());
    (object, times.unwrap_or(1))
}

impl From<Vec<(Option<Subject>, Duration)>> for Claimed {
    fn from(pairs: Vec<(Option<Subject>, Duration)>) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl From<Vec<RecentOfObject>> for Recent {
    fn from(pairs: Vec<RecentOfObject>) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl From<Recent> for Vec<RecentOfObject> {
    fn from(Recent(recent): Recent) -> Self {
        recent.into_iter().collect()
    }
}

impl From<Claimed> for Vec<(Option<Subject>, Duration)> {
    fn from(Claimed(claimed): Claimed) -> Self {
        claimed.into_iter().collect()
    }
}
