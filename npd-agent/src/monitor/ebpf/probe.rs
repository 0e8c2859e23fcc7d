//! What a probe is, what it gets, and how it reports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use npd_ebpf::Header;
use regex::Regex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc, watch};
use tracing::info;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::counts::KernelCounts;
use super::load::TaskWalk;
use super::program::{Attached, KernelProgram, TaskIterator};
use crate::kernel_text::{self, Wording};
use crate::monitor::Task;
use crate::node::clock::wall_time;
use crate::problem::{ConditionStatus, Finding, Pod, Problem, Subject, Watched, Witness};
use crate::reporter::{Report, Reporter};
use crate::status_page::ProbeState;

/// The monitor's name, and that of its source of records.
pub const SOURCE: &str = "ebpf";

/// Something that rules can name with `"probe"`.
#[derive(Debug)]
pub struct Probe {
    /// Its name in config files, in `/status` and in metrics.
    pub name: &'static str,
    /// Whether what it reports lasts until the probe says that it is over, unlike a kill.
    pub lasts: bool,
    /// The kernel log's texts about the same incidents, if there are any.
    pub text: Option<Wording>,
    /// Which keys a rule may select incidents with.
    pub selectors: &'static [Selector],
    /// The kernel programs that feed it. They are loaded only if a rule names the probe.
    pub programs: &'static [KernelProgram],
    /// The map in which the programs count things for which they do not always send a record.
    pub counts: Option<&'static str>,
    /// A walk over all tasks that it can start.
    pub iterator: Option<TaskIterator>,
    /// Watches until it fails. Reports its backend with [`ProbeContext::set_backend`].
    pub run: fn(ProbeContext) -> Task<'static>,
}

/// A key of a rule that picks some of a probe's incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// `comm`: the name of the task.
    Comm,
    /// `mountPoints`: paths on the file system.
    MountPoints,
}

impl Selector {
    /// The key in a rule, and what it selects.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Comm => ("comm", "tasks"),
            Self::MountPoints => ("mountPoints", "file systems"),
        }
    }
}

impl Probe {
    /// What the hub must know about it.
    pub fn watched(&self) -> Watched {
        Watched {
            probe: self.name,
            lasts: self.lasts,
        }
    }
}

/// What a probe is given.
pub struct ProbeContext {
    /// The probe.
    pub probe: &'static Probe,
    /// The rules that name it.
    pub rules: Vec<ProbeRule>,
    /// The settings of the config files.
    pub settings: ProbeSettings,
    /// The records that its programs send.
    pub records: mpsc::Receiver<ProbeRecord>,
    /// Which of its programs are attached now. The others are tried again: their modules may come later.
    pub attached: watch::Receiver<Attached>,
    /// Asks to try this at once.
    pub attach_now: Arc<Notify>,
    /// The counts of its programs.
    pub counts: Option<KernelCounts>,
    /// The walk of its iterator, or why there is none.
    pub walk: Result<TaskWalk, String>,
    /// Sends its findings to the hub.
    pub reporter: Reporter,
}

/// The settings in a config file's `pluginConfig`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// How long a task may be in uninterruptible sleep before it counts as hung.
    pub hung_task_threshold: Duration,
}

impl ProbeSettings {
    /// The settings that satisfy both files.
    #[must_use]
    pub fn stricter(&self, other: &Self) -> Self {
        Self {
            hung_task_threshold: self.hung_task_threshold.min(other.hung_task_threshold),
        }
    }
}

/// A rule of a config file that names a probe.
#[derive(Clone, Debug)]
pub struct ProbeRule {
    /// The config file.
    pub monitor: Arc<str>,
    /// Its `source`.
    pub source: Arc<str>,
    /// Identifies the rule among the rules of the file.
    pub claimant: String,
    /// What it reports; lasting if it has a condition.
    pub problem: Arc<Problem>,
    /// The names of tasks that it is about; `None` for any.
    pub comm: Option<Regex>,
    /// The paths whose file systems it is about; none for any.
    pub mount_points: Vec<PathBuf>,
}

impl ProbeRule {
    /// Whether it is about a task of this name.
    pub fn is_about(&self, comm: &str) -> bool {
        self.comm
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(comm))
    }
}

/// What a probe saw.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Which of the things that the probe watches: the key of a [`Subject`].
    pub key: String,
    /// When it happened, or was noticed.
    pub timestamp: Timestamp,
    /// For people.
    pub message: String,
    /// The pod that was hit.
    pub pod: Option<Pod>,
    /// Whether it is a part of an incident that was reported: it is counted, and makes no Event.
    pub repeated: bool,
}

/// A record as it came out of the ring buffer.
#[derive(Clone, Debug)]
pub struct ProbeRecord(pub Box<[u8]>);

impl ProbeRecord {
    /// The record's beginning; `None` if it is too short.
    pub fn header(&self) -> Option<Header> {
        self.decode()
    }

    /// The record as a struct of `npd_ebpf`; `None` if it is too short. Every bit pattern is valid.
    pub fn decode<T: FromBytes + KnownLayout + Immutable>(&self) -> Option<T> {
        T::read_from_prefix(&self.0).ok().map(|(record, _)| record)
    }
}

/// The text of a field that the kernel ended with a zero. What is not UTF-8 becomes U+FFFD.
pub fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&field[..end.unwrap_or(field.len())]).into_owned()
}

/// When a record's event happened, by the wall clock.
pub fn timestamp(header: &Header) -> Timestamp {
    wall_time(Duration::from_nanos(header.time))
}

impl ProbeContext {
    /// Reports something that happened: an Event for each temporary rule that is `concerned`.
    pub async fn happened(
        &self,
        observation: &Observation,
        concerned: impl Fn(&ProbeRule) -> bool,
    ) -> anyhow::Result<()> {
        self.report(observation, |rule| {
            rule.problem.condition.is_none() && concerned(rule)
        })
        .await
    }

    /// Reports something that lasts: a condition for each permanent rule that is `concerned`, until
    /// [`Self::recovered`].
    pub async fn lasts(
        &self,
        observation: &Observation,
        concerned: impl Fn(&ProbeRule) -> bool,
    ) -> anyhow::Result<()> {
        self.report(observation, |rule| {
            rule.problem.condition.is_some() && concerned(rule)
        })
        .await
    }

    /// Continues with something lasting that an earlier agent has reported: claims the conditions
    /// again, without Events.
    pub async fn resumes(
        &self,
        observation: &Observation,
        concerned: impl Fn(&ProbeRule) -> bool,
    ) -> anyhow::Result<()> {
        let reported = |rule: &&ProbeRule| rule.problem.condition.is_none() && concerned(rule);
        for rule in self.rules.iter().filter(reported) {
            let subject = self.subject(&observation.key);
            let reason = Arc::clone(&rule.problem.reason);
            let resumed = Report::Resumed { subject, reason };
            self.reporter.send(resumed).await?;
        }
        self.lasts(observation, concerned).await
    }

    /// What the probe of the earlier agent has [saved](Self::remember).
    pub fn remembered<T: DeserializeOwned>(&self) -> Option<T> {
        self.reporter.remembered(self.probe.name)
    }

    /// Saves this for the probe of the next agent.
    pub async fn remember(&self, state: impl Serialize) -> anyhow::Result<()> {
        let memory = serde_json::to_value(state).context("keeping what was reported")?;
        let probe = self.probe.name;
        self.reporter.send(Report::Remember { probe, memory }).await
    }

    /// Reports that the thing `key` has no fault, although the kernel's log has a line about it.
    pub async fn harmless(&self, key: impl Display) -> anyhow::Result<()> {
        let harmless = Report::Harmless(self.subject(key));
        self.reporter.send(harmless).await
    }

    fn subject(&self, key: impl Display) -> Subject {
        Subject::new(self.probe.name, key)
    }

    async fn report(
        &self,
        observation: &Observation,
        concerned: impl Fn(&ProbeRule) -> bool,
    ) -> anyhow::Result<()> {
        for rule in self.rules.iter().filter(|rule| concerned(rule)) {
            let mut finding = Finding {
                monitor: Arc::clone(&rule.monitor),
                source: Arc::clone(&rule.source),
                problem: Arc::clone(&rule.problem),
                present: ConditionStatus::True,
                timestamp: observation.timestamp,
                message: observation.message.clone(),
                claimant: rule.claimant.clone(),
                subject: Some(self.subject(&observation.key)),
                object: None,
                repeated: observation.repeated,
                witness: Witness::Kernel,
                pod: observation.pod.clone(),
                occurrence: None,
            };
            finding.occurrence = kernel_text::incident(&finding);
            self.reporter.found(finding).await?;
        }
        Ok(())
    }

    /// Reports that the thing `key` is well again: every claim about it is withdrawn.
    pub async fn recovered(&self, key: impl Display) -> anyhow::Result<()> {
        let Some(rule) = self.rules.first() else {
            return Ok(());
        };
        let recovered = Report::Recovered {
            source: Arc::clone(&rule.source),
            subject: self.subject(key),
            timestamp: Timestamp::now(),
        };
        self.reporter.send(recovered).await
    }

    /// Tells the hub that this probe reports its incidents. Kernel text then only confirms them.
    pub async fn answers(&self) -> anyhow::Result<()> {
        let conditions = self
            .rules
            .iter()
            .filter_map(|rule| rule.problem.condition.clone());
        let watching = Report::Watching {
            probe: self.probe.name,
            conditions: conditions.collect::<BTreeSet<_>>(),
        };
        self.reporter.send(watching).await
    }

    /// Says that the probe has checked for the first time: what it has not claimed is not the case.
    pub async fn checked(&self) -> anyhow::Result<()> {
        for monitor in self.files() {
            let detector = Arc::from(self.probe.name);
            self.reporter.checked(&monitor, &detector).await?;
        }
        Ok(())
    }

    /// Says that the probe cannot check. Only others, such as the kernel log, decide about its conditions.
    pub async fn cannot_check(&self) -> anyhow::Result<()> {
        for monitor in self.files() {
            let detector = Arc::from(self.probe.name);
            let report = Report::CannotCheck { monitor, detector };
            self.reporter.send(report).await?;
        }
        Ok(())
    }

    /// The config files that name the probe.
    fn files(&self) -> BTreeSet<Arc<str>> {
        let rules = self.rules.iter();
        rules.map(|rule| Arc::clone(&rule.monitor)).collect()
    }

    /// Shows the probe's backend, and why it has no better one.
    pub fn set_backend(&self, backend: &'static str, reason: Option<String>) {
        let name = self.probe.name;
        info!(
            probe = name,
            backend,
            reason = reason.as_deref(),
            "Probe is watching"
        );
        let family = &self.reporter.metrics.probe_backend;
        self.reporter.status_page.update(|shown| {
            let state = ProbeState::new(backend, reason);
            if let Some(before) = shown.probes.insert(name.to_owned(), state)
                && before.backend != backend
            {
                family.with_label_values(&[name, &before.backend]).set(0);
            }
        });
        family.with_label_values(&[name, backend]).set(1);
    }

    /// Why programs of this probe are not attached; `None` if all are.
    pub fn refusals(&self) -> Option<String> {
        let attached = self.attached.borrow();
        let mut programs = BTreeMap::<&str, Vec<&str>>::new();
        for (name, result) in &*attached {
            if let Err(reason) = result {
                programs.entry(reason).or_default().push(name);
            }
        }
        let refused = programs
            .into_iter()
            .map(|(reason, names)| format!("{}: {reason}", names.join(", ")));
        let refused = refused.collect::<Vec<_>>().join("; ");
        (!refused.is_empty()).then_some(refused)
    }

    /// The keys of the probe's subjects about which there are claims, from the kernel's log or from a
    /// checkpoint.
    pub fn claimed(&self) -> BTreeSet<String> {
        self.reporter.claimed(self.probe.name)
    }

    /// Whether the kernel's log reports the same incidents, and is being read.
    pub fn text_is_read(&self) -> bool {
        self.probe.text.is_some() && self.reporter.kernel_log_is_read()
    }

    /// Counts incidents that the kernel has counted and the probe did not receive.
    pub fn missed(&self, times: u64) {
        let family = &self.reporter.metrics.probe_missed;
        family.with_label_values(&[self.probe.name]).inc_by(times);
    }

    /// Counts incidents for which there was no room.
    pub fn lost(&self, times: u64) {
        let family = &self.reporter.metrics.records_lost;
        family.with_label_values(&[self.probe.name]).inc_by(times);
    }

    /// Counts an invalid record.
    pub fn malformed(&self) {
        self.reporter
            .metrics
            .records_malformed
            .with_label_values(&[SOURCE])
            .inc();
    }
}
