//! What can be measured, and one pass of measuring.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::node::Roots;

/// A metric that a collector can measure.
#[derive(Debug)]
pub struct Metric {
    /// The key in `metricsConfigs`.
    pub id: &'static str,
    /// Its HELP.
    pub help: &'static str,
    /// Its TYPE.
    pub kind: MetricKind,
    /// The names of its labels, sorted.
    pub labels: &'static [&'static str],
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// The kernel's own count, as it stands: Prometheus computes the rates.
    Counter,
    /// A value that comes and goes.
    Gauge,
}

impl Metric {
    /// A counter.
    pub const fn counter(
        id: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            id,
            help,
            kind: MetricKind::Counter,
            labels,
        }
    }

    /// A gauge.
    pub const fn gauge(
        id: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            id,
            help,
            kind: MetricKind::Gauge,
            labels,
        }
    }
}

/// The value of a label. Cheap to clone.
pub type Label = Arc<str>;

/// The values of a metric's labels, in their order. Cheap to clone: those of an interface stand in
/// sixteen series.
pub type Labels = Arc<[Label]>;

/// The value of a metric for one set of labels.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSeries {
    /// One for each of [`Metric::labels`].
    pub labels: Labels,
    /// The counter's or gauge's value.
    pub value: f64,
}

/// Measures a section of a config file, or a part of one.
pub trait Collect: Send {
    /// Reads below `roots` and adds what it sees to `pass`. What cannot be read is an error; what
    /// was read before it counts all the same. May take its time: it runs on a thread of its own.
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()>;
}

/// The metrics that are wanted, by id.
pub type WantedMetrics = BTreeMap<&'static str, Want>;

/// A metric that is wanted.
#[derive(Clone, Debug)]
pub struct Want {
    /// The metric.
    pub metric: &'static Metric,
    /// The name to export it under; `None` if only a rule wants it.
    pub name: Option<String>,
}

/// What one pass of one collector sees.
#[derive(Debug)]
pub struct Sample {
    series: BTreeMap<&'static str, Vec<MetricSeries>>,
    /// Why not everything was seen. A series that is missing then may still be there.
    pub error: Option<anyhow::Error>,
}

impl Sample {
    /// An empty pass for these metrics.
    pub fn new(wanted: &WantedMetrics) -> Self {
        Self {
            series: wanted.keys().map(|id| (*id, Vec::new())).collect(),
            error: None,
        }
    }

    /// Whether a metric is asked for; spares the work if not.
    pub fn wants(&self, id: &str) -> bool {
        self.series.contains_key(id)
    }

    /// Adds a value of the metric `id`, if that is wanted.
    pub fn count(&mut self, id: &str, labels: impl Into<Labels>, value: u64) {
        self.set(id, labels, value as f64);
    }

    /// Adds a value of the metric `id`, if that is wanted.
    pub fn set(&mut self, id: &str, labels: impl Into<Labels>, value: f64) {
        if let Some(series) = self.series.get_mut(id) {
            series.push(MetricSeries {
                labels: labels.into(),
                value,
            });
        }
    }

    /// Adds how much of a total is used, in percent, if that is wanted; of nothing there is no share.
    pub fn percent(&mut self, id: &str, labels: impl Into<Labels>, used: u64, total: u64) {
        if total > 0 {
            self.set(id, labels, used as f64 / total as f64 * 100.0);
        }
    }

    /// The series of the metric `id`, if that is wanted of this pass.
    pub fn series(&self, id: &str) -> Option<&[MetricSeries]> {
        self.series.get(id).map(Vec::as_slice)
    }
}
