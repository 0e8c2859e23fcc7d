//! The common types: what a monitor finds, and what is reported about it.

mod subject;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::subject::{FaultyObject, Subject, Watched, Witness};

/// The result of a task that ends only by failing. Dropping the task stops it.
pub type Forever = anyhow::Result<Infallible>;

/// A running task that ends only by failing.
pub type Task<'a> = Pin<Box<dyn Future<Output = Forever> + Send + 'a>>;

/// How bad an [`Event`] is. All but [`Severity::Info`] are Kubernetes Events of type `Warning`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing bad; a Kubernetes Event of type `Normal`.
    Info,
    /// A problem that may pass, or that has cost nothing yet.
    Warning,
    /// Something has failed.
    Error,
    /// Something has failed that will not work again by itself.
    Fatal,
}

impl Severity {
    /// The word in config files, JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}

/// What a rule suggests to do about its problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Nothing is wrong; it is reported for information.
    None,
    /// Restart what was hit: a pod, a service.
    RestartWorkload,
    /// Move the workload to other nodes.
    Drain,
    /// Reboot the node.
    Reboot,
    /// Reset the device, for example a GPU.
    ResetDevice,
    /// Replace the hardware or the machine.
    Replace,
    /// A person must examine it.
    Inspect,
}

impl Action {
    /// The word in config files, JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::RestartWorkload => "restart-workload",
            Self::Drain => "drain",
            Self::Reboot => "reboot",
            Self::ResetDevice => "reset-device",
            Self::Replace => "replace",
            Self::Inspect => "inspect",
        }
    }
}

/// What a rule says about its problem for those who act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// How bad it is.
    pub severity: Severity,
    /// What to do about it.
    pub action: Action,
    /// Whether the rule is only tried: the cluster is not told.
    pub dry_run: bool,
}

/// The status of a node condition. `True` means that the node is sick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// There is a problem.
    True,
    /// There is no problem.
    False,
    /// Unknown.
    Unknown,
}

impl ConditionStatus {
    /// False for True, and the other way round.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl fmt::Display for ConditionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        })
    }
}

/// A condition of the node, as `/conditions` and the Node object show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// For example `KernelDeadlock`.
    pub r#type: Arc<str>,
    /// Whether the node has this problem.
    pub status: ConditionStatus,
    /// Since when the condition has had its status and reason. If it is an alias: its status.
    pub transition: Timestamp,
    /// One word for programs, for example `TaskHung`.
    pub reason: Arc<str>,
    /// A sentence for people.
    pub message: String,
    /// If it is an alias: the status that means that the node is well. Otherwise that is False.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<ConditionStatus>,
}

impl Condition {
    /// Whether there is a problem, also if it is an alias for which False means that.
    pub fn problem(&self) -> ConditionStatus {
        match self.healthy {
            Some(ConditionStatus::True) => self.status.opposite(),
            _ => self.status,
        }
    }

    /// Whether its transition time stays when it becomes `next`.
    pub fn continues_as(&self, next: &Self) -> bool {
        let is_alias = next.healthy.is_some();
        self.status == next.status && (is_alias || self.reason == next.reason)
    }
}

/// The healthy state of a condition, from `conditions` of a config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healthy {
    /// The condition's type.
    pub r#type: Arc<str>,
    /// The reason while all is well, for example `KernelHasNoDeadlock`.
    pub reason: Arc<str>,
    /// The message while all is well.
    pub message: String,
}

/// A part of a monitor that checks the node by itself: a log, a plugin's rule, a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detector {
    /// Identifies it among the detectors of its config file. The claimant of a claim that ends with the
    /// agent begins with this name.
    pub name: Arc<str>,
    /// The conditions that are not known before it has checked.
    pub conditions: BTreeSet<Arc<str>>,
}

/// A pod that a problem hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pod {
    /// The uid, from the cgroup's name.
    pub uid: String,
    /// Namespace and name, if they are known on the node.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub name: Option<PodName>,
}

/// A pod's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PodName {
    /// The namespace.
    pub namespace: String,
    /// The name within it.
    pub name: String,
}

/// Something that happened once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// How bad it is.
    pub severity: Severity,
    /// When it happened, by the clock of the source.
    pub timestamp: Timestamp,
    /// One word for programs.
    pub reason: Arc<str>,
    /// What happened, for people; at most [`MAX_MESSAGE`] bytes.
    pub message: String,
    /// What to do about it, if its rule says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// What is at fault, if its rule knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<FaultyObject>,
    /// The pod that was hit, when one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
    /// Whether its rule is only tried, so that the cluster is not told.
    #[serde(rename = "dryRun", skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// What exporters get: one event, or changed conditions, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Its number. Later updates have higher numbers, also after a restart, until the next boot.
    pub number: u64,
    /// The occurrence that it reports, if that may be found again, or be reported by someone else, after a
    /// restart.
    pub occurrence: Option<OccurrenceId>,
    /// The `source` of the config file, which is the component of Kubernetes Events.
    pub source: Arc<str>,
    /// What happened.
    pub event: Option<Event>,
    /// The changed conditions.
    pub conditions: Vec<Condition>,
}

/// The problem that a rule reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The reason of its Events and condition, and its label in `problem_counter`.
    pub reason: Arc<str>,
    /// The condition that it sets; `None` for a temporary problem, which only makes Events.
    pub condition: Option<Arc<str>>,
    /// Whether a new message alone is reported while the condition stays True
    /// (`enable_message_change_based_condition_update` of custom plugins).
    pub message_is_news: bool,
    /// Whether it is counted in `problem_counter` and `problem_gauge` (`metricsReporting`).
    pub metrics: bool,
    /// Whether its findings have no effect, because its config file does not declare its condition. NPD
    /// runs such a rule nevertheless.
    pub inert: bool,
    /// How bad it is and what to do, if the rule says so.
    pub advice: Option<Advice>,
}

impl Problem {
    /// The problem of a rule that also says this. A rule that is only tried sets no condition.
    #[must_use]
    pub fn advised(self, advice: Option<Advice>) -> Self {
        let is_tried = advice.is_some_and(|advice| advice.dry_run);
        Self {
            advice,
            condition: self.condition.filter(|_| !is_tried),
            ..self
        }
    }

    /// The severity of its Events, while the problem is there.
    pub fn severity(&self) -> Severity {
        self.advice
            .map_or(Severity::Warning, |advice| advice.severity)
    }
}

/// Identifies what was found. If it is found again after a restart, it has the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OccurrenceId {
    /// The name of the source that is read again after a restart; `None` for a probe, which sees nothing twice.
    pub source: Option<Arc<str>>,
    /// A hash of what was found.
    pub found: u64,
}

/// What a monitor saw.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The config file of the rule. Claims of different files are separate.
    pub monitor: Arc<str>,
    /// The `source` of that file.
    pub source: Arc<str>,
    /// The problem of the rule.
    pub problem: Arc<Problem>,
    /// Whether the problem is there. Nothing is reported if a temporary problem is not there.
    pub present: ConditionStatus,
    /// When.
    pub timestamp: Timestamp,
    /// What was seen, for people.
    pub message: String,
    /// Who in the config file claims it. A claimant has one claim on a condition at a time. Log rules share
    /// the empty name, so the last match wins, as in NPD. Each plugin rule has its own name.
    pub claimant: String,
    /// The thing that it is about, if known.
    pub subject: Option<Subject>,
    /// What is at fault, if a rule's pattern says it.
    pub object: Option<FaultyObject>,
    /// Whether the same was reported a moment ago: it is counted, and makes no Event.
    pub repeated: bool,
    /// How it was seen.
    pub witness: Witness,
    /// The pod that was hit, when one was.
    pub pod: Option<Pod>,
    /// Its occurrence, if that may be found again, or by someone else, after a restart.
    pub occurrence: Option<OccurrenceId>,
}

/// The longest message, in bytes. Kubernetes limits Event messages to 1 KiB, but only in
/// `events.k8s.io/v1`. Long ones are bad for etcd in any case.
pub const MAX_MESSAGE: usize = 4096;

/// Cuts `message` at a character boundary to at most [`MAX_MESSAGE`] bytes, and adds a note.
pub fn bounded(mut message: String) -> String {
    const MARK: &str = "… [cut]";
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE - MARK.len()));
        message.push_str(MARK);
    }
    message
}
