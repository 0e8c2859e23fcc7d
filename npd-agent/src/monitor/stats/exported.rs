//! The names of exported metrics, and how they are printed.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};

use anyhow::Context;
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::metric::{Metric, MetricKind, MetricSeries, Sample, WantedMetrics};
use crate::rendered::RenderedFamilies;

/// The metric of each name.
pub type Names = BTreeMap<String, NamedMetric>;

/// A metric, and the `displayName` that its name is made of.
#[derive(Clone, Debug)]
pub struct NamedMetric {
    /// The metric.
    pub metric: &'static Metric,
    /// As the config file has it.
    pub display_name: String,
}

/// The name that NPD gives a metric: characters that Prometheus does not allow become `_`, there are at
/// most 100 bytes, and the first is neither a digit nor `_`.
pub fn exported_name(display_name: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = display_name.chars().map(legal).take(100).collect();
    match name.bytes().next() {
        Some(b'0'..=b'9') => format!("key_{name}"),
        Some(b'_') => format!("key{name}"),
        _ => name,
    }
}

/// Reserves the names in the agent's registry. Fails if another metric of the agent has one of them.
pub fn reserve(names: &Names, registry: &Registry) -> anyhow::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let describe = |(name, NamedMetric { metric, .. }): (&String, &NamedMetric)| {
        let labels = metric.labels.iter().map(|label| (*label).to_owned());
        let (help, labels) = (metric.help.to_owned(), labels.collect());
        Desc::new(name.clone(), help, labels, HashMap::new())
            .with_context(|| format!("describing the metric {name}"))
    };
    let descriptions = names.iter().map(describe).collect::<Result<_, _>>()?;
    registry
        .register(Box::new(Reserved(descriptions)))
        .context("registering the system stats")
}

/// Reserved names. Their families are printed elsewhere.
struct Reserved(Vec<Desc>);

impl Collector for Reserved {
    fn desc(&self) -> Vec<&Desc> {
        self.0.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        Vec::new()
    }
}

/// Replaces the last sample by this one. So the series of a device that is gone disappear.
pub fn publish(sample: &Sample, wanted: &WantedMetrics, rendered: &RenderedFamilies) {
    for (id, want) in wanted {
        let (Some(name), Some(series)) = (&want.name, sample.series(id)) else {
            continue;
        };
        rendered.print(name, |text| {
            if print(text, name, want.metric, series).is_err() {
                text.clear();
            }
        });
    }
}

/// Prints a family in Prometheus' text format, version 0.0.4.
fn print(text: &mut String, name: &str, metric: &Metric, series: &[MetricSeries]) -> fmt::Result {
    if series.is_empty() {
        return Ok(());
    }
    let kind = match metric.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
    };
    writeln!(text, "# HELP {name} {}", metric.help)?;
    writeln!(text, "# TYPE {name} {kind}")?;
    for MetricSeries { labels, value } in series {
        text.push_str(name);
        let mut separator = '{';
        for (label, value) in metric.labels.iter().zip(&**labels) {
            write!(text, "{separator}{label}=\"")?;
            escape(text, value);
            text.push('"');
            separator = ',';
        }
        let end = if separator == ',' { "}" } else { "" };
        writeln!(text, "{end} {value}")?;
    }
    Ok(())
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str(r"\\"),
            '"' => text.push_str(r#"\""#),
            '\n' => text.push_str(r"\n"),
            _ => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::monitor::stats::metric::{Label, Labels};

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

    #[test]
    fn a_metric_has_the_name_that_follows_from_its_id() {
        let sections = crate::monitor::stats::SECTIONS.iter();
        for metric in sections.flat_map(|section| section.metrics) {
            assert_eq!(metric.name, exported_name(metric.id));
        }
    }

    #[test]
    fn labels_are_escaped_and_numbers_exact() {
        let metric = Metric::counter("m", "m", &["a", "b"], "Help.");
        let series =
            [("plain", 8_574_464.0), ("q\"b\\n\nü", 0.25)].map(|(label, value)| MetricSeries {
                labels: Labels::from([Label::from(label), Label::from("")]),
                value,
            });
        let mut text = String::new();
        print(&mut text, "m", &metric, &series).unwrap();
        expect![[r#"
            # HELP m Help.
            # TYPE m counter
            m{a="plain",b=""} 8574464
            m{a="q\"b\\n\nü",b=""} 0.25
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn help_needs_no_escaping() {
        let metrics = crate::monitor::stats::SECTIONS
            .iter()
            .flat_map(|section| section.metrics);
        for metric in metrics {
            assert!(!metric.help.contains(['\\', '\n']), "{}", metric.id);
            assert!(metric.labels.is_sorted(), "{}", metric.id);
        }
    }

    #[test]
    fn names_of_the_agents_own_are_refused() {
        let metric: &'static Metric = &crate::monitor::stats::memory::METRICS[0];
        let metrics = crate::metrics::Metrics::new().unwrap();
        let reserve = |name: &str| {
            let display_name = name.to_owned();
            let reserved = NamedMetric {
                metric,
                display_name,
            };
            let names = Names::from([(name.to_owned(), reserved)]);
            reserve(&names, &metrics.registry)
        };
        assert!(reserve("memory_bytes_used").is_ok());
        assert!(reserve("problem_counter").is_err());
    }
}
