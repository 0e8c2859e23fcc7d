//! `--config.system-stats-monitor`: what the node does, as metrics with NPD's names, and
//! thresholds on them.
//!
//! A new collector is one file, one line in [`SECTIONS`] and one field of [`config::Config`].

pub mod metric;
pub mod store;

pub mod cgroup;
pub mod config;
pub mod cpu;
pub mod disk;
pub mod files;
pub mod hardware;
pub mod host;
pub mod kernel;
pub mod lane;
pub mod limits;
pub mod memory;
pub mod net;
pub mod os_feature;
pub mod pressure;
pub mod rule;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use self::config::{Config, SectionConfig};
use self::lane::Lane;
use self::metric::{Collect, Metric, Pass};
use self::rule::Rule;
use self::store::Store;
use super::{ConfigFile, Declaration, Kind, Monitor, Monitors, Task};
use crate::problem::{Finding, Forever, Witness};
use crate::reporter::Reporter;

/// The kind of monitor.
pub const KIND: Kind = Kind {
    flag: "config.system-stats-monitor",
    deprecated: None,
    help: "System stats: metrics of processors, memory, disks, network and kernel",
    load,
};

/// Makes a collector of its section (relative paths start at the folder), or names the field that
/// is wrong and says why.
type Build = fn(&SectionConfig, Option<&Path>) -> Result<Box<dyn Collect>, (&'static str, String)>;

/// A part of the config file, and who collects it.
struct Section {
    /// Its key in the file.
    name: &'static str,
    metrics: &'static [Metric],
    config: fn(&Config) -> &SectionConfig,
    build: Build,
    /// Whether it asks file systems, and so may hang for as long as they do.
    may_block: bool,
}

/// Every section, in the order of collection.
const SECTIONS: &[Section] = &[
    section(
        "cpu",
        cpu::METRICS,
        |config| &config.cpu,
        |_, _| Ok(Box::<cpu::Cpu>::default()),
    ),
    Section {
        may_block: true,
        ..section(
            "disk",
            disk::METRICS,
            |config| &config.disk,
            |config, _| Ok(disk::new(config)),
        )
    },
    section(
        "host",
        host::METRICS,
        |config| &config.host,
        |_, _| Ok(Box::<host::Host>::default()),
    ),
    section(
        "memory",
        memory::METRICS,
        |config| &config.memory,
        |_, _| Ok(Box::new(memory::Memory)),
    ),
    section(
        "osFeature",
        os_feature::METRICS,
        |config| &config.os_feature,
        |config, dir| Ok(os_feature::new(config, dir)),
    ),
    section("net", net::METRICS, |config| &config.net, net::new),
    section(
        "pressure",
        pressure::METRICS,
        |config| &config.pressure,
        |_, _| Ok(Box::new(pressure::Pressure)),
    ),
    section(
        "kernel",
        kernel::METRICS,
        |config| &config.kernel,
        |_, _| Ok(Box::new(kernel::Kernel)),
    ),
    section(
        "limits",
        limits::METRICS,
        |config| &config.limits,
        |_, _| Ok(Box::new(limits::Limits)),
    ),
    section(
        "cgroup",
        cgroup::METRICS,
        |config| &config.cgroup,
        |_, _| Ok(Box::new(cgroup::Cgroup)),
    ),
    section(
        "hardware",
        hardware::METRICS,
        |config| &config.hardware,
        |_, _| Ok(Box::new(hardware::Hardware)),
    ),
];

const fn section(
    name: &'static str,
    metrics: &'static [Metric],
    config: fn(&Config) -> &SectionConfig,
    build: Build,
) -> Section {
    Section {
        name,
        metrics,
        config,
        build,
        may_block: false,
    }
}

/// One config file at work.
pub struct StatsMonitor {
    name: String,
    interval: Duration,
    /// Where to read instead of the node's `/proc` (`procPath`).
    proc: Option<PathBuf>,
    declaration: Declaration,
    file: Arc<str>,
    store: Store,
    lanes: Vec<Lane>,
    rules: Vec<Rule>,
}

/// Checks the files. They share one store, because two of them may export one metric.
fn load(files: &[ConfigFile]) -> anyhow::Result<Monitors> {
    let store = Store::default();
    let load = |file| Ok(Box::new(config::load(file, &store)?) as Box<dyn Monitor>);
    files.iter().map(load).collect()
}

impl Monitor for StatsMonitor {
    fn name(&self) -> &str {
        &self.name
    }

    fn declarations(&self) -> Vec<Declaration> {
        vec![self.declaration.clone()]
    }

    fn run<'a>(&'a mut self, reporter: &'a Reporter) -> Task<'a> {
        Box::pin(self.watch(reporter))
    }
}

impl StatsMonitor {
    async fn watch(&mut self, reporter: &Reporter) -> Forever {
        self.store.register(&reporter.metrics.registry)?;
        let mut roots = reporter.node.roots.clone();
        roots.proc = self.proc.clone().unwrap_or(roots.proc);
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for lane in self.lanes.iter_mut().filter(|lane| lane.section.may_block) {
                lane.start(&roots);
            }
            for index in 0..self.lanes.len() {
                let lane = &mut self.lanes[index];
                let Some(pass) = lane.collect(&roots).await else {
                    continue;
                };
                let findings = self.evaluate(&pass);
                self.lanes[index].publish(pass, &self.store);
                for finding in findings {
                    reporter.found(finding).await?;
                }
            }
        }
    }

    /// Holds a section's pass against the rules.
    fn evaluate(&mut self, pass: &Pass) -> Vec<Finding> {
        let now = Instant::now();
        let mut findings = Vec::new();
        for (index, rule) in self.rules.iter_mut().enumerate() {
            let Some(series) = pass.series(rule.metric.id) else {
                continue;
            };
            let changes = rule.evaluate(series, now);
            findings.extend(changes.into_iter().map(|change| Finding {
                monitor: Arc::clone(&self.file),
                source: Arc::clone(&self.declaration.source),
                problem: Arc::clone(&rule.problem),
                present: change.present,
                timestamp: Timestamp::now(),
                message: change.message,
                claimant: format!("rule {index} {}", change.series),
                subject: None,
                witness: Witness::Other,
                pod: None,
            }));
        }
        findings
    }
}
