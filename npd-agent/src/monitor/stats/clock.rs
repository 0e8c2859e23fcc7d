//! `clock`: whether the clock is right, and how long ago it was set.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use anyhow::Context as _;

use super::metric::{Collect, Label, Metric, Sample};
use crate::node::{Roots, clock};

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "clock/synchronized",
        "clock_synchronized",
        &[],
        "1 while something sets the clock, else 0",
    ),
    Metric::gauge(
        "clock/max_error_seconds",
        "clock_max_error_seconds",
        &[],
        "How wrong the clock can be, as the kernel estimates, in seconds",
    ),
    Metric::gauge(
        "clock/seconds_since_sync",
        "clock_seconds_since_sync",
        &["daemon"],
        "Seconds since a time daemon touched its file, which it does while it is synchronised",
    ),
];

/// The files that time daemons touch while they are synchronised: systemd-timesyncd at each answer of its
/// server (`systemd-timesyncd.service(8)`, at most 34 minutes apart), the others when they save the drift
/// of the clock, about once an hour.
const MARKS: &[(&str, &str)] = &[
    ("systemd-timesyncd", "run/systemd/timesync/synchronized"),
    ("chrony", "var/lib/chrony/drift"),
    ("chrony", "var/lib/chrony/chrony.drift"),
    ("ntp", "var/lib/ntp/drift"),
    ("ntp", "var/lib/ntp/ntp.drift"),
    ("ntpsec", "var/lib/ntpsec/ntp.drift"),
];

/// Reads the state of the kernel's clock, and the times of these files.
pub struct ClockCollector;

impl Collect for ClockCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let error = clock::clock_error().context("reading the state of the kernel's clock")?;
        let synchronized = error < clock::CLOCK_LOST;
        sample.count("clock/synchronized", [], synchronized.into());
        sample.set("clock/max_error_seconds", [], error.as_secs_f64());
        let now = SystemTime::now();
        let mut latest = BTreeMap::new();
        for (daemon, path) in MARKS {
            let marked = fs::metadata(roots.of_node(path)).and_then(|file| file.modified());
            if let Ok(marked) = marked {
                // A file from the future counts as new: the clock was set back since.
                let age = now.duration_since(marked).unwrap_or_default();
                let latest = latest.entry(*daemon).or_insert(age);
                *latest = age.min(*latest);
            }
        }
        for (daemon, age) in latest {
            let labels = [Label::from(daemon)];
            sample.count("clock/seconds_since_sync", labels, age.as_secs());
        }
        Ok(())
    }
}
