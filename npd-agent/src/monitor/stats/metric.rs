//! Metrics, and one collection of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::node::Roots;
use crate::problem::FaultyObject;

/// A metric that a collector can measure.
#[derive(Debug)]
pub struct Metric {
    /// The key in `metricsConfigs`.
    pub id: &'static str,
    /// The name in `/metrics` if `displayName` is the key, as in the config files that we ship.
    pub name: &'static str,
    /// Its HELP.
    pub help: &'static str,
    /// Its TYPE.
    pub kind: MetricKind,
    /// The names of its labels, sorted.
    pub labels: &'static [&'static str],
    /// What a series is about, if the kernel's log may report it, too.
    pub thing: Option<Thing>,
}

/// What the series of a metric are about.
#[derive(Clone, Copy, Debug)]
pub struct Thing {
    /// The object of a series, as the rules for the kernel's log name it.
    pub object: fn(&Labels) -> FaultyObject,
    /// The reasons of one fault of such an object: with these, the kernel's log and the rules of this metric
    /// report it.
    pub log_reasons: &'static [&'static str],
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// The kernel's own count. Prometheus computes the rates.
    Counter,
    /// A value that goes up and down.
    Gauge,
}

impl Metric {
    /// A counter.
    pub const fn counter(
        id: &'static str,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            id,
            name,
            help,
            kind: MetricKind::Counter,
            labels,
            thing: None,
        }
    }

    /// A gauge.
    pub const fn gauge(
        id: &'static str,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            id,
            name,
            help,
            kind: MetricKind::Gauge,
            labels,
            thing: None,
        }
    }

    /// The same metric, of which a series is about `object`.
    #[must_use]
    pub const fn about(
        self,
        object: fn(&Labels) -> FaultyObject,
        log_reasons: &'static [&'static str],
    ) -> Self {
        let thing = Some(Thing {
            object,
            log_reasons,
        });
        Self { thing, ..self }
    }

    /// What the series with these labels is about.
    pub fn object(&self, labels: &Labels) -> Option<FaultyObject> {
        self.thing.map(|thing| (thing.object)(labels))
    }
}

/// The value of a label. Cheap to clone.
pub type Label = Arc<str>;

/// The values of a metric's labels, in order. Cheap to clone: sixteen series share those of an interface.
pub type Labels = Arc<[Label]>;

/// The value of a metric for one set of labels.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSeries {
    /// One for each of [`Metric::labels`].
    pub labels: Labels,
    /// The counter's or gauge's value.
    pub value: f64,
}

/// The object of this kind that the first label names.
pub fn object(kind: &str, labels: &Labels) -> FaultyObject {
    FaultyObject {
        kind: kind.to_owned(),
        name: labels.first().map(Label::to_string).unwrap_or_default(),
    }
}

/// Collects the metrics of a section of a config file, or of a part of one.
pub trait Collect: Send {
    /// Reads files below `roots` and adds values to the sample. If something cannot be read, returns an
    /// error; the values before it are still used. May take long: it runs on a thread of its own.
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()>;
}

/// The metrics that are wanted, by id.
pub type WantedMetrics = BTreeMap<&'static str, WantedMetric>;

/// A metric that is wanted.
#[derive(Clone, Debug)]
pub struct WantedMetric {
    /// The metric.
    pub metric: &'static Metric,
    /// The name to export it under; `None` if only a rule wants it.
    pub name: Option<String>,
}

/// The result of one collection of one collector.
#[derive(Debug)]
pub struct Sample {
    series: BTreeMap<&'static str, Vec<MetricSeries>>,
    /// Why the sample is incomplete. A series that is missing may then still exist.
    pub error: Option<anyhow::Error>,
}

impl Sample {
    /// An empty sample for these metrics.
    pub fn new(wanted: &WantedMetrics) -> Self {
        Self {
            series: wanted.keys().map(|id| (*id, Vec::new())).collect(),
            error: None,
        }
    }

    /// Whether a metric is wanted. If not, it need not be read.
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

    /// Adds how much of a total is used, in percent, if that is wanted. Adds nothing if the total is 0.
    pub fn percent(&mut self, id: &str, labels: impl Into<Labels>, used: u64, total: u64) {
        if total > 0 {
            self.set(id, labels, used as f64 / total as f64 * 100.0);
        }
    }

    /// The series of the metric `id`, if this sample has it.
    pub fn series(&self, id: &str) -> Option<&[MetricSeries]> {
        self.series.get(id).map(Vec::as_slice)
    }
}
