//! Thresholds: a metric that is too high or too low for some time is a problem.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::SECTIONS;
use super::metric::Metric;
use super::store::Series;
use crate::go::duration::GoDuration;
use crate::problem::{ConditionStatus, Healthy, Problem};

/// A rule as written. Its metric is collected whether it is exported or not.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RuleConfig {
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
    /// How long it must last before it is told; 0 tells at once.
    pub r#for: GoDuration,
}

/// A rule that has been checked, and what it knows of each series.
#[derive(Debug)]
pub struct Rule {
    /// What it reports.
    pub problem: Arc<Problem>,
    /// The metric that it looks at.
    pub metric: &'static Metric,
    /// Label index and value that a series must have.
    pub labels: Vec<(usize, String)>,
    /// A problem if the value is greater.
    pub above: Option<f64>,
    /// A problem if the value is less.
    pub below: Option<f64>,
    /// How long it must last.
    pub lasting: Duration,
    /// Since when each series has been out of bounds, and whether that was told.
    pub state: BTreeMap<Box<[Arc<str>]>, (Instant, bool)>,
}

/// News about one series.
#[derive(Debug, PartialEq)]
pub struct Change {
    /// The series, for example `disk/percent_used{device_name="sda"}`.
    pub series: String,
    /// Whether its problem began or ended.
    pub present: ConditionStatus,
    /// What is told.
    pub message: String,
}

impl RuleConfig {
    /// Checks the rule, or names the field that is wrong and says why.
    pub fn check(&self, conditions: &[Healthy]) -> Result<Rule, (&'static str, String)> {
        let condition = match &*self.r#type {
            "temporary" => None,
            "permanent" => Some(Arc::from(&*self.condition)),
            other => {
                return Err((
                    "type",
                    format!("{other:?} is neither temporary nor permanent"),
                ));
            }
        };
        let declared = |wanted: &Arc<str>| conditions.iter().any(|known| known.r#type == *wanted);
        if condition.as_ref().is_some_and(|wanted| !declared(wanted)) {
            return Err((
                "condition",
                format!("{:?} is not among the conditions", self.condition),
            ));
        }
        let metrics = SECTIONS.iter().flat_map(|section| section.metrics);
        let Some(metric) = metrics.into_iter().find(|metric| metric.id == self.metric) else {
            return Err(("metric", format!("there is no metric {:?}", self.metric)));
        };
        let mut labels = Vec::new();
        for (name, value) in &self.labels {
            let Some(index) = metric.labels.iter().position(|label| label == name) else {
                return Err(("labels", format!("{} has no label {name:?}", metric.id)));
            };
            labels.push((index, value.clone()));
        }
        if self.above.is_none() && self.below.is_none() {
            return Err((
                "above",
                "a rule needs a bound: above, below or both".to_owned(),
            ));
        }
        let Some(lasting) = self.r#for.to_std() else {
            return Err(("for", format!("{} is negative", self.r#for)));
        };
        let reason = Arc::from(&*self.reason);
        let problem = Problem {
            reason,
            condition,
            message_is_news: false,
            metrics: true,
        };
        Ok(Rule {
            problem: Arc::new(problem),
            metric,
            labels,
            above: self.above,
            below: self.below,
            lasting,
            state: BTreeMap::new(),
        })
    }
}

impl Rule {
    /// Looks at the metric's series after a pass.
    pub fn evaluate(&mut self, series: &[Series], now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut bad = BTreeSet::new();
        for one in series {
            let broken = self.concerns(one).then(|| self.broken_bound(one.value));
            let Some(bound) = broken.flatten() else {
                continue;
            };
            bad.insert(one.labels.clone());
            let (since, told) = self.state.entry(one.labels.clone()).or_insert((now, false));
            if !*told && now.duration_since(*since) >= self.lasting {
                *told = true;
                let series = name(self.metric, &one.labels);
                let message = format!("{series} is {}, {bound}", one.value);
                changes.push(Change {
                    series,
                    present: ConditionStatus::True,
                    message,
                });
            }
        }
        let metric = self.metric;
        self.state.retain(|labels, (_, told)| {
            let over = !bad.contains(labels);
            if over && *told {
                let series = name(metric, labels);
                let message = format!("{series} is within bounds");
                changes.push(Change {
                    series,
                    present: ConditionStatus::False,
                    message,
                });
            }
            !over
        });
        changes
    }

    fn concerns(&self, series: &Series) -> bool {
        self.labels
            .iter()
            .all(|(index, value)| *series.labels[*index] == **value)
    }

    fn broken_bound(&self, value: f64) -> Option<String> {
        let above = self
            .above
            .filter(|bound| value > *bound)
            .map(|bound| format!("above {bound}"));
        above.or_else(|| {
            self.below
                .filter(|bound| value < *bound)
                .map(|bound| format!("below {bound}"))
        })
    }
}

fn name(metric: &Metric, labels: &[Arc<str>]) -> String {
    let pairs = metric.labels.iter().zip(labels);
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
mod tests {
    use super::*;
    use crate::problem::ConditionStatus::{False, True};

    const METRIC: Metric = Metric::gauge("disk/percent_used", &["device_name"], "");

    fn rule() -> Rule {
        Rule {
            problem: Arc::new(Problem {
                reason: Arc::from("DiskFull"),
                condition: None,
                message_is_news: false,
                metrics: true,
            }),
            metric: &METRIC,
            labels: Vec::new(),
            above: Some(90.0),
            below: None,
            lasting: Duration::from_mins(1),
            state: BTreeMap::new(),
        }
    }

    fn sda(value: f64) -> [Series; 1] {
        [Series {
            labels: Box::from([Arc::from("sda")]),
            value,
        }]
    }

    #[test]
    fn a_problem_is_told_when_it_has_lasted_and_when_it_is_over() {
        let (mut rule, start) = (rule(), Instant::now());
        let mut at = |minutes, series: &[Series]| {
            let changes = rule.evaluate(series, start + Duration::from_mins(minutes));
            changes
                .into_iter()
                .map(|change| (change.present, change.message))
                .collect::<Vec<_>>()
        };
        let told = |present, message: &str| {
            vec![(
                present,
                format!("disk/percent_used{{device_name=\"sda\"}} is {message}"),
            )]
        };
        assert_eq!(at(0, &sda(95.0)), []);
        assert_eq!(at(1, &sda(96.5)), told(True, "96.5, above 90"));
        assert_eq!(at(2, &sda(97.0)), []);
        assert_eq!(at(3, &sda(50.0)), told(False, "within bounds"));
        assert_eq!(at(4, &sda(91.0)), []);
        assert_eq!(at(5, &sda(50.0)), []);
        assert_eq!(at(6, &sda(91.0)), []);
        assert_eq!(at(7, &sda(91.0)), told(True, "91, above 90"));
        // The disk is pulled: what cannot be seen cannot be too full.
        assert_eq!(at(8, &[]), told(False, "within bounds"));
    }

    #[test]
    fn other_labels_are_no_concern() {
        let mut rule = Rule {
            labels: vec![(0, "sdb".to_owned())],
            ..rule()
        };
        rule.lasting = Duration::ZERO;
        assert_eq!(rule.evaluate(&sda(99.0), Instant::now()), []);
    }
}
