//! `pressure`: how long tasks waited for processors, memory and disks (PSI, since Linux 4.20).

use anyhow::{Context, ensure};

use super::metric::{Collect, Label, Metric, Sample};
use crate::node::Roots;
use crate::node::files::read;

const LABELS: &[&str] = &["resource", "share"];

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "pressure/stalled_seconds_total",
        "pressure_stalled_seconds_total",
        LABELS,
        "Time in which some or all tasks waited for the resource, in seconds",
    ),
    Metric::gauge(
        "pressure/avg10",
        "pressure_avg10",
        LABELS,
        "Share of the last 10 seconds in which some or all tasks waited for the resource, in percent",
    ),
    Metric::gauge(
        "pressure/avg60",
        "pressure_avg60",
        LABELS,
        "Share of the last 60 seconds in which some or all tasks waited for the resource, in percent",
    ),
];

/// Reads `/proc/pressure/*`. Absent with `psi=0`, and on kernels that need `psi=1`.
pub struct PressureCollector;

impl Collect for PressureCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let mut result = Ok(());
        for resource in ["cpu", "memory", "io"] {
            let path = roots.proc.join("pressure").join(resource);
            let read = read(&path).and_then(|text| {
                text.lines()
                    .try_for_each(|line| record(resource, line, sample))
                    .with_context(|| format!("reading {}", path.display()))
            });
            result = result.and(read);
        }
        result
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`. procfs requires both lines, but before 5.13 the
/// kernel prints no `full` for cpu.
fn record(resource: &str, line: &str, sample: &mut Sample) -> anyhow::Result<()> {
    let mut words = line.split_whitespace();
    let share = words.next().unwrap_or_default();
    ensure!(matches!(share, "some" | "full"), "unexpected line {line:?}");
    let labels = || [Label::from(resource), Label::from(share)];
    for (key, value) in words.filter_map(|word| word.split_once('=')) {
        let number: f64 = value.parse().with_context(|| format!("in {line:?}"))?;
        match key {
            "avg10" => sample.set("pressure/avg10", labels(), number),
            "avg60" => sample.set("pressure/avg60", labels(), number),
            "total" => sample.set("pressure/stalled_seconds_total", labels(), number / 1e6),
            _ => {}
        }
    }
    Ok(())
}
