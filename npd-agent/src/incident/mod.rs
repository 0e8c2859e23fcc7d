//! One incident, one report.
//!
//! The OOM probe and the kernel-log rule see the same kill. While a probe is attached it reports,
//! and the text of the same incident only confirms. The text may come first, or the probe's record
//! may be lost: so text is held for a moment, and reports by itself if no probe does.
//! Pure: the caller brings the time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::problem::{ConditionStatus, Finding, Subject, Watched, Witness};

/// How long text waits for the probe, and how long a probe's report answers for later text.
/// The kernel prints within milliseconds; a flooded log reaches us seconds late.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the report of a kill answers for later text. A flood of lines keeps the log's reader
/// busy for many seconds; a pid is not used again so soon.
const ANSWERS: Duration = Duration::from_mins(1);

/// How many incidents are remembered, and how many texts held. When there are more, the oldest
/// is let go: a text is then reported by itself, so that a problem is told twice rather than never.
const MAX_INCIDENTS: usize = 4096;

/// Which incidents the probes have reported, and which texts wait for them.
#[derive(Debug, Default)]
pub struct Incidents {
    /// The probes, by name.
    probes: BTreeMap<&'static str, ProbeClaim>,
    reported: BTreeMap<Subject, Reported>,
    held: VecDeque<(Instant, Finding)>,
}

/// What is known of a probe.
#[derive(Debug, Default)]
struct ProbeClaim {
    /// Whether what it reports lasts until it recovers.
    lasts: bool,
    /// Until when texts wait for the probe to say whether it is attached.
    expected: Option<Instant>,
    /// The conditions that it answers for; `None` if it is not attached.
    answers_for: Option<BTreeSet<Arc<str>>>,
}

/// What a probe has reported about a subject.
#[derive(Debug, Default)]
struct Reported {
    reasons: BTreeSet<Arc<str>>,
    /// How long this answers for later texts; `None` until the subject recovers.
    until: Option<Instant>,
}

/// What to do with a finding.
#[derive(Debug)]
pub enum Verdict {
    /// It is news: hand it to the ledger.
    Report(Finding),
    /// A probe has reported the incident under another reason: count the text's, no Event.
    Count(Finding),
    /// Nothing to do, now or ever.
    Known,
    /// Ask again at [`Incidents::next_expiry`].
    Held,
}

impl Incidents {
    /// A probe will soon [watch](Self::watch) or [not](Self::unwatch). Texts wait for that: what the
    /// log tells at the start may be long over, and the probe knows.
    pub fn expect(&mut self, watched: Watched, now: Instant) {
        let claim = ProbeClaim {
            lasts: watched.lasts,
            expected: Some(now + PATIENCE),
            answers_for: None,
        };
        self.probes.insert(watched.probe, claim);
    }

    /// The probe now answers for its incidents and for `conditions`.
    pub fn watch(&mut self, probe: &'static str, conditions: BTreeSet<Arc<str>>) {
        let claim = self.probes.entry(probe).or_default();
        claim.expected = None;
        claim.answers_for = Some(conditions);
    }

    /// The probe is gone: text reports again.
    pub fn unwatch(&mut self, probe: &'static str) {
        if let Some(claim) = self.probes.get_mut(probe) {
            claim.expected = None;
            claim.answers_for = None;
        }
        self.reported.retain(|subject, _| subject.probe != probe);
    }

    /// A probe reported the subject before the agent was started, for this reason, and it lasts.
    pub fn resume(&mut self, subject: Subject, reason: Arc<str>) {
        let reported = self.reported.entry(subject).or_default();
        reported.reasons.insert(reason);
        reported.until = None;
    }

    /// Decides what happens with `finding`, and with texts that waited for it.
    pub fn admit(&mut self, finding: Finding, now: Instant) -> Vec<Verdict> {
        match (&finding.subject, finding.witness) {
            (Some(subject), Witness::Kernel) => {
                let mut verdicts = self.confirm(subject, &finding);
                self.remember(subject.clone(), &finding, now);
                verdicts.push(Verdict::Report(finding));
                verdicts
            }
            (Some(subject), Witness::KernelText) if self.is_seen(subject, now) => {
                let subject = subject.clone();
                vec![self.text(&subject, finding, now)]
            }
            _ => vec![Verdict::Report(finding)],
        }
    }

    /// The subject is well again; what is said of it later is a new incident.
    pub fn recover(&mut self, subject: &Subject, now: Instant) {
        if let Some(reported) = self.reported.get_mut(subject) {
            reported.until = Some(now + PATIENCE);
        }
    }

    /// When the oldest held text has waited long enough.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.held.front().map(|(due, _)| *due)
    }

    /// When every text that is held now will have waited long enough.
    pub fn last_expiry(&self) -> Option<Instant> {
        self.held.back().map(|(due, _)| *due)
    }

    /// Texts that no probe came for.
    pub fn expire(&mut self, now: Instant) -> Vec<Finding> {
        self.reported.retain(|_, reported| reported.answers(now));
        let due = self.held.partition_point(|(due, _)| *due <= now);
        let later = self.held.split_off(due);
        let due = std::mem::replace(&mut self.held, later).into_iter();
        due.map(|(_, text)| text)
            .filter(|text| !self.is_answered(text))
            .collect()
    }

    fn probe(&self, subject: &Subject) -> Option<&ProbeClaim> {
        self.probes.get(&*subject.probe)
    }

    /// Whether a probe sees what happens to `subject`, or may in a moment.
    fn is_seen(&self, subject: &Subject, now: Instant) -> bool {
        let probe = self.probe(subject);
        probe.is_some_and(|probe| probe.answers_for.is_some() || probe.is_expected(now))
    }

    /// Whether a probe answers for the condition of a text: it knows better, and knows when it is
    /// over.
    fn is_answered(&self, text: &Finding) -> bool {
        let subject = text.subject.as_ref();
        let probe = subject.and_then(|subject| self.probe(subject));
        let answered = probe.and_then(|probe| probe.answers_for.as_ref());
        let condition = text.problem.condition.as_ref();
        condition
            .zip(answered)
            .is_some_and(|(condition, answered)| answered.contains(condition))
    }

    fn text(&mut self, subject: &Subject, finding: Finding, now: Instant) -> Verdict {
        if self.is_answered(&finding) {
            return Verdict::Known;
        }
        if finding.problem.condition.is_some() {
            let probe = self.probe(subject);
            return if probe.is_some_and(|probe| probe.is_expected(now)) {
                self.hold(finding, now)
            } else {
                Verdict::Report(finding)
            };
        }
        if let Some(reported) = self.reported.get(subject).filter(|r| r.answers(now)) {
            let counted = reported.reasons.contains(&finding.problem.reason);
            return if counted {
                Verdict::Known
            } else {
                Verdict::Count(finding)
            };
        }
        self.hold(finding, now)
    }

    fn hold(&mut self, text: Finding, now: Instant) -> Verdict {
        self.held.push_back((now + PATIENCE, text));
        if self.held.len() <= MAX_INCIDENTS {
            return Verdict::Held;
        }
        self.held
            .pop_front()
            .map_or(Verdict::Held, |(_, oldest)| Verdict::Report(oldest))
    }

    /// Lets go of the texts of events that `finding` explains.
    fn confirm(&mut self, subject: &Subject, finding: &Finding) -> Vec<Verdict> {
        let reason = &finding.problem.reason;
        let mut verdicts = Vec::new();
        self.held.retain(|(_, text)| {
            let explained =
                text.subject.as_ref() == Some(subject) && text.problem.condition.is_none();
            if explained && text.problem.reason != *reason {
                verdicts.push(Verdict::Count(text.clone()));
            }
            !explained
        });
        verdicts
    }

    fn remember(&mut self, subject: Subject, finding: &Finding, now: Instant) {
        if self.reported.len() >= MAX_INCIDENTS {
            self.reported.retain(|_, reported| reported.answers(now));
        }
        if self.reported.len() >= MAX_INCIDENTS {
            self.reported.pop_first();
        }
        let lasts = self.probe(&subject).is_some_and(|probe| probe.lasts);
        let reported = self.reported.entry(subject).or_default();
        reported.reasons.insert(Arc::clone(&finding.problem.reason));
        reported.until = match finding.present {
            ConditionStatus::True if lasts => None,
            _ => Some(now + ANSWERS),
        };
    }
}

impl ProbeClaim {
    fn is_expected(&self, now: Instant) -> bool {
        self.expected.is_some_and(|until| now < until)
    }
}

impl Reported {
    fn answers(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

#[cfg(test)]
mod tests;
