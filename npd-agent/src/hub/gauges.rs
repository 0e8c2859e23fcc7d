//! `problem_counter` and `problem_gauge`, as NPD has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::Metrics;
use crate::problem::{Advice, Condition, ConditionStatus, Problem};

/// The problem metrics.
#[derive(Debug)]
pub(super) struct Gauges {
    metrics: Metrics,
    /// The reason last written to `problem_gauge`, by condition type. NPD keeps at most one at 1.
    reasons: BTreeMap<Arc<str>, Arc<str>>,
}

impl Gauges {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            reasons: BTreeMap::new(),
        }
    }

    /// Creates the series of a problem before it is found. Another file may have the same problem, and a claim
    /// on it of an earlier agent.
    pub(super) fn declare(&self, problem: &Problem) {
        if !problem.metrics {
            return;
        }
        let counter = &self.metrics.problem_counter;
        counter.with_label_values(&[&*problem.reason]).inc_by(0.0);
        self.advise(problem, 0);
        if let Some(condition) = &problem.condition {
            let gauge = &self.metrics.problem_gauge;
            gauge
                .with_label_values(&[&*problem.reason, &**condition])
                .add(0.0);
        }
    }

    /// Counts a problem.
    pub(super) fn count(&self, problem: &Problem) {
        if problem.metrics {
            let counter = &self.metrics.problem_counter;
            counter.with_label_values(&[&*problem.reason]).inc();
            self.advise(problem, 1);
        }
    }

    /// Counts a problem of a rule that says how bad it is and what to do.
    fn advise(&self, problem: &Problem, times: u64) {
        if let Some(Advice {
            severity, action, ..
        }) = problem.advice
        {
            let labels = [&*problem.reason, severity.as_str(), action.as_str()];
            let counter = &self.metrics.problem;
            counter.with_label_values(&labels).inc_by(times);
        }
    }

    /// Whether `problem_gauge` shows this condition.
    pub(super) fn shows(&self, r#type: &str) -> bool {
        self.reasons.contains_key(r#type)
    }

    /// Updates `problem_gauge` for a condition, as NPD does: first sets the old reason to 0.
    pub(super) fn show(&mut self, condition: &Condition) {
        let Condition {
            r#type,
            reason,
            status,
            ..
        } = condition;
        let gauge = &self.metrics.problem_gauge;
        let old = self.reasons.insert(Arc::clone(r#type), Arc::clone(reason));
        if let Some(old) = old {
            gauge.with_label_values(&[&*old, &**r#type]).set(0.0);
        }
        let value = match status {
            ConditionStatus::True => 1.0,
            ConditionStatus::False | ConditionStatus::Unknown => 0.0,
        };
        gauge.with_label_values(&[&**reason, &**r#type]).set(value);
    }
}
