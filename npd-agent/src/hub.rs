//! The one place where findings become news: incidents, ledger, problem metrics, exporters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::checkpoint::CheckpointWriter;
use crate::exporter::Exporter;
use crate::incident::{Incidents, Verdict};
use crate::ledger::{Ledger, Outcome, SavedClaim};
use crate::metrics::Metrics;
use crate::monitor::Declaration;
use crate::node::clock;
use crate::problem::{
    Condition, ConditionStatus, Finding, Forever, OccurrenceId, Problem, Severity, Subject, Update,
    Watched,
};
use crate::reporter::Report;
use crate::status_page::StatusPage;

/// Takes reports from monitors and tells exporters.
pub struct Hub {
    ledger: Ledger,
    incidents: Incidents,
    metrics: Metrics,
    status_page: StatusPage,
    exporters: Vec<Box<dyn Exporter>>,
    writer: Option<CheckpointWriter>,
    /// The number of the last status.
    number: u64,
    /// How far sources have been read of which something is held.
    held_back: BTreeMap<String, Value>,
    /// Claims from before the agent was started whose config file is not yet declared.
    saved: Vec<SavedClaim>,
    /// What anyone claims to be unwell, for the probes.
    claimed: watch::Sender<BTreeSet<Subject>>,
    /// The reason last written to `problem_gauge`, by condition type. NPD keeps at most one at 1.
    gauged: BTreeMap<Arc<str>, Arc<str>>,
}

impl Hub {
    /// A hub that tells `exporters`.
    pub fn new(
        metrics: Metrics,
        status_page: StatusPage,
        exporters: Vec<Box<dyn Exporter>>,
    ) -> Self {
        Self {
            ledger: Ledger::default(),
            incidents: Incidents::default(),
            metrics,
            status_page,
            exporters,
            writer: None,
            // An agent started later has higher ones.
            number: u64::try_from(clock::monotonic().as_nanos()).unwrap_or_default(),
            held_back: BTreeMap::new(),
            saved: Vec::new(),
            claimed: watch::Sender::default(),
            gauged: BTreeMap::new(),
        }
    }

    /// Has a checkpoint kept, and goes on with the claims of the last one.
    #[must_use]
    pub fn with_checkpoint_writer(self, writer: CheckpointWriter, saved: Vec<SavedClaim>) -> Self {
        Self {
            writer: Some(writer),
            saved,
            ..self
        }
    }

    /// What anyone claims to be unwell, now and later.
    pub fn claimed(&self) -> watch::Receiver<BTreeSet<Subject>> {
        self.claimed.subscribe()
    }

    /// Has the kernel's log wait for what a monitor's probes say; see [`Incidents::expect`].
    pub fn expect(&mut self, probes: &[Watched], now: Instant) {
        for watched in probes {
            self.incidents.expect(*watched, now);
        }
    }

    /// Makes a monitor's conditions and metrics known before it runs, and tells exporters.
    pub fn declare(&mut self, declaration: &Declaration, now: Timestamp) {
        for problem in declaration
            .problems
            .iter()
            .filter(|problem| problem.metrics)
        {
            let Problem {
                reason, condition, ..
            } = &**problem;
            self.metrics
                .problem_counter
                .with_label_values(&[&**reason])
                .inc_by(0.0);
            if let Some(condition) = condition {
                self.metrics
                    .problem_gauge
                    .with_label_values(&[&**reason, &**condition])
                    .set(0.0);
            }
        }
        let publish = declaration.publish_at_start;
        let mut conditions = BTreeMap::new();
        for healthy in &declaration.conditions {
            if let Some(shown) = self.ledger.declare(healthy.clone(), publish, now) {
                conditions.insert(Arc::clone(&shown.r#type), shown);
            }
        }
        for problem in &declaration.problems {
            if let Some(shown) = self.restore(&declaration.monitor, problem) {
                conditions.insert(Arc::clone(&shown.r#type), shown);
            }
        }
        let conditions = conditions.into_values().collect();
        let source = Arc::clone(&declaration.source);
        self.publish(Update {
            number: 0,
            occurrence: None,
            source,
            event: None,
            conditions,
        });
    }

    /// Takes in what `monitor` claimed of `problem` before the agent was started.
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
        if shown.is_some() && problem.metrics {
            self.gauge(r#type);
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

    /// Takes one report in.
    pub fn take(&mut self, report: Report, now: Instant) {
        match report {
            Report::Finding(finding) => {
                for verdict in self.incidents.admit(*finding, now) {
                    match verdict {
                        Verdict::Report(finding) => self.apply(finding),
                        Verdict::Count(finding) => self.count(&finding.problem),
                        Verdict::Known | Verdict::Held => {}
                    }
                }
            }
            Report::Watching { probe, conditions } => {
                let outcomes = self.ledger.supersede(probe, &conditions, Timestamp::now());
                self.withdrawn(&Arc::from("npd-agent"), outcomes);
                self.incidents.watch(probe, conditions);
            }
            Report::Resumed { subject, reason } => self.incidents.resume(subject, reason),
            Report::NotWatching(probe) => self.incidents.unwatch(probe),
            Report::Remember { probe, memory } => {
                if let Some(writer) = &mut self.writer {
                    writer.remember(probe, memory, self.number);
                }
            }
            Report::Progress { source, place } => {
                self.held_back.insert(source, place);
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
        self.keep_places();
    }

    /// Tells the checkpoint how far sources have been read, unless something from there is held.
    fn keep_places(&mut self) {
        if self.incidents.next_expiry().is_some() {
            return;
        }
        for (source, place) in std::mem::take(&mut self.held_back) {
            if let Some(writer) = &mut self.writer {
                writer.progress(source, place, self.number);
            }
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
        self.keep_places();
    }

    fn apply(&mut self, finding: Finding) {
        let source = Arc::clone(&finding.source);
        let problem = Arc::clone(&finding.problem);
        let occurrence = finding.occurrence.clone();
        let outcome = self.ledger.apply(finding);
        if outcome.refused {
            self.metrics.claims_refused.inc();
        }
        if outcome
            .event
            .as_ref()
            .is_some_and(|event| event.severity == Severity::Warn)
        {
            self.count(&problem);
        }
        if problem.metrics
            && let Some(condition) = &problem.condition
        {
            self.gauge(condition);
        }
        self.tell(&source, outcome, occurrence);
        if problem.condition.is_some() {
            self.keep_claims();
        }
    }

    /// Tells what came of withdrawing claims.
    fn withdrawn(&mut self, source: &Arc<str>, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            if let Some(condition) = &outcome.condition
                && self.gauged.contains_key(&condition.r#type)
            {
                self.gauge(&Arc::clone(&condition.r#type));
            }
            self.tell(source, outcome, None);
        }
        self.keep_claims();
    }

    /// Tells the checkpoint, and the probes, what is claimed now.
    fn keep_claims(&mut self) {
        self.claimed.send_replace(self.ledger.subjects());
        if let Some(writer) = &mut self.writer {
            writer.claimed(self.ledger.saved().collect(), self.number);
        }
    }

    fn count(&self, problem: &Problem) {
        if problem.metrics {
            self.metrics
                .problem_counter
                .with_label_values(&[&*problem.reason])
                .inc();
        }
    }

    /// Brings `problem_gauge` in line with the ledger, as NPD does: first 0 for the old reason.
    fn gauge(&mut self, r#type: &Arc<str>) {
        let Some(shown) = self.ledger.condition(r#type) else {
            return;
        };
        let gauge = &self.metrics.problem_gauge;
        if let Some(old) = self
            .gauged
            .insert(Arc::clone(r#type), Arc::clone(&shown.reason))
        {
            gauge.with_label_values(&[&*old, &**r#type]).set(0.0);
        }
        let value = if shown.status == ConditionStatus::True {
            1.0
        } else {
            0.0
        };
        gauge
            .with_label_values(&[&*shown.reason, &**r#type])
            .set(value);
    }

    fn tell(&mut self, source: &Arc<str>, outcome: Outcome, occurrence: Option<OccurrenceId>) {
        if let Some(status) = outcome.into_status(source) {
            self.publish(Update {
                occurrence,
                ..status
            });
        }
    }

    fn publish(&mut self, mut status: Update) {
        self.number += 1;
        status.number = self.number;
        self.status_page.update(|shown| {
            if let Some(event) = &status.event {
                shown.push_event(&status.source, event);
            }
            if !status.conditions.is_empty() {
                shown.conditions = self.ledger.conditions().cloned().collect();
            }
        });
        for exporter in &mut self.exporters {
            exporter.export(&status);
        }
    }
}
