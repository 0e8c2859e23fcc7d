//! `limits`: how much of a node's limited resources is used: tracked connections, processes, files.

use anyhow::ensure;

use super::metric::{Collect, Metric, Sample};
use crate::node::Roots;
use crate::node::proc;

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "conntrack/entries",
        "conntrack_entries",
        &[],
        "Connections that are tracked",
    ),
    Metric::gauge(
        "conntrack/limit",
        "conntrack_limit",
        &[],
        "The most connections that can be tracked",
    ),
    Metric::gauge(
        "conntrack/percent_used",
        "conntrack_percent_used",
        &[],
        "Tracked connections in percentage of the limit",
    ),
    Metric::gauge(
        "process/tasks",
        "process_tasks",
        &[],
        "Processes and threads",
    ),
    Metric::gauge(
        "process/limit",
        "process_limit",
        &[],
        "The most processes and threads that there can be",
    ),
    Metric::gauge(
        "process/percent_used",
        "process_percent_used",
        &[],
        "Processes and threads in percentage of the limit",
    ),
    Metric::gauge("file/open", "file_open", &[], "Open files"),
    Metric::gauge(
        "file/limit",
        "file_limit",
        &[],
        "The most files that can be open",
    ),
    Metric::gauge(
        "file/percent_used",
        "file_percent_used",
        &[],
        "Open files in percentage of the limit",
    ),
];

/// Reads `/proc/sys`, `/proc/loadavg` and the first process's `/proc/net/stat`.
pub struct LimitsCollector;

impl Collect for LimitsCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let ids = [
            "conntrack/entries",
            "conntrack/limit",
            "conntrack/percent_used",
        ];
        let (entries, limit) = proc::connections(roots).unzip();
        usage(ids, entries, limit, sample);
        let ids = ["process/tasks", "process/limit", "process/percent_used"];
        let tasks = proc::load(&roots.proc).ok().map(|load| load.tasks);
        usage(ids, tasks, proc::task_limit(&roots.proc), sample);
        let ids = ["file/open", "file/limit", "file/percent_used"];
        let (open, limit) = proc::open_files(&roots.proc).unzip();
        usage(ids, open, limit, sample);
        ensure!(
            tasks.is_some() && open.is_some(),
            "{} does not show the limits",
            roots.proc.display()
        );
        Ok(())
    }
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
