//! Incidents that the log's text has reported although a probe sees them too: in the moment in which the probe
//! was attached, or because its record came late. The record is then no news.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::MAX_INCIDENTS;
use crate::problem::{Finding, Subject};

/// How much later than the report of the text the record may come. Later, it is about another incident of the
/// same subject.
const LATEST_RECORD: Duration = Duration::from_secs(10);

/// The texts that were reported a moment ago, by subject.
#[derive(Debug, Default)]
pub(super) struct ReportedTexts(BTreeMap<Subject, ReportedText>);

#[derive(Debug)]
struct ReportedText {
    reasons: BTreeSet<Arc<str>>,
    until: Instant,
}

impl ReportedTexts {
    /// The text is reported. Lasting problems are not noted: a record of theirs is a claim of its own.
    pub(super) fn note(&mut self, text: &Finding, now: Instant) {
        let Some(subject) = &text.subject else {
            return;
        };
        if text.problem.condition.is_some() {
            return;
        }
        if self.0.len() >= MAX_INCIDENTS {
            self.0.retain(|_, noted| noted.until > now);
        }
        if self.0.len() >= MAX_INCIDENTS {
            self.0.pop_first();
        }
        let until = now + LATEST_RECORD;
        let noted = self.0.entry(subject.clone()).or_insert(ReportedText {
            reasons: BTreeSet::new(),
            until,
        });
        noted.reasons.insert(Arc::clone(&text.problem.reason));
        noted.until = until;
    }

    /// Whether a text has reported what the probe's `record` is about. One text explains one record.
    pub(super) fn explain(&mut self, subject: &Subject, record: &Finding, now: Instant) -> bool {
        let Some(noted) = self.0.get_mut(subject) else {
            return false;
        };
        let reason = &record.problem.reason;
        record.problem.condition.is_none() && noted.until > now && noted.reasons.remove(reason)
    }
}
