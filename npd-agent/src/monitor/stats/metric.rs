//! What can be measured, and one pass of measuring.

use std::collections::BTreeMap;

use super::store::{Label, Series, Store};
use crate::node::Roots;

/// A metric that a collector can measure.
#[derive(Debug)]
pub struct Metric {
    /// The key in `metricsConfigs`.
    pub id: &'static str,
    /// Its HELP.
    pub help: &'static str,
    /// Its TYPE.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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
            kind: Kind::Counter,
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
            kind: Kind::Gauge,
            labels,
        }
    }
}

/// Measures one section of a config file.
pub trait Collect: Send {
    /// Reads below `roots` and adds what it sees to `pass`. What cannot be read is an error; what
    /// was read before it counts all the same.
    fn collect(&mut self, roots: &Roots, pass: &mut Pass) -> anyhow::Result<()>;
}

/// The metrics that are wanted: id → exported name, or `None` if only a rule wants it.
pub type Wanted = BTreeMap<&'static str, Option<String>>;

/// What one pass of one collector sees.
#[derive(Debug)]
pub struct Pass {
    series: BTreeMap<&'static str, Vec<Series>>,
}

impl Pass {
    /// An empty pass for these metrics.
    pub fn new(wanted: &Wanted) -> Self {
        Self {
            series: wanted.keys().map(|id| (*id, Vec::new())).collect(),
        }
    }

    /// Whether a metric is asked for; spares the work if not.
    pub fn wants(&self, id: &str) -> bool {
        self.series.contains_key(id)
    }

    /// Adds a value of the metric `id`, if that is wanted.
    pub fn count(&mut self, id: &str, labels: &[Label], value: u64) {
        self.set(id, labels, value as f64);
    }

    /// Adds a value of the metric `id`, if that is wanted.
    pub fn set(&mut self, id: &str, labels: &[Label], value: f64) {
        if let Some(series) = self.series.get_mut(id) {
            series.push(Series {
                labels: Box::from(labels),
                value,
            });
        }
    }

    /// The series of the metric `id`, if that is wanted of this pass.
    pub fn series(&self, id: &str) -> Option<&[Series]> {
        self.series.get(id).map(Vec::as_slice)
    }

    /// Shows what was seen, under the names it is wanted by.
    pub fn publish(self, wanted: &Wanted, store: &Store) {
        for (id, series) in self.series {
            if let Some(Some(name)) = wanted.get(id) {
                store.replace(name, series);
            }
        }
    }
}

/// The name under which NPD exports a metric: what Prometheus does not allow becomes `_`, at most
/// 100 bytes, and never a digit or `_` first.
pub fn exported_name(display_name: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = display_name.chars().map(legal).take(100).collect();
    match name.bytes().next() {
        Some(b'0'..=b'9') => format!("key_{name}"),
        Some(b'_') => format!("key{name}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::exported_name;

    #[test]
    fn names_are_those_of_npd() {
        for (display_name, expected) in [
            ("disk/io_time", "disk_io_time"),
            ("9mem-x", "key_9mem_x"),
            ("_hidden", "key_hidden"),
            ("größe", "gr__e"),
        ] {
            assert_eq!(exported_name(display_name), expected);
        }
        assert_eq!(exported_name(&"x".repeat(200)).len(), 100);
    }
}
