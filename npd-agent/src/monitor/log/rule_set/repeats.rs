//! Distinguishes new problems from those that were reported a moment ago.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::problem::{FaultyObject, Finding, Severity};

/// How many reports are remembered. With more, those of the smallest names are forgotten, and may be
/// repeated.
const MAX_REMEMBERED: usize = 1024;

/// The last report of each fault and object.
#[derive(Debug, Default)]
pub(in crate::monitor::log) struct Repeats(
    BTreeMap<(Arc<str>, Option<FaultyObject>), (Duration, Severity)>,
);

impl Repeats {
    /// Whether `fault` was reported of the same object less than `pause` ago, and was at least as bad. If
    /// not, this is the last report now.
    pub(super) fn is_repeated(
        &mut self,
        finding: &Finding,
        fault: &Arc<str>,
        now: Duration,
        pause: Duration,
    ) -> bool {
        // The entries of two files may come in any order.
        let is_recent = |then: Duration| now.abs_diff(then) < pause;
        let severity = finding.problem.severity();
        let key = (Arc::clone(fault), finding.object.clone());
        if let Some((then, known)) = self.0.get(&key)
            && is_recent(*then)
            && *known >= severity
        {
            return true;
        }
        if self.0.len() >= MAX_REMEMBERED {
            self.0.retain(|_, (then, _)| is_recent(*then));
        }
        if self.0.len() >= MAX_REMEMBERED {
            self.0.pop_first();
        }
        self.0.insert(key, (now, severity));
        false
    }
}
