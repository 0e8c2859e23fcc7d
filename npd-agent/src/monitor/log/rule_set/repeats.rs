//! Distinguishes new problems from those that were reported a moment ago.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::problem::{FaultyObject, Finding, Severity};

/// How many reports are remembered. With more, those of the smallest names are forgotten, and may be
/// repeated.
const MAX_REMEMBERED: usize = 1024;

/// A fault that comes again so soon after its end has not really ended: a server that answers now and
/// then is one fault.
const FLAPPING: Duration = Duration::from_mins(1);

/// The last report of each fault and object.
#[derive(Debug, Default)]
pub(in crate::monitor::log) struct Repeats(BTreeMap<(Arc<str>, Option<FaultyObject>), LastReport>);

/// Times are those of the monotonic clock.
#[derive(Debug)]
struct LastReport {
    at: Duration,
    severity: Severity,
    /// When the fault was last over.
    ended: Option<Duration>,
}

impl LastReport {
    /// Whether the same fault now is no news. The entries of two files may come in any order.
    fn covers(&self, now: Duration, pause: Duration) -> bool {
        let has_ended = |ended: Duration| now.abs_diff(ended) >= FLAPPING;
        now.abs_diff(self.at) < pause && !self.ended.is_some_and(has_ended)
    }
}

impl Repeats {
    /// Whether `fault` was reported of the same object less than `pause` ago, was at least as bad, and is
    /// not over. If not, this is the last report now.
    pub(super) fn is_repeated(
        &mut self,
        finding: &Finding,
        fault: &Arc<str>,
        now: Duration,
        pause: Duration,
    ) -> bool {
        let severity = finding.problem.severity();
        let key = (Arc::clone(fault), finding.object.clone());
        if let Some(last) = self.0.get(&key)
            && last.covers(now, pause)
            && last.severity >= severity
        {
            return true;
        }
        if self.0.len() >= MAX_REMEMBERED {
            self.0.retain(|_, last| last.covers(now, pause));
        }
        if self.0.len() >= MAX_REMEMBERED {
            self.0.pop_first();
        }
        let last = LastReport {
            at: now,
            severity,
            ended: None,
        };
        self.0.insert(key, last);
        false
    }

    /// The fault of this object is over, or of all objects if none is named.
    pub(super) fn end(&mut self, fault: &Arc<str>, object: Option<&FaultyObject>, now: Duration) {
        for ((of, about), last) in &mut self.0 {
            if of == fault && (object.is_none() || about.as_ref() == object) {
                last.ended = Some(now);
            }
        }
    }
}
