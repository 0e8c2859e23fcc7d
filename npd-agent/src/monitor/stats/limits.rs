//! `limits`: how much is left of what a node runs out of: connections to track, processes, files.

use anyhow::ensure;

use super::files::{of_first_process, read, read_number};
use super::metric::{Collect, Metric, Sample};
use crate::node::Roots;

/// What this collector can measure.
pub const METRICS: &[Metric] = &[
    Metric::gauge("conntrack/entries", &[], "Connections that are tracked"),
    Metric::gauge(
        "conntrack/limit",
        &[],
        "The most connections that can be tracked",
    ),
    Metric::gauge(
        "conntrack/percent_used",
        &[],
        "Tracked connections in percentage of the limit",
    ),
    Metric::gauge("process/tasks", &[], "Processes and threads"),
    Metric::gauge(
        "process/limit",
        &[],
        "The most processes and threads that there can be",
    ),
    Metric::gauge(
        "process/percent_used",
        &[],
        "Processes and threads in percentage of the limit",
    ),
    Metric::gauge("file/open", &[], "Open files"),
    Metric::gauge("file/limit", &[], "The most files that can be open"),
    Metric::gauge(
        "file/percent_used",
        &[],
        "Open files in percentage of the limit",
    ),
];

/// Reads `/proc/sys`, `/proc/loadavg` and the first process's `/proc/net/stat`.
pub struct LimitsCollector;

impl Collect for LimitsCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let sysctl = |name: &str| read_number(&roots.proc.join("sys").join(name));
        let ids = [
            "conntrack/entries",
            "conntrack/limit",
            "conntrack/percent_used",
        ];
        // Absent while the module is not loaded.
        let entries = connections(roots).or_else(|| sysctl("net/netfilter/nf_conntrack_count"));
        let limit = sysctl("net/netfilter/nf_conntrack_max");
        usage(ids, entries, limit, sample);
        let ids = ["process/tasks", "process/limit", "process/percent_used"];
        let limits = [sysctl("kernel/pid_max"), sysctl("kernel/threads-max")];
        let tasks = tasks(roots);
        usage(ids, tasks, limits.into_iter().flatten().min(), sample);
        let ids = ["file/open", "file/limit", "file/percent_used"];
        let (open, limit) = files(roots).unzip();
        usage(ids, open, limit, sample);
        ensure!(
            tasks.is_some() && open.is_some(),
            "{} does not tell the limits",
            roots.proc.display()
        );
        Ok(())
    }
}

/// The connections that the node's network namespace tracks: the first column of the first row
/// under the heading. The sysctl counts those of the reader's own namespace, a pod's for example;
/// the limit is one for all.
fn connections(roots: &Roots) -> Option<u64> {
    let text = read(&of_first_process(&roots.proc, "net/stat/nf_conntrack")).ok()?;
    let entries = text.lines().nth(1)?.split_whitespace().next()?;
    u64::from_str_radix(entries, 16).ok()
}

/// The tasks that exist: the fourth field of `/proc/loadavg` is `running/existing`.
fn tasks(roots: &Roots) -> Option<u64> {
    let text = read(&roots.proc.join("loadavg")).ok()?;
    let (_, existing) = text.split_whitespace().nth(3)?.split_once('/')?;
    existing.parse().ok()
}

/// The files that are open, and the most that can be: `open unused limit`.
fn files(roots: &Roots) -> Option<(u64, u64)> {
    let text = read(&roots.proc.join("sys/fs/file-nr")).ok()?;
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.nth(1)?.ok()?))
}

fn usage(ids: [&str; 3], used: Option<u64>, limit: Option<u64>, sample: &mut Sample) {
    let (Some(used), Some(limit)) = (used, limit) else {
        return;
    };
    let [count, most, percent] = ids;
    sample.count(count, [], used);
    sample.count(most, [], limit);
    sample.percent(percent, [], used, limit);
}
