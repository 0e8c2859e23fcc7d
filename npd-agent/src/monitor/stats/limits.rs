//! `limits`: how much is left of what a node runs out of: connections to track, processes, files.

use super::files::{read, read_number};
use super::metric::{Collect, Metric, Pass};
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
    Metric::gauge("process/count", &[], "Processes and threads"),
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

/// Reads `/proc/sys` and `/proc/loadavg`.
pub struct Limits;

impl Collect for Limits {
    fn collect(&mut self, roots: &Roots, pass: &mut Pass) -> anyhow::Result<()> {
        let sysctl = |name: &str| read_number(&roots.proc.join("sys").join(name));
        let entries = sysctl("net/netfilter/nf_conntrack_count");
        let limit = sysctl("net/netfilter/nf_conntrack_max");
        let ids = [
            "conntrack/entries",
            "conntrack/limit",
            "conntrack/percent_used",
        ];
        usage(ids, entries, limit, pass);
        let limits = [sysctl("kernel/pid_max"), sysctl("kernel/threads-max")];
        let ids = ["process/count", "process/limit", "process/percent_used"];
        usage(ids, tasks(roots)?, limits.into_iter().flatten().min(), pass);
        let text = read(&roots.proc.join("sys/fs/file-nr"))?;
        let mut numbers = text.split_whitespace().map(|number| number.parse().ok());
        let (open, limit) = (numbers.next().flatten(), numbers.nth(1).flatten());
        usage(
            ["file/open", "file/limit", "file/percent_used"],
            open,
            limit,
            pass,
        );
        Ok(())
    }
}

/// The tasks that exist: the fourth field of `/proc/loadavg` is `running/existing`.
fn tasks(roots: &Roots) -> anyhow::Result<Option<u64>> {
    let text = read(&roots.proc.join("loadavg"))?;
    let counts = text
        .split_whitespace()
        .nth(3)
        .and_then(|counts| counts.split_once('/'));
    Ok(counts.and_then(|(_, existing)| existing.parse().ok()))
}

fn usage(ids: [&str; 3], used: Option<u64>, limit: Option<u64>, pass: &mut Pass) {
    let (Some(used), Some(limit)) = (used, limit) else {
        return;
    };
    let [count, most, percent] = ids;
    pass.count(count, &[], used);
    pass.count(most, &[], limit);
    if limit > 0 {
        pass.set(percent, &[], used as f64 / limit as f64 * 100.0);
    }
}
