//! `cpu`: load, and how the processors spent their time.

use anyhow::Context;

use super::metric::{Collect, Label, Labels, Metric, Sample};
use crate::node::Roots;
use crate::node::files::each_line;
use crate::node::proc;

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "cpu/runnable_task_count",
        "cpu_runnable_task_count",
        &[],
        "The average number of runnable tasks in the run-queue during the last minute",
    ),
    Metric::gauge("cpu/load_1m", "cpu_load_1m", &[], "CPU average load (1m)"),
    Metric::gauge("cpu/load_5m", "cpu_load_5m", &[], "CPU average load (5m)"),
    Metric::gauge(
        "cpu/load_15m",
        "cpu_load_15m",
        &[],
        "CPU average load (15m)",
    ),
    Metric::counter(
        "cpu/usage_time",
        "cpu_usage_time",
        &["state"],
        "CPU usage, in seconds",
    ),
    Metric::counter(
        "system/processes_total",
        "system_processes_total",
        &[],
        "Number of forks since boot.",
    ),
    Metric::gauge(
        "system/procs_running",
        "system_procs_running",
        &[],
        "Number of processes currently running.",
    ),
    Metric::gauge(
        "system/procs_blocked",
        "system_procs_blocked",
        &[],
        "Number of processes currently blocked.",
    ),
    Metric::counter(
        "system/interrupts_total",
        "system_interrupts_total",
        &[],
        "Total number of interrupts serviced (cumulative).",
    ),
    Metric::counter(
        "system/cpu_stat",
        "system_cpu_stat",
        &["cpu", "stage"],
        "Cumulative time each cpu spent in various stages.",
    ),
];

/// The columns of a `cpu` line in `/proc/stat`: the state of `cpu/usage_time` and the stage of
/// `system/cpu_stat`, as NPD names them.
const COLUMNS: [(&str, &str); 10] = [
    ("user", "user"),
    ("nice", "nice"),
    ("system", "system"),
    ("idle", "idle"),
    ("iowait", "iowait"),
    ("irq", "iRQ"),
    ("softirq", "softIRQ"),
    ("steal", "steal"),
    ("guest", "guest"),
    ("guest_nice", "guestNice"),
];

/// `USER_HZ`. Since Linux 2.6 the kernel scales to 100 on every architecture that Kubernetes runs on.
const TICKS_A_SECOND: f64 = 100.0;

/// Reads `/proc/loadavg` and `/proc/stat`. procfs ignores the interrupts, rounds the times to ticks, and
/// fails completely if a column is missing.
pub struct CpuCollector {
    states: [Labels; 10],
    stages: [Label; 10],
    /// For `cpu0`, `cpu1`, … the labels of each stage. They are made once, not in every collection.
    cpus: Vec<(Label, [Labels; 10])>,
}

impl Default for CpuCollector {
    fn default() -> Self {
        Self {
            states: COLUMNS.map(|(state, _)| Labels::from([Label::from(state)])),
            stages: COLUMNS.map(|(_, stage)| Label::from(stage)),
            cpus: Vec::new(),
        }
    }
}

impl Collect for CpuCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let mut result = load(roots, sample);
        let mut index = 0;
        each_line(&roots.proc.join("stat"), |line| {
            let (key, values) = line.split_once(' ').unwrap_or((line, ""));
            let read = match key {
                "cpu" => times(&self.states, "cpu/usage_time", values, sample),
                "intr" => count(sample, "system/interrupts_total", values),
                "processes" => count(sample, "system/processes_total", values),
                "procs_running" => count(sample, "system/procs_running", values),
                "procs_blocked" => count(sample, "system/procs_blocked", values),
                _ if key.starts_with("cpu") => {
                    let stages = self.stages_of(index, key);
                    index += 1;
                    times(stages, "system/cpu_stat", values, sample)
                }
                _ => Ok(()),
            };
            if result.is_ok() {
                result = read;
            }
        })?;
        result
    }
}

impl CpuCollector {
    /// The labels of a processor. It had the same index in the last collection, unless processors were
    /// added or removed.
    fn stages_of(&mut self, index: usize, cpu: &str) -> &[Labels; 10] {
        if self
            .cpus
            .get(index)
            .is_none_or(|(known, _)| **known != *cpu)
        {
            self.cpus.truncate(index);
            let cpu = Label::from(cpu);
            let labels = |stage: &Label| Labels::from([Label::clone(&cpu), Label::clone(stage)]);
            let stages = self.stages.each_ref().map(labels);
            self.cpus.push((cpu, stages));
        }
        &self.cpus[index].1
    }
}

/// Old kernels print fewer columns.
fn times(labels: &[Labels; 10], id: &str, values: &str, sample: &mut Sample) -> anyhow::Result<()> {
    for (labels, ticks) in labels.iter().zip(values.split_whitespace()) {
        let ticks: f64 = ticks
            .parse()
            .with_context(|| format!("reading {id} from {ticks:?}"))?;
        sample.set(id, Labels::clone(labels), ticks / TICKS_A_SECOND);
    }
    Ok(())
}

fn load(roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
    let [one, five, fifteen] = proc::load(&roots.proc)?.averages;
    sample.set("cpu/runnable_task_count", [], one);
    sample.set("cpu/load_1m", [], one);
    sample.set("cpu/load_5m", [], five);
    sample.set("cpu/load_15m", [], fifteen);
    Ok(())
}

fn count(sample: &mut Sample, id: &str, values: &str) -> anyhow::Result<()> {
    let first = values.split_whitespace().next().unwrap_or_default();
    let value = first
        .parse()
        .with_context(|| format!("reading {id} from {values:.40?}"))?;
    sample.count(id, [], value);
    Ok(())
}
