//! `--config.system-stats-monitor`: metrics of the node with NPD's names, and thresholds on them.
//!
//! A new collector is one file, one line in [`SECTIONS`] and one field of [`config::StatsConfig`].

pub mod metric;

pub mod bound;
pub mod collector_task;
pub mod config;
pub mod exported;
pub mod mounts;
pub mod rule;

pub mod bonding;
pub mod carrier;
pub mod cgroup;
pub mod clock;
pub mod cpu;
pub mod disk;
pub mod filesystem;
pub mod hardware;
pub mod host;
pub mod infiniband;
pub mod kernel;
pub mod limits;
pub mod md;
pub mod memory;
pub mod net;
pub mod os_feature;
pub mod pci;
pub mod pressure;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use self::collector_task::CollectorTask;
use self::config::{SectionConfig, StatsConfig};
use self::exported::Names;
use self::metric::{Collect, Metric, Sample};
use self::rule::{FirstResult, StatsRule};
use super::{ConfigFile, Declaration, Monitor, MonitorKind, Monitors, Task};
use crate::go::json::ConfigProblem;
use crate::problem::{FaultyObject, Finding, Forever, Witness};
use crate::reporter::Reporter;
use crate::threads::ThreadPool;

/// The kind of monitor.
pub const KIND: MonitorKind = MonitorKind {
    flag: "--config.system-stats-monitor",
    deprecated: None,
    help: "System stats: metrics of processors, memory, disks, network and kernel",
    load,
};

/// Makes a collector of its section. Relative paths start at the folder.
type Build = fn(&SectionConfig, Option<&Path>) -> Box<dyn Collect>;

/// A section of the config file, and its collector. A section may have several collectors.
struct Section {
    /// Its key in the file.
    name: &'static str,
    metrics: &'static [Metric],
    config: fn(&StatsConfig) -> &SectionConfig,
    build: Build,
}

/// Every collector, in the order of collection. Those that may have to wait come last.
const SECTIONS: &[Section] = &[
    Section {
        name: "cpu",
        metrics: cpu::METRICS,
        config: |config| &config.cpu,
        build: |_, _| Box::<cpu::CpuCollector>::default(),
    },
    Section {
        name: "disk",
        metrics: disk::METRICS,
        config: |config| &config.disk,
        build: |config, _| disk::new(config),
    },
    Section {
        name: "host",
        metrics: host::METRICS,
        config: |config| &config.host,
        build: |_, _| Box::<host::HostCollector>::default(),
    },
    Section {
        name: "memory",
        metrics: memory::METRICS,
        config: |config| &config.memory,
        build: |_, _| Box::new(memory::MemoryCollector),
    },
    Section {
        name: "osFeature",
        metrics: os_feature::METRICS,
        config: |config| &config.os_feature,
        build: |config, folder| os_feature::new(config, folder),
    },
    Section {
        name: "net",
        metrics: net::METRICS,
        config: |config| &config.net,
        build: |config, _| net::new(config),
    },
    Section {
        name: "pressure",
        metrics: pressure::METRICS,
        config: |config| &config.pressure,
        build: |_, _| Box::new(pressure::PressureCollector),
    },
    Section {
        name: "kernel",
        metrics: kernel::METRICS,
        config: |config| &config.kernel,
        build: |_, _| Box::new(kernel::KernelCollector),
    },
    Section {
        name: "limits",
        metrics: limits::METRICS,
        config: |config| &config.limits,
        build: |_, _| Box::new(limits::LimitsCollector),
    },
    Section {
        name: "cgroup",
        metrics: cgroup::METRICS,
        config: |config| &config.cgroup,
        build: |_, _| Box::<cgroup::CgroupCollector>::default(),
    },
    Section {
        name: "hardware",
        metrics: hardware::METRICS,
        config: |config| &config.hardware,
        build: |_, _| Box::new(hardware::HardwareCollector),
    },
    Section {
        name: "hardware",
        metrics: md::METRICS,
        config: |config| &config.hardware,
        build: |_, _| Box::new(md::MdCollector),
    },
    Section {
        name: "links",
        metrics: infiniband::METRICS,
        config: |config| &config.links,
        build: |_, _| Box::new(infiniband::InfinibandCollector),
    },
    Section {
        name: "links",
        metrics: carrier::METRICS,
        config: |config| &config.links,
        build: |_, _| Box::new(carrier::CarrierCollector),
    },
    Section {
        name: "links",
        metrics: bonding::METRICS,
        config: |config| &config.links,
        build: |_, _| Box::new(bonding::BondingCollector),
    },
    Section {
        name: "links",
        metrics: pci::METRICS,
        config: |config| &config.links,
        build: |_, _| Box::<pci::PciCollector>::default(),
    },
    Section {
        name: "clock",
        metrics: clock::METRICS,
        config: |config| &config.clock,
        build: |_, _| Box::new(clock::ClockCollector),
    },
    Section {
        name: "disk",
        metrics: filesystem::METRICS,
        config: |config| &config.disk,
        build: |_, _| Box::<filesystem::FilesystemCollector>::default(),
    },
];

/// The monitor of one config file.
pub struct StatsMonitor {
    name: String,
    interval: Duration,
    /// The folder to read instead of the node's `/proc` (`procPath`).
    proc: Option<PathBuf>,
    declaration: Declaration,
    file: Arc<str>,
    /// The names that this file exports and no earlier file does.
    names: Names,
    reserved: bool,
    collectors: Vec<CollectorTask>,
    /// One for each collector, if all hang.
    threads: ThreadPool,
    rules: Vec<StatsRule>,
}

/// Checks the files. Several files may export the same metric with the same name.
fn load(files: &[ConfigFile], problems: &mut Vec<ConfigProblem>) -> anyhow::Result<Monitors> {
    let mut names = Names::new();
    let load = |file| Ok(Box::new(config::load(file, problems, &mut names)?) as Box<dyn Monitor>);
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
        if !self.reserved {
            exported::reserve(&self.names, &reporter.metrics.registry)?;
            self.reserved = true;
        }
        let mut roots = reporter.node.roots.clone();
        roots.proc = self.proc.clone().unwrap_or(roots.proc);
        let mut states: Vec<Option<Result<(), String>>> = vec![None; self.collectors.len()];
        let mut checked = vec![false; self.rules.len()];
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for (index, state) in states.iter_mut().enumerate() {
                let collector = &mut self.collectors[index];
                let error = match collector.collect(&roots, &self.threads).await {
                    Ok(sample) => {
                        exported::publish(&sample, &collector.wanted, &reporter.metrics.rendered);
                        for finding in self.evaluate(&sample) {
                            reporter.found(finding).await?;
                        }
                        for rule in self.first_results(&mut checked) {
                            reporter.checked(&self.file, &rule).await?;
                        }
                        sample.error
                    }
                    Err(error) => Some(error),
                };
                let new = error.map_or(Ok(()), |error| Err(format!("{error:#}")));
                if state.as_ref() != Some(&new) {
                    self.report_state(self.collectors[index].section, &new, reporter);
                    *state = Some(new);
                }
            }
        }
    }

    /// The rules that have a first result, and are not yet among those that have `checked`.
    fn first_results(&self, checked: &mut [bool]) -> Vec<Arc<str>> {
        let rules = self.rules.iter().enumerate().zip(checked);
        let news = rules.filter_map(|((index, rule), checked)| {
            let reached = rule.first_result == FirstResult::Reached;
            let news = reached && !std::mem::replace(checked, reached);
            news.then(|| StatsRule::name(index))
        });
        news.collect()
    }

    /// Reports that a section can or cannot be collected. Called when this changes.
    fn report_state(&self, section: &str, state: &Result<(), String>, reporter: &Reporter) {
        let source = format!("{} {section}", self.file);
        match state {
            Ok(()) => reporter.source_up(&source, false),
            Err(error) => {
                warn!(source, error, "Some system stats cannot be collected");
                reporter.source_down(&source, false, error.clone());
            }
        }
    }

    /// Applies the rules to a sample.
    fn evaluate(&mut self, sample: &Sample) -> Vec<Finding> {
        let (now, timestamp) = (Instant::now(), Timestamp::now());
        let mut findings = Vec::new();
        for (index, rule) in self.rules.iter_mut().enumerate() {
            let changes = rule.evaluate(sample, now);
            let reason = &*rule.problem.reason;
            let thing = rule.metric.thing.as_ref();
            let log_reasons = thing.map_or(&[][..], |thing| thing.log_reasons);
            let log_reasons = if log_reasons.contains(&reason) {
                log_reasons
            } else {
                &[]
            };
            findings.extend(changes.into_iter().map(|change| Finding {
                monitor: Arc::clone(&self.file),
                source: Arc::clone(&self.declaration.source),
                problem: Arc::clone(&rule.problem),
                present: change.present,
                timestamp,
                message: change.message,
                claimant: format!("{} {}", StatsRule::name(index), change.series),
                subject: change.object.as_ref().map(FaultyObject::subject),
                witness: Witness::State {
                    since: ago(timestamp, change.fine.map(|fine| now.duration_since(fine))),
                    log_reasons,
                },
                object: change.object,
                repeated: false,
                pod: None,
                occurrence: None,
            }));
        }
        findings
    }
}

/// The moment before `now` by this; the earliest one if it is not known.
fn ago(now: Timestamp, by: Option<Duration>) -> Timestamp {
    let then = by.and_then(|by| now.checked_sub(by).ok());
    then.unwrap_or(Timestamp::MIN)
}
