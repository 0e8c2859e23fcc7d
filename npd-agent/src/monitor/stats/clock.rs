//! `clock`: how long ago the clock was set right.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use super::files::of_node;
use super::metric::{Collect, Label, Metric, Pass};
use crate::node::Roots;

/// What this collector can measure.
pub const METRICS: &[Metric] = &[Metric::gauge(
    "clock/seconds_since_sync",
    &["daemon"],
    "Time since a time daemon left a mark that the clock is right, in seconds",
)];

/// What daemons touch while they are synchronised: systemd-timesyncd on each answer of its server
/// (`systemd-timesyncd.service(8)`, at most 34 minutes apart), the others when they save the drift
/// of the clock, about once an hour.
const MARKS: &[(&str, &str)] = &[
    ("systemd-timesyncd", "run/systemd/timesync/synchronized"),
    ("chrony", "var/lib/chrony/drift"),
    ("chrony", "var/lib/chrony/chrony.drift"),
    ("ntp", "var/lib/ntp/drift"),
    ("ntp", "var/lib/ntp/ntp.drift"),
    ("ntpsec", "var/lib/ntpsec/ntp.drift"),
];

/// Looks at these marks. The kernel's own verdict, `STA_UNSYNC` of `adjtimex(2)`, is not to be had
/// from any file, and by no system call that is safe Rust.
pub struct Clock;

impl Collect for Clock {
    fn collect(&mut self, roots: &Roots, pass: &mut Pass) -> anyhow::Result<()> {
        let now = SystemTime::now();
        let mut latest = BTreeMap::new();
        for (daemon, path) in MARKS {
            let marked = fs::metadata(of_node(roots, path)).and_then(|file| file.modified());
            if let Ok(marked) = marked {
                // A mark from the future is as good as new: the clock has been set back since.
                let age = now.duration_since(marked).unwrap_or_default();
                let latest = latest.entry(*daemon).or_insert(age);
                *latest = age.min(*latest);
            }
        }
        for (daemon, age) in latest {
            let labels = [Label::from(daemon)];
            pass.count("clock/seconds_since_sync", labels, age.as_secs());
        }
        Ok(())
    }
}
