//! Thresholds: a metric that is too high or too low for some time is a problem.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::SECTIONS;
use super::bound::{Bounds, SeriesHistory};
use super::metric::{Labels, Metric, MetricSeries, Sample};
use crate::monitor::FileCheck;
use crate::monitor::config_file::{Lenient, NotNegative, Positive, RuleHead};
use crate::problem::{Action, ConditionStatus, FaultyObject, Healthy, Problem, Severity};

/// A rule as written. Its metric is collected whether it is exported or not.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatsRuleConfig {
    /// `temporary` or `permanent`, as in log monitors.
    pub r#type: String,
    /// The condition that a permanent rule sets.
    pub condition: String,
    /// The reason of the Event or condition.
    pub reason: String,
    /// The id of the metric, for example `conntrack/percent_used`.
    pub metric: String,
    /// Only series with these label values; all if empty.
    pub labels: BTreeMap<String, String>,
    /// A problem if the value is greater.
    pub above: Option<f64>,
    /// A problem if the value is less.
    pub below: Option<f64>,
    /// A problem if the value is less by this than the highest one since the agent was started.
    #[serde(rename = "fallsBy")]
    pub falls_by: Option<f64>,
    /// A problem if the value has risen by this within the window.
    #[serde(rename = "risesBy")]
    pub rises_by: Option<f64>,
    /// For `risesBy`.
    pub window: Option<Positive>,
    /// How long it must last before it is reported; 0 means at once.
    pub r#for: NotNegative,
    /// How bad the problem is.
    pub severity: Lenient<Severity>,
    /// What to do.
    pub action: Lenient<Action>,
    /// Whether the rule is only tried.
    #[serde(rename = "dryRun")]
    pub dry_run: Lenient<bool>,
}

/// A checked rule, and the state of each series.
#[derive(Debug)]
pub struct StatsRule {
    /// What it reports.
    pub problem: Arc<Problem>,
    /// Its metric.
    pub metric: &'static Metric,
    /// Label index and value that a series must have.
    pub labels: Vec<(usize, String)>,
    /// When its value is a problem.
    pub bounds: Bounds,
    /// The earlier values of each series.
    pub histories: BTreeMap<Labels, SeriesHistory>,
    /// How long it must last.
    pub lasting: Duration,
    /// Since when each series has been out of bounds, and whether this was reported.
    pub state: BTreeMap<Labels, (Instant, bool)>,
    /// Whether the rule has a first result.
    pub first_result: FirstResult,
}

/// Whether the state of a rule's series is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstResult {
    /// No sample yet.
    #[default]
    None,
    /// One that had no series. Some metrics are differences, and need two.
    Empty,
    /// All series have been seen, and none is about to be a problem.
    Reached,
}

/// A change of one series.
#[derive(Debug, PartialEq)]
pub struct Change {
    /// The series, for example `disk/percent_used{device_name="sda"}`.
    pub series: String,
    /// Whether its problem began or ended.
    pub present: ConditionStatus,
    /// The message.
    pub message: String,
    /// What it is about.
    pub object: Option<FaultyObject>,
    /// When the series was last within bounds; `None` if it was never seen so.
    pub fine: Option<Instant>,
}

impl StatsRuleConfig {
    /// Checks the rule, which is number `index` of its file. Notes why it has no effect, if so:
    /// NPD does not know these rules, and starts.
    pub fn checked(
        self,
        check: &mut FileCheck<'_>,
        index: usize,
        conditions: &[Healthy],
    ) -> Option<StatsRule> {
        let head = RuleHead {
            index,
            r#type: &self.r#type,
            condition: &self.condition,
            reason: &self.reason,
        };
        let problem = head.problem(check, conditions, true);
        let problem = problem
            .map_err(|refused| check.note_refused(refused))
            .ok()?;
        let (severity, action) = (self.severity.clone(), self.action.clone());
        let advice = head.advice(check, severity, action, self.dry_run.clone());
        let problem = problem.advised(advice);
        let target = self.target();
        let target = target.map_err(|(key, message)| {
            let message = format!("{message}; the rule has no effect");
            check.note(&head.path(key), message);
        });
        let (metric, labels) = target.ok()?;
        (!problem.inert).then(|| StatsRule {
            problem: Arc::new(problem),
            metric,
            labels,
            bounds: self.bounds(),
            histories: BTreeMap::new(),
            lasting: self.r#for.0,
            state: BTreeMap::new(),
            first_result: FirstResult::None,
        })
    }

    /// The metric and the labels that its series must have, or which key is wrong, and why.
    fn target(&self) -> Result<Target, (&'static str, String)> {
        let mut metrics = SECTIONS.iter().flat_map(|section| section.metrics);
        let Some(metric) = metrics.find(|metric| metric.id == self.metric) else {
            return Err(("metric", format!("there is no metric {:?}", self.metric)));
        };
        let mut labels = Vec::new();
        for (name, value) in &self.labels {
            let Some(index) = metric.labels.iter().position(|label| label == name) else {
                return Err(("labels", format!("{} has no label {name:?}", metric.id)));
            };
            labels.push((index, value.clone()));
        }
        if self.rises_by.is_some() != self.window.is_some() {
            let message = "risesBy and window need each other";
            return Err(("window", message.to_owned()));
        }
        if !self.bounds().are_set() {
            let message = "a rule needs a bound: above, below, fallsBy or risesBy";
            return Err(("above", message.to_owned()));
        }
        Ok((metric, labels))
    }

    fn bounds(&self) -> Bounds {
        let window = self.window.map(|window| window.0);
        Bounds {
            above: self.above,
            below: self.below,
            falls_by: self.falls_by,
            rises_by: self.rises_by.zip(window),
        }
    }
}

/// A metric, and the label values that its series must have, by the label's index.
type Target = (&'static Metric, Vec<(usize, String)>);

impl StatsRule {
    /// The name of a rule as a detector. Its claimants are this name and a series.
    pub fn name(index: usize) -> Arc<str> {
        Arc::from(format!("rule {index}"))
    }

    /// Compares the metric's series with the bounds. If a series is missing from a complete sample, its
    /// device is gone, and its problem ends.
    pub fn evaluate(&mut self, sample: &Sample, now: Instant) -> Vec<Change> {
        let Some(all) = sample.series(self.metric.id) else {
            return Vec::new();
        };
        let mut changes = Vec::new();
        let mut fine = BTreeSet::new();
        let mut bad = BTreeSet::new();
        for one in all {
            let broken = self.concerns(one).then(|| {
                let history = self.histories.entry(Labels::clone(&one.labels));
                let history = history.or_insert_with(|| SeriesHistory::new(one.value));
                let bound = self.bounds.broken(one.value, history, now)?;
                Some((bound, history.fine))
            });
            let Some((bound, last_fine)) = broken.flatten() else {
                fine.insert(&one.labels);
                continue;
            };
            bad.insert(&one.labels);
            let labels = Labels::clone(&one.labels);
            let (since, reported) = self.state.entry(labels).or_insert((now, false));
            if !*reported && now.duration_since(*since) >= self.lasting {
                *reported = true;
                let series = name(self.metric, &one.labels);
                changes.push(Change {
                    message: format!("{series} is {}, {bound}", one.value),
                    series,
                    present: ConditionStatus::True,
                    object: self.metric.object(&one.labels),
                    fine: last_fine,
                });
            }
        }
        let metric = self.metric;
        self.state.retain(|labels, (_, reported)| {
            let over = fine.contains(labels) || sample.error.is_none() && !bad.contains(labels);
            if over && *reported {
                let series = name(metric, labels);
                changes.push(Change {
                    message: format!("{series} is within bounds"),
                    series,
                    present: ConditionStatus::False,
                    object: metric.object(labels),
                    fine: Some(now),
                });
            }
            !over
        });
        if sample.error.is_none() {
            let is_there = |labels: &Labels| fine.contains(labels) || bad.contains(labels);
            self.histories.retain(|labels, _| is_there(labels));
        }
        self.note_result(sample, fine.len() + bad.len());
        changes
    }

    /// A series may be out of bounds, but not yet for long enough to be reported. Perhaps it was so before
    /// the agent was started. Until it is reported or over, it is not known whether all is well.
    fn note_result(&mut self, sample: &Sample, seen: usize) {
        // A metric without labels has one series, so the failure of other metrics in its section does
        // not matter.
        let is_whole = sample.error.is_none() || (self.metric.labels.is_empty() && seen > 0);
        if !is_whole || self.state.values().any(|(_, reported)| !reported) {
            return;
        }
        self.first_result = match self.first_result {
            FirstResult::None if seen == 0 => FirstResult::Empty,
            _ => FirstResult::Reached,
        };
    }

    fn concerns(&self, series: &MetricSeries) -> bool {
        self.labels
            .iter()
            .all(|(index, value)| *series.labels[*index] == **value)
    }
}

fn name(metric: &Metric, labels: &Labels) -> String {
    let pairs = metric.labels.iter().zip(&**labels);
    let pairs: Vec<_> = pairs
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    if pairs.is_empty() {
        metric.id.to_owned()
    } else {
        format!("{}{{{}}}", metric.id, pairs.join(","))
    }
}

#[cfg(test)]
mod tests;
