//! Reports in any order, restarts, and clocks that are set: what is published is what is claimed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::Hub;
use crate::exporter::Exporter;
use crate::ledger::SavedClaim;
use crate::metrics::Metrics;
use crate::monitor::Declaration;
use crate::problem::{
    Condition, ConditionStatus, Detector, Finding, Healthy, Problem, Subject, Update, Watched,
    Witness,
};
use crate::reporter::Report;
use crate::status_page::StatusPage;

const TYPES: [&str; 2] = ["Sick", "Ill"];

const PROBES: [&str; 2] = ["tasks", "disks"];

/// The name of a detector, and what it may find.
type NamedDetector = (&'static str, &'static [&'static str]);

/// The config files, and the detectors of each.
const FILES: [(&str, &[NamedDetector]); 3] = [
    ("kernel.json", &[("log", &TYPES)]),
    (
        "plugin.json",
        &[("rules[0]", &["Sick"]), ("rules[1]", &["Ill"])],
    ),
    ("ebpf.json", &[("tasks", &["Sick"])]),
];

/// What the exporters have got.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Exported>>);

#[derive(Default)]
struct Exported {
    number: u64,
    conditions: BTreeMap<Arc<str>, Condition>,
}

impl Listener {
    fn lock(&self) -> MutexGuard<'_, Exported> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exporter for Listener {
    fn export(&mut self, update: &Update) {
        let mut exported = self.lock();
        assert!(update.number > exported.number, "updates are numbered");
        exported.number = update.number;
        for condition in &update.conditions {
            exported
                .conditions
                .insert(Arc::clone(&condition.r#type), condition.clone());
        }
    }
}

/// An agent's hub, and what it was told.
struct FuzzedHub {
    hub: Hub,
    metrics: Metrics,
    status_page: StatusPage,
    listener: Listener,
    /// The detectors that have said that they have checked, or cannot.
    heard: BTreeSet<(&'static str, &'static str)>,
    now: Instant,
    wall: Timestamp,
}

/// Reports, four bytes each.
///
/// # Panics
/// If claims, conditions and metrics contradict each other.
pub fn hub(bytes: &[u8]) {
    let Some(mut fuzzed) = FuzzedHub::start(Vec::new(), Instant::now(), Timestamp::UNIX_EPOCH)
    else {
        return;
    };
    for step in bytes.as_chunks().0 {
        fuzzed.step(*step);
        fuzzed.check();
    }
    fuzzed.settle();
}

impl FuzzedHub {
    /// An agent that continues with these claims.
    fn start(saved: Vec<SavedClaim>, now: Instant, wall: Timestamp) -> Option<Self> {
        let metrics = Metrics::new().ok()?;
        let status_page = StatusPage::new("n".to_owned(), Timestamp::UNIX_EPOCH);
        let listener = Listener::default();
        let exporters: Vec<Box<dyn Exporter>> = vec![Box::new(listener.clone())];
        let mut hub = Hub::new(metrics.clone(), status_page.clone(), exporters);
        hub.saved = saved;
        let watched = PROBES.map(|probe| Watched {
            probe,
            lasts: probe == "disks",
        });
        hub.expect(&watched, now);
        for (file, detectors) in FILES {
            hub.declare(&declaration(file, detectors), wall);
        }
        hub.begin(wall);
        Some(Self {
            hub,
            metrics,
            status_page,
            listener,
            heard: BTreeSet::new(),
            now,
            wall,
        })
    }

    fn step(&mut self, [kind, a, b, c]: [u8; 4]) {
        let (file, detectors) = pick(&FILES, a);
        let (detector, _) = pick(detectors, a / 3);
        let probe = pick(&PROBES, a);
        let subject = Subject::new(probe, b % 3);
        match kind % 16 {
            0..=6 => self.find([kind, a, b, c]),
            7 => self.pass(u64::from(a % 16)),
            // The wall clock is set.
            8 => {
                let by = SignedDuration::from_mins(i64::from(a) - 128);
                self.wall = self.wall.saturating_add(by).unwrap_or(self.wall);
            }
            9 => {
                let types = TYPES.iter().filter(|_| b % 2 == 0);
                let conditions = types.map(|r#type| Arc::from(*r#type)).collect();
                self.take(Report::Watching { probe, conditions });
            }
            10 => self.take(Report::NotWatching(probe)),
            11 => {
                let reason = Arc::from("SickBad");
                self.take(Report::Resumed { subject, reason });
            }
            12 => self.take(Report::Harmless(subject)),
            13 => {
                self.take(Report::Recovered {
                    source: Arc::from("source"),
                    subject: subject.clone(),
                    timestamp: self.wall,
                });
                let subjects = self.hub.ledger.subjects();
                assert!(!subjects.contains(&subject), "what is well is not claimed");
            }
            14 => {
                self.heard.insert((file, detector));
                let (monitor, detector) = (Arc::from(file), Arc::from(detector));
                self.take(if b % 4 == 0 {
                    Report::CannotCheck { monitor, detector }
                } else {
                    Report::Checked { monitor, detector }
                });
            }
            _ => self.restart(),
        }
    }

    fn find(&mut self, [kind, a, b, c]: [u8; 4]) {
        let (file, detectors) = pick(&FILES, a);
        let (detector, types) = pick(detectors, a / 3);
        let r#type = pick(types, b / 16);
        let of_log = detector == "log";
        let finding = Finding {
            monitor: Arc::from(file),
            source: Arc::from("source"),
            problem: Arc::new(Problem {
                reason: Arc::from(format!("{type}{}", pick(&["Bad", "Worse"], b / 64))),
                condition: (kind % 16 != 0).then(|| Arc::from(r#type)),
                message_is_news: c % 2 == 0,
                metrics: true,
                inert: false,
                advice: None,
            }),
            present: pick(
                &[
                    ConditionStatus::True,
                    ConditionStatus::True,
                    ConditionStatus::False,
                    ConditionStatus::Unknown,
                ],
                c / 2,
            ),
            timestamp: self.wall,
            message: format!("message {}", c / 64),
            claimant: if of_log {
                String::new()
            } else {
                detector.to_owned()
            },
            subject: (c / 8 % 2 == 0).then(|| Subject::new(pick(&PROBES, a / 9), b % 3)),
            object: None,
            repeated: c / 16 % 4 == 0,
            witness: match file {
                "kernel.json" => Witness::KernelText,
                "ebpf.json" => Witness::Kernel,
                _ => Witness::Other,
            },
            pod: None,
            occurrence: None,
        };
        self.take(Report::Finding(Box::new(finding)));
    }

    fn take(&mut self, report: Report) {
        self.hub.take(report, self.now);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        let seconds = SignedDuration::from_secs(seconds.cast_signed());
        self.wall = self.wall.saturating_add(seconds).unwrap_or(self.wall);
        self.hub.expire(self.now);
    }

    /// Another agent continues with the claims of this one, as the checkpoint has them.
    fn restart(&mut self) {
        let saved: Vec<SavedClaim> = self.hub.ledger.saved().collect();
        let json = serde_json::to_vec(&saved).unwrap_or_default();
        let saved = serde_json::from_slice(&json).unwrap_or_default();
        if let Some(next) = Self::start(saved, self.now, self.wall) {
            let before = std::mem::replace(self, next);
            for r#type in TYPES {
                assert_eq!(
                    self.is_claimed(r#type),
                    before.is_claimed(r#type),
                    "claims survive a restart"
                );
            }
        }
    }

    fn is_claimed(&self, r#type: &str) -> bool {
        let mut claims = self.hub.ledger.saved();
        claims.any(|claim| *claim.condition == *r#type)
    }

    /// Whether every detector of the condition has checked, or cannot.
    fn is_heard(&self, r#type: &str) -> bool {
        let mut detectors = FILES.iter().flat_map(|(file, detectors)| {
            let concerned = detectors
                .iter()
                .filter(|(_, types)| types.contains(&r#type));
            concerned.map(move |(detector, _)| (*file, *detector))
        });
        detectors.all(|detector| self.heard.contains(&detector))
    }

    fn check(&self) {
        let ledger = &self.hub.ledger;
        let published: Vec<_> = ledger.conditions().cloned().collect();
        let exported = self.listener.lock();
        let by_type = published.iter();
        let by_type = by_type.map(|shown| (Arc::clone(&shown.r#type), shown.clone()));
        let by_type: BTreeMap<_, _> = by_type.collect();
        assert_eq!(exported.conditions, by_type, "exporters know");
        assert_eq!(self.status_page.read().conditions, published, "is shown");
        assert_eq!(*self.hub.claimed.borrow(), ledger.subjects(), "probes know");
        for r#type in TYPES {
            let condition = published.iter().find(|shown| *shown.r#type == *r#type);
            let status = condition.map(|condition| condition.status);
            if self.is_claimed(r#type) {
                assert_eq!(status, Some(ConditionStatus::True), "{type} is claimed");
            }
            if matches!(
                status,
                Some(ConditionStatus::False | ConditionStatus::Unknown)
            ) {
                assert!(
                    self.is_heard(r#type),
                    "{type} is published before all have checked"
                );
            }
            if let Some(condition) = condition
                && self.hub.gauges.shows(r#type)
            {
                self.check_gauge(condition);
            }
        }
    }

    /// Only the reason of the condition is at 1, if it is True.
    fn check_gauge(&self, condition: &Condition) {
        for reason in ["Bad", "Worse", "OK"] {
            let reason = format!("{}{reason}", condition.r#type);
            let is_shown =
                condition.status == ConditionStatus::True && *condition.reason == *reason;
            let labels = [&*reason, &*condition.r#type];
            let value = self.metrics.problem_gauge.with_label_values(&labels).get();
            assert_eq!(value > 0.5, is_shown, "problem_gauge of {reason}");
        }
    }

    /// When nothing is held any more, and all have checked, a condition is True only while it is claimed.
    fn settle(&mut self) {
        for (file, detectors) in FILES {
            for (detector, _) in detectors {
                self.heard.insert((file, detector));
                self.take(Report::Checked {
                    monitor: Arc::from(file),
                    detector: Arc::from(*detector),
                });
            }
        }
        self.pass(3600);
        self.check();
        assert_eq!(self.hub.incidents.next_expiry(), None, "nothing is held");
        for condition in self.hub.ledger.conditions() {
            let is_true = condition.status == ConditionStatus::True;
            assert_eq!(is_true, self.is_claimed(&condition.r#type), "{condition:?}");
        }
        assert_eq!(self.hub.ledger.unseen().count(), 0, "all is known");
    }
}

fn declaration(file: &str, detectors: &[NamedDetector]) -> Declaration {
    let all: BTreeSet<&str> = detectors
        .iter()
        .flat_map(|(_, types)| *types)
        .copied()
        .collect();
    let healthy = |r#type: &&str| Healthy {
        r#type: Arc::from(*r#type),
        reason: Arc::from(format!("{type}OK")),
        message: "fine".to_owned(),
    };
    let problems = all.iter().flat_map(|r#type| {
        ["Bad", "Worse"].map(|reason| {
            Arc::new(Problem {
                reason: Arc::from(format!("{type}{reason}")),
                condition: Some(Arc::from(*r#type)),
                message_is_news: false,
                metrics: true,
                inert: false,
                advice: None,
            })
        })
    });
    let detectors = detectors.iter().map(|(name, types)| Detector {
        name: Arc::from(*name),
        conditions: types.iter().map(|r#type| Arc::from(*r#type)).collect(),
    });
    Declaration {
        monitor: Arc::from(file),
        source: Arc::from("source"),
        conditions: all.iter().map(healthy).collect(),
        problems: problems.collect(),
        detectors: detectors.collect(),
        gauges_all: file == "plugin.json",
    }
}

fn pick<T: Copy>(from: &[T], which: u8) -> T {
    from[usize::from(which) % from.len()]
}
