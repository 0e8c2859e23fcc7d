//! What rules for the kernel's log have reported about things whose state `/proc` and `/sys` show, too. A rule
//! for a state reports it when it has lasted for minutes; the log says at once that it has begun.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::MAX_INCIDENTS;
use crate::problem::{Finding, Subject};

/// What was reported so long ago is forgotten first.
const OLD: SignedDuration = SignedDuration::from_hours(1);

/// How much the log's clock may differ from that of the state: the kernel's runs by itself.
const SAME_TIME: SignedDuration = SignedDuration::from_mins(2);

/// When each subject was last reported, for each reason.
#[derive(Debug, Default)]
pub(super) struct LogReports(BTreeMap<Subject, BTreeMap<Arc<str>, Timestamp>>);

impl LogReports {
    /// The text is reported, or is the same again.
    pub(super) fn note(&mut self, subject: &Subject, text: &Finding) {
        if self.0.len() >= MAX_INCIDENTS {
            let newest = text.timestamp;
            let is_old = |time: &Timestamp| newest.duration_since(*time) > OLD;
            self.0.retain(|_, reasons| !reasons.values().all(is_old));
        }
        if self.0.len() >= MAX_INCIDENTS {
            self.0.pop_first();
        }
        let reasons = self.0.entry(subject.clone()).or_default();
        reasons.insert(Arc::clone(&text.problem.reason), text.timestamp);
    }

    /// Whether the subject was reported since then, for one of these reasons.
    pub(super) fn include(&self, subject: &Subject, reasons: &[&str], since: Timestamp) -> bool {
        let Some(reported) = self.0.get(subject) else {
            return false;
        };
        let mut times = reasons.iter().filter_map(|reason| reported.get(*reason));
        times.any(|time| since.duration_since(*time) <= SAME_TIME)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::tests::sees;
    use super::super::{Incidents, Verdict};
    use super::*;
    use crate::problem::Witness;

    /// An array lacks a disk: the kernel says so at once, and `/sys` shows it for as long as it lasts.
    #[test]
    fn a_state_that_the_log_has_reported_is_no_news() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let array = |name| Subject::new("array", name);
        let text = |reason, condition, name, second| Finding {
            timestamp: at(second),
            ..sees(Witness::KernelText, reason, condition, array(name))
        };
        let state = |name, since, condition| {
            let log_reasons = &["RaidDegraded", "RaidFailed"][..];
            let since = at(since);
            let witness = Witness::State { since, log_reasons };
            sees(witness, "RaidDegraded", condition, array(name))
        };
        let now = Instant::now();
        let mut incidents = Incidents::default();
        for text in [
            text("RaidDegraded", None, "md0", 100),
            text("RaidFailed", Some("StorageFailing"), "md1", 100),
            text("PathFailed", None, "md2", 100),
        ] {
            assert!(matches!(
                incidents.admit(text, now)[..],
                [Verdict::Report(_)]
            ));
        }
        let mut is_known = |state| matches!(incidents.admit(state, now)[..], [Verdict::Known]);
        assert!(is_known(state("md0", 90, None)));
        // A broken array lacks members too.
        assert!(is_known(state("md1", 90, None)));
        // It was well again after that text.
        assert!(!is_known(state("md0", 300, None)));
        // Only for these reasons, and this array.
        assert!(!is_known(state("md2", 90, None)));
        assert!(!is_known(state("md3", 90, None)));
        // A rule with a condition claims it for itself.
        assert!(!is_known(state("md0", 90, Some("DiskFailing"))));
    }
}
