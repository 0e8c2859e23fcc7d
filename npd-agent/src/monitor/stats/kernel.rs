//! `kernel`: the kernel's own counts of its faults.

use super::metric::{Collect, Metric, Sample};
use crate::node::Roots;
use crate::node::files::read_number;
use crate::node::proc;

/// The metrics of this collector. If the kernel does not count something, the metric has no series.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "kernel/oom_kills_total",
        "kernel_oom_kills_total",
        &[],
        "Processes that the OOM killer has killed",
    ),
    Metric::counter(
        "kernel/hung_tasks_total",
        "kernel_hung_tasks_total",
        &[],
        "Reports of hanging tasks (Linux 6.13)",
    ),
    Metric::counter(
        "kernel/oopses_total",
        "kernel_oopses_total",
        &[],
        "Oopses (Linux 6.2)",
    ),
    Metric::counter(
        "kernel/warnings_total",
        "kernel_warnings_total",
        &[],
        "Kernel warnings (Linux 6.2)",
    ),
    Metric::counter(
        "kernel/soft_lockups_total",
        "kernel_soft_lockups_total",
        &[],
        "Soft lockups (Linux 6.16)",
    ),
    Metric::counter(
        "kernel/hard_lockups_total",
        "kernel_hard_lockups_total",
        &[],
        "Hard lockups (Linux 6.16)",
    ),
    Metric::counter(
        "kernel/rcu_stalls_total",
        "kernel_rcu_stalls_total",
        &[],
        "RCU stalls (Linux 6.16)",
    ),
    Metric::gauge(
        "kernel/tainted",
        "kernel_tainted",
        &[],
        "The kernel's taint flags, as a bit mask",
    ),
];

/// Reads `/proc/vmstat`, `/proc/sys/kernel` and `/sys/kernel`.
pub struct KernelCollector;

impl Collect for KernelCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let (sysctl, sysfs) = (roots.proc.join("sys/kernel"), roots.sys.join("kernel"));
        for (id, path) in [
            (
                "kernel/hung_tasks_total",
                sysctl.join("hung_task_detect_count"),
            ),
            ("kernel/oopses_total", sysfs.join("oops_count")),
            ("kernel/warnings_total", sysfs.join("warn_count")),
            ("kernel/soft_lockups_total", sysfs.join("softlockup_count")),
            ("kernel/hard_lockups_total", sysfs.join("hardlockup_count")),
            ("kernel/rcu_stalls_total", sysfs.join("rcu_stall_count")),
            ("kernel/tainted", sysctl.join("tainted")),
        ] {
            if let Some(value) = sample.wants(id).then(|| read_number(&path)).flatten() {
                sample.count(id, [], value);
            }
        }
        if let Some(kills) = proc::oom_kills(&roots.proc)? {
            sample.count("kernel/oom_kills_total", [], kills);
        }
        Ok(())
    }
}
