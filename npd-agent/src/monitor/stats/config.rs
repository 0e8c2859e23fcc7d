//! The config file: as it is written, and after it was checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use serde::Deserialize;

use super::collector_task::CollectorTask;
use super::exported::{NamedMetric, Names, exported_name};
use super::metric::{Metric, WantedMetric, WantedMetrics};
use super::rule::{StatsRule, StatsRuleConfig};
use super::{SECTIONS, Section, StatsMonitor};
use crate::go::duration::{DurationError, GoDuration};
use crate::go::json::ConfigProblem;
use crate::go::regex::{RegexError, compile};
use crate::monitor::config_file::{ConditionConfig, Lenient};
use crate::monitor::{ConfigFile, Declaration, FileCheck};
use crate::problem::Healthy;
use crate::threads::ThreadPool;

/// The metrics of problems. NPD refuses a file that exports another under such a name.
const NAMES_OF_NPD: &[&str] = &["problem_counter", "problem_gauge"];

/// How the names of all other metrics of the agent begin. NPD has none like that.
const OUR_NAMES: &str = "npd_";

const DEFAULT_SOURCE: &str = "system-stats-monitor";

/// NPD's.
const DEFAULT_INTERVAL: GoDuration = GoDuration::from_secs(60);

/// As written. The fields up to `net` are NPD's; further sections, `source`, `conditions` and
/// `rules` are ours, and NPD ignores them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatsConfig {
    #[serde(rename = "invokeInterval")]
    invoke_interval: MaybeDuration,
    #[serde(rename = "procPath")]
    proc_path: PathBuf,
    pub(super) cpu: SectionConfig,
    pub(super) disk: SectionConfig,
    pub(super) host: SectionConfig,
    pub(super) memory: SectionConfig,
    #[serde(rename = "osFeature")]
    pub(super) os_feature: SectionConfig,
    pub(super) net: SectionConfig,
    pub(super) pressure: SectionConfig,
    pub(super) kernel: SectionConfig,
    pub(super) limits: SectionConfig,
    pub(super) cgroup: SectionConfig,
    pub(super) hardware: SectionConfig,
    pub(super) clock: SectionConfig,
    pub(super) links: SectionConfig,
    source: Lenient<String>,
    conditions: Lenient<Vec<ConditionConfig>>,
    rules: Lenient<Vec<Lenient<StatsRuleConfig>>>,
}

/// A section. Each option has an effect only in its own section.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SectionConfig {
    #[serde(rename = "metricsConfigs")]
    metrics_configs: BTreeMap<String, MetricConfig>,
    /// `disk`: show whole disks.
    #[serde(rename = "includeRootBlk")]
    pub include_root_blk: bool,
    /// `disk`: show the devices of mounted file systems.
    #[serde(rename = "includeAllAttachedBlk")]
    pub include_all_attached_blk: bool,
    /// `disk`: NPD's limit for a command that the agent does not run. An invalid value is an error
    /// nevertheless.
    #[serde(rename = "lsblkTimeout")]
    lsblk_timeout: MaybeDuration,
    /// `osFeature`: the file that lists the modules known to be harmless.
    #[serde(rename = "knownModulesConfigPath")]
    pub known_modules_config_path: PathBuf,
    /// `net`: interfaces to leave out.
    #[serde(rename = "excludeInterfaceRegexp")]
    pub exclude_interface_regexp: InterfaceRegexp,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct MetricConfig {
    #[serde(rename = "displayName")]
    display_name: String,
}

/// Which interfaces are left out; none if it is empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct InterfaceRegexp(pub Option<Regex>);

impl TryFrom<String> for InterfaceRegexp {
    type Error = RegexError;

    fn try_from(pattern: String) -> Result<Self, Self::Error> {
        if pattern.is_empty() {
            return Ok(Self(None));
        }
        compile(&pattern).map(|compiled| Self(Some(compiled)))
    }
}

/// A Go duration, where NPD takes an empty text for none.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
struct MaybeDuration(Option<GoDuration>);

impl TryFrom<String> for MaybeDuration {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|duration| Self(Some(duration)))
    }
}

/// Checks a file. `names` holds what the files before it export.
pub fn load(
    file: &ConfigFile,
    problems: &mut Vec<ConfigProblem>,
    names: &mut Names,
) -> Result<StatsMonitor, ConfigProblem> {
    let check = FileCheck::new(file, problems);
    let own = Names::new();
    Checker { check, names, own }.load()
}

struct Checker<'a> {
    check: FileCheck<'a>,
    names: &'a mut Names,
    /// Those that this file adds.
    own: Names,
}

impl Checker<'_> {
    fn load(mut self) -> Result<StatsMonitor, ConfigProblem> {
        let mut config: StatsConfig = self.check.decode()?;
        let period = self.interval(&config)?;
        let source = std::mem::take(&mut config.source).take(&mut self.check, "source");
        let source = source.filter(|source| !source.is_empty());
        let written = std::mem::take(&mut config.conditions).take(&mut self.check, "conditions");
        let conditions = self.check.conditions(written.unwrap_or_default());
        let rules = self.rules(std::mem::take(&mut config.rules), &conditions);
        let mut collectors = Vec::new();
        for section in SECTIONS {
            collectors.extend(self.collector(section, (section.config)(&config), &rules)?);
        }
        self.note_unknown(&config);
        if collectors.is_empty() {
            self.check
                .note("", "no metric is asked for; nothing is collected");
        }
        self.names.append(&mut self.own.clone());
        let detectors = rules.iter().enumerate().map(|(index, rule)| {
            let condition = rule.problem.condition.clone();
            (StatsRule::name(index), condition)
        });
        let detectors = Declaration::detectors(&conditions, detectors);
        let file = &self.check.file.name;
        let problems = rules.iter().map(|rule| Arc::clone(&rule.problem)).collect();
        Ok(StatsMonitor {
            name: format!("system-stats {file}"),
            file: Arc::clone(file),
            interval: period,
            proc: Some(config.proc_path).filter(|path| !path.as_os_str().is_empty()),
            declaration: Declaration {
                monitor: Arc::clone(file),
                source: Arc::from(source.as_deref().unwrap_or(DEFAULT_SOURCE)),
                conditions,
                problems,
                detectors,
                gauges_all: false,
            },
            names: self.own,
            reserved: false,
            threads: ThreadPool::new("stats", collectors.len()),
            collectors,
            rules,
        })
    }

    fn interval(&self, config: &StatsConfig) -> Result<Duration, ConfigProblem> {
        let interval = config.invoke_interval.0.unwrap_or(DEFAULT_INTERVAL);
        let Some(period) = interval.to_std().filter(|period| !period.is_zero()) else {
            let message = format!("{interval} is not over 0");
            return Err(self.check.error("invokeInterval", message));
        };
        if let Some(patience) = config.disk.lsblk_timeout.0 {
            let accepted = patience.to_std();
            if accepted.is_none_or(|patience| patience.is_zero() || patience > period) {
                let message = format!("{patience} is not over 0 and at most invokeInterval");
                return Err(self.check.error("disk.lsblkTimeout", message));
            }
        }
        Ok(period)
    }

    fn rules(
        &mut self,
        written: Lenient<Vec<Lenient<StatsRuleConfig>>>,
        conditions: &[Healthy],
    ) -> Vec<StatsRule> {
        let written = written.take(&mut self.check, "rules").unwrap_or_default();
        let rules = written.into_iter().enumerate().filter_map(|(index, rule)| {
            let rule = rule.take(&mut self.check, &format!("rules[{index}]"))?;
            rule.checked(&mut self.check, index, conditions)
        });
        rules.collect()
    }

    /// A collector, if at least one of its metrics is wanted.
    fn collector(
        &mut self,
        section: &'static Section,
        written: &SectionConfig,
        rules: &[StatsRule],
    ) -> Result<Option<CollectorTask>, ConfigProblem> {
        let field = |field: &str| format!("{}.{field}", section.name);
        let mut wanted = WantedMetrics::new();
        for (id, MetricConfig { display_name }) in &written.metrics_configs {
            let Some(metric) = section.metrics.iter().find(|metric| metric.id == id) else {
                continue;
            };
            let key = field(&format!("metricsConfigs.{id}"));
            if display_name.is_empty() {
                self.check.note(
                    &key,
                    "its displayName is missing; the metric is not exported",
                );
                continue;
            }
            self.check_display_name(&key, display_name)?;
            let name = if display_name == id {
                metric.name.to_owned()
            } else {
                exported_name(display_name)
            };
            if self.declare(&key, &name, display_name, metric)? {
                let name = Some(name);
                wanted.insert(metric.id, WantedMetric { metric, name });
            }
        }
        for metric in section.metrics {
            if rules.iter().any(|rule| rule.metric.id == metric.id) {
                let name = None;
                wanted
                    .entry(metric.id)
                    .or_insert(WantedMetric { metric, name });
            }
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        let collector = (section.build)(written, self.check.file.dir.as_deref());
        Ok(Some(CollectorTask::new(section.name, wanted, collector)))
    }

    fn note_unknown(&mut self, config: &StatsConfig) {
        let mut unknown = BTreeSet::new();
        let key = |section: &str, id: &str| format!("{section}.metricsConfigs.{id}");
        for section in SECTIONS {
            let written = (section.config)(config).metrics_configs.keys();
            unknown.extend(written.map(|id| key(section.name, id)));
        }
        for section in SECTIONS {
            for metric in section.metrics {
                unknown.remove(&key(section.name, metric.id));
            }
        }
        for key in unknown {
            self.check.note(&key, "is not a metric; it has no effect");
        }
    }

    /// What NPD's metrics library refuses.
    fn check_display_name(&self, key: &str, display_name: &str) -> Result<(), ConfigProblem> {
        let is_printable = |c: char| matches!(c, ' '..='~');
        if display_name.len() > 255 || !display_name.chars().all(is_printable) {
            let message = "its displayName is longer than 255 characters, or not printable ASCII";
            return Err(self.check.error(key, message));
        }
        Ok(())
    }

    /// Reserves a name for a metric. Returns whether the metric can be exported under it. Two config
    /// files may export the same metric under one name. NPD refuses another metric of the same `displayName`, but not
    /// of one that only becomes the same name.
    fn declare(
        &mut self,
        key: &str,
        name: &str,
        display_name: &str,
        metric: &'static Metric,
    ) -> Result<bool, ConfigProblem> {
        let known = self.names.get(name).or_else(|| self.own.get(name));
        let taken = match known {
            Some(known) if known.metric.id == metric.id => return Ok(true),
            Some(known) => {
                let message = format!("{name} is the exported name of {}", known.metric.id);
                Some((message, known.display_name == display_name))
            }
            None if NAMES_OF_NPD.contains(&name) => {
                let message = format!("{name} is the name of another metric");
                Some((message, name == display_name))
            }
            None => None,
        };
        if let Some((message, is_refused)) = taken {
            if is_refused {
                return Err(self.check.error(key, message));
            }
            self.check
                .note(key, format!("{message}; it is not exported"));
            return Ok(false);
        }
        if name.starts_with(OUR_NAMES) {
            let message = format!("names with {OUR_NAMES} are the agent's own; it is not exported");
            self.check.note(key, message);
            return Ok(false);
        }
        let named = NamedMetric {
            metric,
            display_name: display_name.to_owned(),
        };
        self.own.insert(name.to_owned(), named);
        Ok(true)
    }
}
