//! Reports each incident once.
//!
//! A probe and a rule for the kernel log may see the same incident, for example an OOM kill. While the
//! probe is attached, the probe reports the incident, and the text only confirms it. But the text may come
//! first, or the probe's record may be lost. So the text is held for a moment, and reported if the probe
//! does not report the incident. A rule for a state of `/sys` may see it too, but minutes later: it is silent
//! about what a rule for the log has reported. This module is pure: the caller passes the time.

mod log_reports;
mod reported_text;
mod saved;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::log_reports::LogReports;
use self::reported_text::ReportedTexts;
pub use self::saved::SavedIncident;
use crate::problem::{ConditionStatus, Finding, Subject, Watched, Witness};

/// How long text waits for the probe, and how long a probe's report covers later text. The kernel prints
/// within milliseconds, but in a flood the text is read seconds later.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long texts wait for a probe to say whether it is attached. On a slow machine, this takes longer than
/// [`PATIENCE`].
const STARTING: Duration = Duration::from_secs(30);

/// How long the report of a kill covers later text. In a flood, text is read many seconds later. A pid is
/// not used again within this time.
const ANSWERS: Duration = Duration::from_mins(1);

/// How many incidents are remembered, and how many texts are held. With more, the oldest is removed: a
/// held text is then reported, because reporting a problem twice is better than never.
const MAX_INCIDENTS: usize = 4096;

/// Which incidents the probes have reported, and which texts wait for them.
#[derive(Debug, Default)]
pub struct Incidents {
    /// The probes, by name.
    probes: BTreeMap<&'static str, ProbeClaim>,
    reported: BTreeMap<Subject, Reported>,
    texts: ReportedTexts,
    log_reports: LogReports,
    held: VecDeque<(Instant, Finding)>,
}

/// What is known of a probe.
#[derive(Debug, Default)]
struct ProbeClaim {
    /// Whether what it reports lasts until it recovers.
    lasts: bool,
    /// Texts wait until this time for the probe to say whether it is attached.
    expected: Option<Instant>,
    /// The conditions that it decides; `None` if it is not attached.
    answers_for: Option<BTreeSet<Arc<str>>>,
}

/// What a probe has reported about a subject.
#[derive(Debug, Default)]
struct Reported {
    reasons: BTreeSet<Arc<str>>,
    /// Until when this covers later texts; `None`: until the subject recovers.
    until: Option<Instant>,
    /// Until when texts with another reason need not be counted either.
    excused: Option<Instant>,
}

/// What to do with a finding.
#[derive(Debug)]
pub enum Verdict {
    /// It is new: apply it to the ledger.
    Report(Finding),
    /// A probe has reported the incident with another reason: count the text's reason, without an Event.
    Count(Finding),
    /// It was reported already: do nothing.
    Known,
    /// It waits for the probe, until [`Incidents::next_expiry`].
    Held,
}

impl Incidents {
    /// A probe will soon [watch](Self::watch) or [not](Self::unwatch). Texts wait for this: an incident in
    /// the log from before the start may be over, and the probe knows it.
    pub fn expect(&mut self, watched: Watched, now: Instant) {
        let claim = ProbeClaim {
            lasts: watched.lasts,
            expected: Some(now + STARTING),
            answers_for: None,
        };
        self.probes.insert(watched.probe, claim);
    }

    /// The probe now reports its incidents and decides `conditions`.
    pub fn watch(&mut self, probe: &'static str, conditions: BTreeSet<Arc<str>>) {
        let claim = self.probes.entry(probe).or_default();
        claim.expected = None;
        claim.answers_for = Some(conditions);
    }

    /// The probe is gone: text is reported again.
    pub fn unwatch(&mut self, probe: &'static str) {
        if let Some(claim) = self.probes.get_mut(probe) {
            claim.expected = None;
            claim.answers_for = None;
        }
        self.reported.retain(|subject, _| subject.probe != probe);
    }

    /// A probe of an earlier agent has reported the subject with this reason, and it lasts.
    pub fn resume(&mut self, subject: Subject, reason: Arc<str>) {
        let reported = self.reported.entry(subject).or_default();
        reported.reasons.insert(reason);
        reported.until = None;
    }

    /// The probe has seen what texts about the subject mean, and nobody loses anything by it.
    pub fn excuse(&mut self, subject: Subject, now: Instant) {
        let is_excused = |text: &Finding| {
            text.subject.as_ref() == Some(&subject) && text.problem.condition.is_none()
        };
        self.held.retain(|(_, text)| !is_excused(text));
        let covers = now + ANSWERS;
        let reported = self.entry(subject, now);
        reported.excused = Some(covers);
        reported.until = reported.until.map(|until| until.max(covers));
    }

    /// Decides what happens with `finding`, and with texts that waited for it.
    pub fn admit(&mut self, finding: Finding, now: Instant) -> Vec<Verdict> {
        match (&finding.subject, finding.witness) {
            (Some(subject), Witness::Kernel) => {
                let mut verdicts = self.confirm(subject, &finding);
                let is_known = self.texts.explain(subject, &finding, now);
                self.remember(subject.clone(), &finding, now);
                verdicts.push(if is_known {
                    Verdict::Known
                } else {
                    Verdict::Report(finding)
                });
                verdicts
            }
            (Some(subject), Witness::KernelText) => {
                let subject = subject.clone();
                let verdict = self.text(&subject, finding, now);
                if let Verdict::Report(text) = &verdict {
                    self.texts.note(text, now);
                    if text.present == ConditionStatus::True {
                        self.log_reports.note(&subject, text);
                    }
                }
                vec![verdict]
            }
            (Some(subject), Witness::State { since, log_reasons })
                if finding.problem.condition.is_none()
                    && self.log_reports.include(subject, log_reasons, since) =>
            {
                vec![Verdict::Known]
            }
            _ => vec![Verdict::Report(finding)],
        }
    }

    /// The subject is well again; later text about it is a new incident.
    pub fn recover(&mut self, subject: &Subject, now: Instant) {
        if let Some(reported) = self.reported.get_mut(subject) {
            reported.until = Some(now + PATIENCE);
        }
    }

    /// When the oldest held text is reported.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.held.front().map(|(due, _)| *due)
    }

    /// When all texts that are held now are reported.
    pub fn last_expiry(&self) -> Option<Instant> {
        self.held.back().map(|(due, _)| *due)
    }

    /// Removes the texts whose time is over, to report them.
    pub fn expire(&mut self, now: Instant) -> Vec<Finding> {
        self.reported.retain(|_, reported| reported.answers(now));
        let due = self.held.partition_point(|(due, _)| *due <= now);
        let later = self.held.split_off(due);
        let due = std::mem::replace(&mut self.held, later).into_iter();
        let due: Vec<_> = due
            .map(|(_, text)| text)
            .filter(|text| !self.is_answered(text))
            .collect();
        for text in &due {
            self.texts.note(text, now);
        }
        due
    }

    fn probe(&self, subject: &Subject) -> Option<&ProbeClaim> {
        self.probes.get(&*subject.probe)
    }

    /// Whether a probe watches `subject`, or may do so in a moment.
    fn is_seen(&self, subject: &Subject, now: Instant) -> bool {
        let probe = self.probe(subject);
        probe.is_some_and(|probe| probe.answers_for.is_some() || probe.is_expected(now))
    }

    /// Whether a probe decides the condition of a text. The probe knows when it is over.
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
        let is_seen = self.is_seen(subject, now);
        if finding.problem.condition.is_some() {
            let probe = self.probe(subject);
            return if probe.is_some_and(|probe| probe.is_expected(now)) {
                self.hold(finding, now)
            } else {
                Verdict::Report(finding)
            };
        }
        if let Some(reported) = self.reported.get(subject).filter(|r| r.answers(now)) {
            let counted = reported.reasons.contains(&finding.problem.reason)
                || reported.excused.is_some_and(|until| until > now);
            return if counted {
                Verdict::Known
            } else {
                Verdict::Count(finding)
            };
        }
        if is_seen {
            self.hold(finding, now)
        } else {
            Verdict::Report(finding)
        }
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

    /// Removes the held texts of the same incident as `finding`.
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
        let lasts = self.probe(&subject).is_some_and(|probe| probe.lasts);
        let reported = self.entry(subject, now);
        reported.reasons.insert(Arc::clone(&finding.problem.reason));
        reported.until = match finding.present {
            ConditionStatus::True if lasts => None,
            _ => Some(now + ANSWERS),
        };
    }

    /// What was reported about the subject: at first nothing, which covers nothing. Makes room for it.
    fn entry(&mut self, subject: Subject, now: Instant) -> &mut Reported {
        if self.reported.len() >= MAX_INCIDENTS {
            self.reported.retain(|_, reported| reported.answers(now));
        }
        if self.reported.len() >= MAX_INCIDENTS {
            self.reported.pop_first();
        }
        self.reported.entry(subject).or_insert_with(|| Reported {
            until: Some(now),
            ..Reported::default()
        })
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
