//! What the kernel's log has told of things whose state `/proc` and `/sys` show. A rule reports a state when it
//! has lasted for minutes; the log told of its beginning at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::MAX_INCIDENTS;
use crate::problem::{Finding, Subject};

/// What was told so long ago is forgotten first.
const OLD: SignedDuration = SignedDuration::from_hours(1);

/// How much the log's clock may differ from that of the state: the kernel's runs by itself.
const SAME_TIME: SignedDuration = SignedDuration::from_mins(2);

/// When the log has last told of each subject, for each reason.
#[derive(Debug, Default)]
pub(super) struct ToldByLog(BTreeMap<Subject, BTreeMap<Arc<str>, Timestamp>>);

impl ToldByLog {
    /// The text is reported, or is the same again.
    pub(super) fn note(&mut self, subject: &Subject, text: &Finding) {
        if self.0.len() >= MAX_INCIDENTS {
            let newest = text.timestamp;
            let is_old = |told: &Timestamp| newest.duration_since(*told) > OLD;
            self.0.retain(|_, reasons| !reasons.values().all(is_old));
        }
        if self.0.len() >= MAX_INCIDENTS {
            self.0.pop_first();
        }
        let reasons = self.0.entry(subject.clone()).or_default();
        reasons.insert(Arc::clone(&text.problem.reason), text.timestamp);
    }

    /// Whether one of these reasons was told of the subject since then.
    pub(super) fn has_told(&self, subject: &Subject, reasons: &[&str], since: Timestamp) -> bool {
        let told = self.0.get(subject);
        let told = told.map(|told| reasons.iter().filter_map(|reason| told.get(*reason)));
        told.is_some_and(|mut told| told.any(|told| since.duration_since(*told) <= SAME_TIME))
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
    fn a_state_of_which_the_log_has_told_is_no_news() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let array = |name| Subject::new("array", name);
        let text = |reason, condition, name, second| Finding {
            timestamp: at(second),
            ..sees(Witness::KernelText, reason, condition, array(name))
        };
        let state = |name, since, condition| {
            let told_as = &["RaidDegraded", "RaidFailed"][..];
            let since = at(since);
            let witness = Witness::State { since, told_as };
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
        // Only these reasons tell of it, and of this array.
        assert!(!is_known(state("md2", 90, None)));
        assert!(!is_known(state("md3", 90, None)));
        // A rule with a condition claims it for itself.
        assert!(!is_known(state("md0", 90, Some("DiskFailing"))));
    }
}
