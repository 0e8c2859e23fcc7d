//! The results of each rule's runs, and their reports: findings, metrics, `/status`, logs.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::config::{CheckedPluginConfig, rule_name};
use super::result::{PluginResult, answer, text};
use super::threshold::Debounce;
use crate::exec::{Abandoned, Finished, RunError};
use crate::problem::{ConditionStatus, Finding, Witness};
use crate::reporter::Reporter;
use crate::status_page::PluginState;

/// How much of a plugin's standard error is logged, in bytes.
const STDERR_LOGGED: usize = 512;

/// A run that has ended.
pub(super) struct EndedRun {
    /// The rule's index.
    pub(super) rule: usize,
    /// How it ended.
    pub(super) outcome: Result<Finished, RunError>,
    /// How long it took.
    pub(super) took: Duration,
}

/// The rules of one config file.
pub(super) struct Histories<'a> {
    config: &'a CheckedPluginConfig,
    reporter: &'a Reporter,
    rules: Vec<History>,
}

/// One rule.
struct History {
    /// Its key in `/status`, and its name as a claimant.
    name: Arc<str>,
    /// Whether it was reported that the rule has a result.
    checked: bool,
    debounce: Debounce,
    last: Option<ConditionStatus>,
    timeouts: u64,
    abandoned: usize,
}

impl EndedRun {
    /// Whether the run was killed at its deadline.
    pub(super) fn hung(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|over| over.timed_out)
    }

    /// The processes that survived SIGKILL.
    fn rest(&mut self) -> Option<Abandoned> {
        self.outcome.as_mut().ok()?.rest.take()
    }
}

impl<'a> Histories<'a> {
    pub(super) fn new(config: &'a CheckedPluginConfig, reporter: &'a Reporter) -> Self {
        let rules = config
            .rules
            .iter()
            .enumerate()
            .map(|(index, rule)| History {
                name: rule_name(index),
                checked: false,
                debounce: Debounce::new(rule.thresholds),
                last: None,
                timeouts: 0,
                abandoned: 0,
            });
        Self {
            config,
            reporter,
            rules: rules.collect(),
        }
    }

    /// How many runs of a rule have survived SIGKILL and still exist.
    pub(super) fn abandoned(&self, rule: usize) -> usize {
        self.rules[rule].abandoned
    }

    /// Handles the end of a run. Returns what has survived of it.
    pub(super) async fn ran(&mut self, mut ran: EndedRun) -> anyhow::Result<Option<Abandoned>> {
        let metrics = &self.reporter.metrics.plugins;
        let (rule, rest) = (ran.rule, ran.rest());
        let labels = self.labels(rule);
        let duration = metrics.duration.with_label_values(&labels);
        duration.observe(ran.took.as_secs_f64());
        if ran.hung() {
            metrics.timeouts.with_label_values(&labels).inc();
            self.rules[rule].timeouts += 1;
        }
        if rest.is_some() {
            metrics.abandoned.with_label_values(&labels).inc();
            metrics.surviving.with_label_values(&labels).inc();
            self.rules[rule].abandoned += 1;
        }
        let path = &self.config.rules[rule].path;
        let answer = answer(&ran.outcome, path, self.config.max_output);
        self.log(&ran, &answer);
        // NPD would wait for the plugin and have no result, so this is no first result either. An
        // earlier agent may have reported the same problem.
        let is_result = rest.is_none();
        self.report(rule, answer, is_result).await?;
        Ok(rest)
    }

    /// Reports that a rule was due but not run, because too many of its runs still exist.
    pub(super) async fn not_run(&mut self, rule: usize) -> anyhow::Result<()> {
        let path = &self.config.rules[rule].path;
        let answer = PluginResult::hung(path, self.rules[rule].abandoned);
        // As long as earlier runs exist, there is no other result. So this one counts.
        self.report(rule, answer, true).await
    }

    /// Handles the end of a run that had survived SIGKILL.
    pub(super) fn gone(&mut self, rule: usize) {
        self.rules[rule].abandoned -= 1;
        let surviving = &self.reporter.metrics.plugins.surviving;
        surviving.with_label_values(&self.labels(rule)).dec();
        let (key, abandoned) = (self.key(rule), self.rules[rule].abandoned);
        self.reporter.status_page.update(|shown| {
            if let Some(state) = shown.plugins.get_mut(&key) {
                state.abandoned = abandoned;
            }
        });
    }

    async fn report(
        &mut self,
        rule: usize,
        answer: PluginResult,
        is_result: bool,
    ) -> anyhow::Result<()> {
        let PluginResult { present, message } = answer;
        let timestamp = Timestamp::now();
        let problem = &self.config.rules[rule].problem;
        let key = self.key(rule);
        let history = &mut self.rules[rule];
        history.last = Some(present);
        let state = PluginState {
            path: self.config.rules[rule].path.clone(),
            last: present,
            message: message.clone(),
            timestamp,
            timeouts: history.timeouts,
            abandoned: history.abandoned,
        };
        self.reporter.status_page.update(|shown| {
            shown.plugins.insert(key, state);
        });
        if !history.debounce.admit(present) {
            return Ok(());
        }
        let finding = Finding {
            monitor: Arc::clone(&self.config.name),
            source: Arc::clone(&self.config.declaration.source),
            problem: Arc::clone(problem),
            present,
            timestamp,
            message,
            claimant: history.name.to_string(),
            subject: None,
            object: None,
            repeated: false,
            witness: Witness::Other,
            pod: None,
            occurrence: None,
        };
        let first = is_result && !std::mem::replace(&mut history.checked, is_result);
        let name = Arc::clone(&history.name);
        self.reporter.found(finding).await?;
        if first {
            self.reporter.checked(&self.config.name, &name).await?;
        }
        Ok(())
    }

    /// Logs why a plugin fails, when it begins to fail; later failures are not logged.
    fn log(&self, ran: &EndedRun, answer: &PluginResult) {
        let path = &self.config.rules[ran.rule].path;
        let news = self.rules[ran.rule].last != Some(answer.present);
        match &ran.outcome {
            Err(error) if news => {
                warn!(path, %error, "Plugin cannot be started");
            }
            Ok(over) if answer.present != ConditionStatus::False && news => {
                let status = over.status.map(tracing::field::display);
                let stderr = text(&over.stderr[..over.stderr.len().min(STDERR_LOGGED)]);
                info!(path, status, stderr, "Plugin failed");
            }
            outcome => debug!(path, ?outcome, took = ?ran.took, "Plugin was run"),
        }
    }

    fn labels(&self, rule: usize) -> [&'a str; 2] {
        [&self.config.name, &self.config.rules[rule].problem.reason]
    }

    fn key(&self, rule: usize) -> String {
        format!("{}: {}", self.config.name, self.rules[rule].name)
    }
}
