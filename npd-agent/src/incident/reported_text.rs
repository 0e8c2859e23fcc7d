//! Incidents that the log's text has reported although a probe sees them too: in the moment in which the probe
//! was attached, or because its record came late. The record is then no news.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::MAX_INCIDENTS;
use crate::problem::{Finding, Subject};

/// How much later than the report of the text the record may come. Later, it is about another incident of the
/// same subject.
const LATEST_RECORD: Duration = Duration::from_secs(10);

/// How much their times may differ. The log's clock is not exactly that of the record. A text of minutes ago,
/// which an agent reads when it starts, is about another incident.
const SAME_TIME: SignedDuration = SignedDuration::from_secs(2);

/// The texts that were reported a moment ago, by subject.
#[derive(Debug, Default)]
pub(super) struct ReportedTexts(BTreeMap<Subject, ReportedText>);

#[derive(Debug)]
struct ReportedText {
    /// The newest text with each reason.
    reasons: BTreeMap<Arc<str>, Timestamp>,
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
            reasons: BTreeMap::new(),
            until,
        });
        let reason = Arc::clone(&text.problem.reason);
        noted.reasons.insert(reason, text.timestamp);
        noted.until = until;
    }

    /// Whether a text has reported what the probe's `record` is about. One text explains one record.
    pub(super) fn explain(&mut self, subject: &Subject, record: &Finding, now: Instant) -> bool {
        if record.problem.condition.is_some() {
            return false;
        }
        let noted = self.0.get_mut(subject).filter(|noted| noted.until > now);
        let text = noted.and_then(|noted| noted.reasons.remove(&record.problem.reason));
        text.is_some_and(|text| record.timestamp.duration_since(text).abs() <= SAME_TIME)
    }
}
