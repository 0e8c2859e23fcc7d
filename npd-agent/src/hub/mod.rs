//! Turns findings into updates: incidents, ledger, problem metrics, exporters.

mod deferred;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gauges;
mod publish;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use self::deferred::{Deferred, Released};
use self::gauges::Gauges;
use crate::aliases::{Alias, Aliases, SavedAlias};
use crate::checkpoint::CheckpointWriter;
use crate::exporter::Exporter;
use crate::incident::{Incidents, SavedIncident, Verdict};
use crate::ledger::{Ledger, Outcome, SavedClaim};
use crate::metrics::Metrics;
use crate::monitor::{Declaration, Monitors};
use crate::node::clock;
use crate::problem::{Condition, Finding, Forever, Problem, Subject, Update, Watched, Witness};
use crate::reporter::Report;
use crate::status_page::StatusPage;

/// The source of updates that come from the agent itself.
const SELF: &str = "npd-agent";

/// Receives reports from monitors and sends updates to exporters.
pub struct Hub {
    ledger: Ledger,
    aliases: Aliases,
    incidents: Incidents,
    metrics: Metrics,
    status_page: StatusPage,
    exporters: Vec<Box<dyn Exporter>>,
    writer: Option<CheckpointWriter>,
    /// The number of the last update.
    number: u64,
    /// Reports that wait for held texts.
    deferred: Deferred,
    /// Claims of an earlier agent whose config file is not yet declared.
    saved: Vec<SavedClaim>,
    /// The subjects of all claims, for the probes.
    claimed: watch::Sender<BTreeSet<Subject>>,
    gauges: Gauges,
    /// The config files.
    files: BTreeMap<Arc<str>, DeclaredFile>,
}

/// A declared config file.
#[derive(Debug)]
struct DeclaredFile {
    source: Arc<str>,
    /// The conditions whose `problem_gauge` each finding updates.
    gauged: Vec<Arc<str>>,
}

impl Hub {
    /// A hub that sends updates to `exporters`.
    pub fn new(
        metrics: Metrics,
        status_page: StatusPage,
        exporters: Vec<Box<dyn Exporter>>,
    ) -> Self {
        let gauges = Gauges::new(metrics.clone());
        Self {
            ledger: Ledger::default(),
            aliases: Aliases::default(),
            incidents: Incidents::default(),
            metrics,
            status_page,
            exporters,
            writer: None,
            // An agent that starts later has higher numbers.
            number: u64::try_from(clock::monotonic().as_nanos()).unwrap_or_default(),
            deferred: Deferred::default(),
            saved: Vec::new(),
            claimed: watch::Sender::default(),
            gauges,
            files: BTreeMap::new(),
        }
    }

    /// Publishes conditions under further names too, and continues with what an earlier agent showed.
    #[must_use]
    pub fn with_aliases(mut self, aliases: Vec<Alias>, saved: Vec<SavedAlias>) -> Self {
        self.aliases = Aliases::new(aliases);
        self.aliases.restore(saved);
        self
    }

    /// Saves a checkpoint, and continues with the claims of the last one.
    #[must_use]
    pub fn with_checkpoint_writer(self, writer: CheckpointWriter, saved: Vec<SavedClaim>) -> Self {
        Self {
            writer: Some(writer),
            saved,
            ..self
        }
    }

    /// Continues with what an earlier agent's probes have reported.
    #[must_use]
    pub fn with_incidents(mut self, saved: Vec<SavedIncident>, now: Instant) -> Self {
        self.incidents.restore(saved, now);
        self
    }

    /// The subjects of all claims, now and later.
    pub fn claimed(&self) -> watch::Receiver<BTreeSet<Subject>> {
        self.claimed.subscribe()
    }

    /// Holds kernel text until a monitor's probes say whether they are attached; see [`Incidents::expect`].
    pub fn expect(&mut self, probes: &[Watched], now: Instant) {
        for watched in probes {
            self.incidents.expect(*watched, now);
        }
    }

    /// Adds a monitor's conditions and metrics before it runs. Sends exporters what is known of the
    /// conditions from an earlier agent.
    pub fn declare(&mut self, declaration: &Declaration, now: Timestamp) {
        let Declaration {
            monitor,
            source,
            conditions,
            detectors,
            ..
        } = declaration;
        for problem in &declaration.problems {
            self.gauges.declare(problem);
        }
        for healthy in conditions {
            self.ledger
                .declare(monitor, healthy.clone(), detectors, now);
        }
        let gauged = conditions.iter().filter(|_| declaration.gauges_all);
        let file = DeclaredFile {
            source: Arc::clone(source),
            gauged: gauged.map(|healthy| Arc::clone(&healthy.r#type)).collect(),
        };
        self.files.insert(Arc::clone(monitor), file);
        let mut restored = BTreeMap::new();
        for problem in &declaration.problems {
            if let Some(shown) = self.restore(monitor, problem) {
                restored.insert(Arc::clone(&shown.r#type), shown);
            }
        }
        if !restored.is_empty() {
            self.publish(Update {
                number: 0,
                occurrence: None,
                source: Arc::clone(source),
                event: None,
                conditions: restored.into_values().collect(),
            });
        }
    }

    /// Declares what all monitors report and what their probes watch, before they run, and [begins](Self::begin).
    pub fn prepare(&mut self, monitors: &Monitors) {
        let now = Timestamp::now();
        for monitor in monitors {
            for declaration in monitor.declarations() {
                self.declare(&declaration, now);
            }
            self.expect(&monitor.watches(), Instant::now());
        }
        self.begin(now);
    }

    /// Called when every monitor is declared. Publishes the conditions that wait for no detector.
    pub fn begin(&mut self, now: Timestamp) {
        let outcomes = self.ledger.begin(now);
        // The probes must know the restored claims too.
        self.withdrawn(&Arc::from(SELF), outcomes);
    }

    /// Restores what `monitor` of an earlier agent claimed about `problem`.
    fn restore(&mut self, monitor: &Arc<str>, problem: &Problem) -> Option<Condition> {
        let r#type = problem.condition.as_ref()?;
        let of_this = |saved: &mut SavedClaim| {
            (&saved.monitor, &saved.reason, &saved.condition) == (monitor, &problem.reason, r#type)
        };
        let saved: Vec<_> = self.saved.extract_if(.., of_this).collect();
        let mut shown = None;
        for claim in saved {
            shown = self.ledger.restore(claim);
        }
        if problem.metrics
            && let Some(shown) = &shown
        {
            self.gauges.show(shown);
        }
        shown
    }

    /// Runs until every monitor is gone.
    pub async fn run(mut self, mut reports: mpsc::Receiver<Report>) -> Forever {
        loop {
            let due = self
                .incidents
                .next_expiry()
                .map(tokio::time::Instant::from_std);
            tokio::select! {
                report = reports.recv() => match report {
                    Some(report) => self.take(report, Instant::now()),
                    None => bail!("every monitor has stopped"),
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)),
                    if due.is_some() => self.expire(Instant::now()),
            }
        }
    }

    /// Handles one report.
    pub fn take(&mut self, report: Report, now: Instant) {
        match report {
            Report::Finding(finding) => {
                let is_from_probe = finding.witness == Witness::Kernel;
                for verdict in self.incidents.admit(*finding, now) {
                    match verdict {
                        Verdict::Report(finding) => self.apply(finding),
                        Verdict::Count(finding) => self.gauges.count(&finding.problem),
                        Verdict::Known | Verdict::Held => {}
                    }
                }
                if is_from_probe && let Some(writer) = &mut self.writer {
                    writer.reported(self.incidents.saved(now), self.number);
                }
            }
            Report::Watching { probe, conditions } => {
                let outcomes = self.ledger.supersede(probe, &conditions, Timestamp::now());
                self.withdrawn(&Arc::from(SELF), outcomes);
                self.incidents.watch(probe, conditions);
            }
            Report::Resumed { subject, reason } => self.incidents.resume(subject, reason),
            Report::Harmless(subject) => self.incidents.excuse(subject, now),
            Report::NotWatching(probe) => self.incidents.unwatch(probe),
            Report::Remember { probe, memory } => {
                if let Some(writer) = &mut self.writer {
                    writer.remember(probe, memory, self.number);
                }
            }
            Report::Progress { source, position } => match self.incidents.last_expiry() {
                Some(until) => self.deferred.position(source, position, until),
                None => self.released(Released {
                    positions: vec![(source, position)],
                    ..Released::default()
                }),
            },
            Report::Checked { monitor, detector } => match self.incidents.last_expiry() {
                Some(until) => self.deferred.checked(monitor, detector, until),
                None => self.checked(&monitor, &detector),
            },
            Report::CannotCheck { monitor, detector } => {
                let outcomes = self
                    .ledger
                    .cannot_check(&monitor, &detector, Timestamp::now());
                self.withdrawn(&self.source(&monitor), outcomes);
            }
            Report::Recovered {
                source,
                subject,
                timestamp,
            } => {
                self.incidents.recover(&subject, now);
                let outcomes = self.ledger.recover(&subject, timestamp);
                self.withdrawn(&source, outcomes);
            }
        }
        if self.incidents.next_expiry().is_none() {
            let released = self.deferred.release_all();
            self.released(released);
        }
    }

    fn expire(&mut self, now: Instant) {
        for finding in self.incidents.expire(now) {
            self.metrics
                .text_only
                .with_label_values(&[&*finding.problem.reason])
                .inc();
            self.apply(finding);
        }
        let released = self.deferred.release(now);
        self.released(released);
    }

    /// Handles reports that no longer wait for held texts.
    fn released(&mut self, released: Released) {
        for (monitor, detector) in released.checked {
            self.checked(&monitor, &detector);
        }
        if let Some(writer) = &mut self.writer {
            for (source, position) in released.positions {
                writer.progress(source, position, self.number);
            }
        }
    }

    fn checked(&mut self, monitor: &Arc<str>, detector: &str) {
        let outcomes = self.ledger.checked(monitor, detector, Timestamp::now());
        self.withdrawn(&self.source(monitor), outcomes);
    }

    /// The source of a file's Events.
    fn source(&self, monitor: &str) -> Arc<str> {
        let file = self.files.get(monitor);
        file.map_or_else(|| Arc::from(SELF), |file| Arc::clone(&file.source))
    }

    fn apply(&mut self, finding: Finding) {
        let (monitor, source) = (Arc::clone(&finding.monitor), Arc::clone(&finding.source));
        let problem = Arc::clone(&finding.problem);
        let occurrence = finding.occurrence.clone();
        if finding.repeated && finding.problem.condition.is_none() {
            self.gauges.count(&problem);
            return;
        }
        let outcome = self.ledger.apply(finding);
        if outcome.refused {
            self.metrics.claims_refused.inc();
        }
        if outcome.counts {
            self.gauges.count(&problem);
        }
        if problem.metrics {
            let file = self.files.get(&monitor);
            let together = file.map_or(&[][..], |file| &file.gauged);
            for r#type in together.iter().chain(&problem.condition) {
                if let Some(condition) = self.ledger.condition(r#type) {
                    self.gauges.show(condition);
                }
            }
        }
        self.publish_outcome(&source, outcome, occurrence);
        if problem.condition.is_some() {
            self.save_claims();
        }
    }

    /// Publishes the outcomes of withdrawn claims and of first checks.
    fn withdrawn(&mut self, source: &Arc<str>, outcomes: Vec<Outcome>) {
        self.publish_all(source, outcomes);
        self.show_unseen();
        self.save_claims();
    }

    /// Sends the present claims to the checkpoint and to the probes.
    fn save_claims(&mut self) {
        self.claimed.send_replace(self.ledger.subjects());
        if let Some(writer) = &mut self.writer {
            writer.claimed(self.ledger.saved().collect(), self.number);
            writer.aliased(self.aliases.saved(), self.number);
        }
    }
}
