//! What probes for frequent failures have in common. The programs send few records, and count the rest.
//! The first failure of a kind is one Event. After that, one Event per minute says how many more there
//! were.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::aggregate::{Aggregate, AggregateReport, WINDOW};
use super::counts::KernelCounts;
use super::probe::{Observation, ProbeContext, ProbeRecord};
use crate::problem::Forever;

/// How often the kernel's counts are read if no record comes, because a record may have been lost.
const PACE: Duration = Duration::from_mins(1);
/// How often to check whether the kernel's log is read, while there is no tracepoint.
const PACE_FALLBACK: Duration = Duration::from_secs(5);

/// A failure, as a record describes it.
#[derive(Clone, Debug)]
pub(super) struct CountedFailure {
    /// The key under which the programs count failures of this kind.
    pub(super) key: u64,
    pub(super) timestamp: Timestamp,
    /// What has failed.
    pub(super) subject: String,
    pub(super) message: String,
    /// Whether no data is lost by it.
    pub(super) is_harmless: bool,
}

/// Reads a record; `None` if it is invalid. The path is that of `/sys`.
pub(super) type ReadFailure = fn(&ProbeRecord, &Path) -> Option<CountedFailure>;

/// Watches for failures until that fails.
pub(super) async fn watch_failures(mut watch: ProbeContext, read: ReadFailure) -> Forever {
    let mut failures = Failures::new(&watch);
    failures.report_backend(&watch).await?;
    loop {
        let due = failures.next_due();
        tokio::select! {
            record = watch.records.recv() => {
                let record = record.context("waiting for records, which have ended")?;
                match read(&record, &failures.sys) {
                    Some(failure) => failures.take(&watch, failure).await?,
                    None => watch.malformed(),
                }
            }
            attached = watch.attached.changed() => {
                attached.context("waiting for programs to be attached, which has ended")?;
                failures.report_backend(&watch).await?;
            }
            () = sleep_until(due) => failures.tick(&watch).await?,
        }
    }
}

/// Failures of one kind.
struct KindOfFailure {
    last: CountedFailure,
    /// How many of the failures that the kernel has counted were noted.
    noted: u64,
}

struct Failures {
    sys: PathBuf,
    /// The kinds, by the programs' keys. There are no more of them than fit into the programs' map.
    kinds: BTreeMap<u64, KindOfFailure>,
    /// Keys with counts but without a record so far.
    unknown: BTreeSet<u64>,
    repeats: Aggregate<u64>,
    backend: Option<&'static str>,
    /// When to read the kernel's counts and check the backend next.
    due: Instant,
}

impl Failures {
    fn new(watch: &ProbeContext) -> Self {
        Self {
            sys: watch.reporter.node.roots.sys.clone(),
            kinds: BTreeMap::new(),
            unknown: BTreeSet::new(),
            repeats: Aggregate::default(),
            backend: None,
            due: Instant::now(),
        }
    }

    fn next_due(&self) -> Instant {
        let summary = self.repeats.next_due().map(Instant::from_std);
        summary.map_or(self.due, |summary| summary.min(self.due))
    }

    /// Handles a record.
    async fn take(&mut self, watch: &ProbeContext, last: CountedFailure) -> anyhow::Result<()> {
        let (key, timestamp) = (last.key, last.timestamp);
        let noted = self.kinds.get(&key).map_or(0, |kind| kind.noted);
        self.kinds.insert(key, KindOfFailure { last, noted });
        let counts = watch.counts.as_ref().map(KernelCounts::read);
        let counted = counts.and_then(|counts| counts.get(&key).copied());
        // If the kernel counts nothing, the record itself counts as one failure.
        self.note(watch, key, counted.unwrap_or(noted + 1), timestamp)
            .await
    }

    /// Notes that the kernel has counted this many failures of a kind.
    async fn note(
        &mut self,
        watch: &ProbeContext,
        key: u64,
        counted: u64,
        timestamp: Timestamp,
    ) -> anyhow::Result<()> {
        let Some(kind) = self.kinds.get_mut(&key) else {
            return Ok(());
        };
        let before = std::mem::replace(&mut kind.noted, counted);
        let times = counted.saturating_sub(before);
        if times == 0 {
            return Ok(());
        }
        let now = Instant::now().into_std();
        for report in self.repeats.note(key, times, now) {
            self.report(watch, &report, timestamp).await?;
        }
        Ok(())
    }

    /// Does what is due.
    async fn tick(&mut self, watch: &ProbeContext) -> anyhow::Result<()> {
        let counts = watch.counts.as_ref().map(KernelCounts::read);
        let counts = counts.unwrap_or_default();
        for (key, counted) in &counts {
            self.note(watch, *key, *counted, Timestamp::now()).await?;
        }
        let now = Instant::now();
        for report in self.repeats.due(now.into_std()) {
            self.report(watch, &report, Timestamp::now()).await?;
        }
        self.forget(watch, counts.keys().copied());
        if self.due <= now {
            self.report_backend(watch).await?;
        }
        Ok(())
    }

    /// Forgets kinds that have not happened for a while, so that the programs have room for others.
    fn forget(&mut self, watch: &ProbeContext, counted: impl Iterator<Item = u64>) {
        let repeats = &self.repeats;
        let over = self.kinds.extract_if(.., |key, _| !repeats.is_open(key));
        let mut over: Vec<u64> = over.map(|(key, _)| key).collect();
        // The record will come soon, or was dropped because the ring buffer was full.
        let unknown = counted.filter(|key| !self.kinds.contains_key(key) && !over.contains(key));
        let unknown: BTreeSet<u64> = unknown.collect();
        let before = std::mem::take(&mut self.unknown);
        over.extend(unknown.intersection(&before));
        self.unknown = &unknown - &before;
        for key in over {
            if let Some(counts) = &watch.counts {
                counts.forget(key);
            }
        }
    }

    /// Reports a failure, or how often it has happened again.
    async fn report(
        &self,
        watch: &ProbeContext,
        report: &AggregateReport<u64>,
        timestamp: Timestamp,
    ) -> anyhow::Result<()> {
        let (AggregateReport::First(key) | AggregateReport::Again(key, _)) = report;
        let Some(KindOfFailure { last, .. }) = self.kinds.get(key) else {
            return Ok(());
        };
        if last.is_harmless {
            return watch.harmless(&last.subject).await;
        }
        let message = match report {
            AggregateReport::First(_) => last.message.clone(),
            AggregateReport::Again(_, times) => {
                let window = WINDOW.as_secs();
                format!("{}: {times} more times in {window} s", last.message)
            }
        };
        let observation = Observation {
            repeated: false,
            key: last.subject.clone(),
            timestamp,
            message,
            pod: None,
        };
        watch.happened(&observation, |_| true).await
    }

    /// Finds out which backend sees failures now, and reports it if it has changed.
    async fn report_backend(&mut self, watch: &ProbeContext) -> anyhow::Result<()> {
        let refused = watch.refusals();
        let is_attached = refused.is_none();
        let (backend, pace) = match refused {
            None => ("raw_tracepoint", PACE),
            Some(_) if watch.text_is_read() => ("kmsg", PACE_FALLBACK),
            Some(_) => ("none", PACE_FALLBACK),
        };
        self.due = Instant::now() + pace;
        if self.backend.replace(backend) == Some(backend) {
            return Ok(());
        }
        watch.set_backend(backend, refused);
        if !is_attached {
            return watch.cannot_check().await;
        }
        watch.answers().await?;
        watch.checked().await
    }
}
