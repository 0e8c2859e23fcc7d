//! The incidents that a restarted agent must know: the log may be read again from before their texts.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Incidents, Reported};
use crate::problem::Subject;

/// How many are saved, the newest ones. More would make the checkpoint large while there are many.
const MAX_SAVED: usize = 256;

/// What a probe has reported about a subject, for texts that come later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedIncident {
    subject: Subject,
    reasons: BTreeSet<Arc<str>>,
    /// How much longer this covers texts.
    seconds: u64,
}

impl Incidents {
    /// The newest incidents that are over, like a kill. Of those that last, the probes take care.
    pub fn saved(&self, now: Instant) -> Vec<SavedIncident> {
        let over = self.reported.iter().filter_map(|(subject, reported)| {
            let left = reported.until?.checked_duration_since(now)?;
            Some((left, subject, reported)).filter(|_| !reported.reasons.is_empty())
        });
        let mut over: Vec<_> = over.collect();
        over.sort_by_key(|(left, ..)| Reverse(*left));
        over.truncate(MAX_SAVED);
        let saved = over
            .into_iter()
            .map(|(left, subject, reported)| SavedIncident {
                subject: subject.clone(),
                reasons: reported.reasons.clone(),
                seconds: left.as_secs(),
            });
        saved.collect()
    }

    /// An earlier agent has reported these.
    pub fn restore(&mut self, saved: Vec<SavedIncident>, now: Instant) {
        let saved = saved.into_iter().take(MAX_SAVED);
        let reported = saved.map(|incident| {
            let reported = Reported {
                reasons: incident.reasons,
                until: now.checked_add(Duration::from_secs(incident.seconds)),
                excused: None,
            };
            (incident.subject, reported)
        });
        self.reported.extend(reported);
    }
}
