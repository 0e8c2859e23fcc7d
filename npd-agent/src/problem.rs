//! The vocabulary: what a monitor finds, and what the cluster is told about it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The result of a task that ends only by failing. Dropping the task stops it.
pub type Forever = anyhow::Result<Infallible>;

/// A running task that ends only by failing.
pub type Task<'a> = Pin<Box<dyn Future<Output = Forever> + Send + 'a>>;

/// How bad an [`Event`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good or neutral news; a Kubernetes Event of type `Normal`.
    Info,
    /// A problem; a Kubernetes Event of type `Warning`.
    Warn,
}

/// The status of a node condition. `True` means that the node is sick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// The problem is there.
    True,
    /// The problem is not there.
    False,
    /// Nobody can tell.
    Unknown,
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
    /// Whether the node is sick in this way.
    pub status: ConditionStatus,
    /// Since when the condition has had its status and reason.
    pub transition: Timestamp,
    /// One word for machines, for example `TaskHung`.
    pub reason: Arc<str>,
    /// A sentence for people.
    pub message: String,
}

/// What a condition says while the node is healthy; the `conditions` of a config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healthy {
    /// The condition's type.
    pub r#type: Arc<str>,
    /// The reason while all is well, for example `KernelHasNoDeadlock`.
    pub reason: Arc<str>,
    /// The message while all is well.
    pub message: String,
}

/// A part of a monitor that looks at the node by itself: a log, a plugin's rule, a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observer {
    /// Tells it apart from the others of its config file. Claims that end with the agent have it as
    /// the beginning of their claimant.
    pub name: Arc<str>,
    /// The conditions that are not known before it has looked.
    pub conditions: BTreeSet<Arc<str>>,
}

/// A pod that a problem hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pod {
    /// The uid, as the cgroup's name tells it.
    pub uid: String,
    /// Namespace and name, where the node knows them.
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
    /// When it happened, by the problem's own clock.
    pub timestamp: Timestamp,
    /// One word for machines.
    pub reason: Arc<str>,
    /// What happened, for people; bounded by [`MAX_MESSAGE`].
    pub message: String,
    /// The pod that was hit, when one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
}

/// What exporters are given: one event, or changed conditions, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Its number. Later ones have higher ones, also after a restart, until the next boot.
    pub number: u64,
    /// What it came of, if that may come again after a restart.
    pub occurrence: Option<OccurrenceId>,
    /// Who says so; the `source` of a config file and the component of Kubernetes Events.
    pub source: Arc<str>,
    /// What happened.
    pub event: Option<Event>,
    /// The conditions that are news, each as it stands now.
    pub conditions: Vec<Condition>,
}

/// What a rule looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The reason of its Events and condition, and its label in `problem_counter`.
    pub reason: Arc<str>,
    /// The condition that it sets; `None` for a temporary problem, which only makes an Event.
    pub condition: Option<Arc<str>>,
    /// Whether a new message alone is news while the condition stays true
    /// (`enable_message_change_based_condition_update` of custom plugins).
    pub message_is_news: bool,
    /// Whether it is counted in `problem_counter` and `problem_gauge` (`metricsReporting`).
    pub metrics: bool,
    /// Whether nothing comes of it, because its config file does not declare its condition. NPD runs
    /// such a rule all the same.
    pub inert: bool,
}

/// The thing that a fault is about, so that two witnesses of one fault are not taken for two faults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// The name of the probe that watches such things, whether it runs or not.
    pub probe: Cow<'static, str>,
    /// Which of these things it is, in the probe's terms: a task's number, a device's name.
    pub key: String,
}

/// What a probe will report on, as the hub has to know before the probe runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The probe's name; the first half of a [`Subject`].
    pub probe: &'static str,
    /// Whether what it reports lasts until the probe says that it is over. Otherwise it is over at
    /// once, like a kill.
    pub lasts: bool,
}

impl Subject {
    /// The thing `key` that `probe` watches.
    pub fn new(probe: &'static str, key: impl fmt::Display) -> Self {
        Self {
            probe: Cow::Borrowed(probe),
            key: key.to_string(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.probe, self.key)
    }
}

/// How a finding came about; decides who reports when two see the same incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// A kernel probe, a counter or the kernel's live state.
    Kernel,
    /// A line of the kernel's log.
    KernelText,
    /// Anything else: an application's log, a plugin.
    Other,
}

/// Tells what was found in a source that is read again after a restart. What is found again has
/// the same mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OccurrenceId {
    /// The source's name.
    pub source: Arc<str>,
    /// A hash of what was found.
    pub found: u64,
}

/// What a monitor saw.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The config file that holds the rule; claims on conditions are kept apart by it.
    pub monitor: Arc<str>,
    /// The `source` of that file.
    pub source: Arc<str>,
    /// What was looked for.
    pub problem: Arc<Problem>,
    /// Whether it is there. A temporary problem that is not there is no news.
    pub present: ConditionStatus,
    /// When.
    pub timestamp: Timestamp,
    /// What exactly was seen.
    pub message: String,
    /// Who within the monitor claims it; one claimant has one opinion about a condition at a time.
    /// Log rules share the empty name (the last match wins, as in NPD); plugin rules have one each.
    pub claimant: String,
    /// What it is about, when that can be told.
    pub subject: Option<Subject>,
    /// How it was seen.
    pub witness: Witness,
    /// The pod that was hit, when one was.
    pub pod: Option<Pod>,
    /// What it was found in, if that is read again after a restart.
    pub occurrence: Option<OccurrenceId>,
}

/// The longest message kept, in bytes. Kubernetes refuses Event messages over 1 KiB only in
/// `events.k8s.io/v1`; etcd suffers from long ones in either.
pub const MAX_MESSAGE: usize = 4096;

/// Cuts `message` at a character boundary so that it fits into [`MAX_MESSAGE`], with a mark.
pub fn bounded(mut message: String) -> String {
    const MARK: &str = "… [cut]";
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE - MARK.len()));
        message.push_str(MARK);
    }
    message
}
