//! The config file: as it is written, and what it means once it is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use tracing::warn;

use super::collector_task::CollectorTask;
use super::exported::{Names, exported_name};
use super::metric::{Metric, Want, WantedMetrics};
use super::rule::{StatsRule, StatsRuleConfig};
use super::{SECTIONS, Section, StatsMonitor};
use crate::go::duration::GoDuration;
use crate::go::json::ConfigError;
use crate::monitor::{ConditionConfig, ConfigFile, Declaration};

/// NPD's.
const DEFAULT_INTERVAL: GoDuration = GoDuration::from_secs(60);

/// As written. The fields up to `net` are NPD's; further sections, `source`, `conditions` and
/// `rules` are ours, and NPD ignores them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatsConfig {
    #[serde(rename = "invokeInterval")]
    invoke_interval: Option<GoDuration>,
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
    source: String,
    conditions: Vec<ConditionConfig>,
    rules: Vec<StatsRuleConfig>,
}

/// A section. Each understands the options that are its own.
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
    /// `disk`: NPD's limit for a command that is not run here. A bad one is an error all the same.
    #[serde(rename = "lsblkTimeout")]
    lsblk_timeout: Option<GoDuration>,
    /// `osFeature`: the file that lists the modules known to be harmless.
    #[serde(rename = "knownModulesConfigPath")]
    pub known_modules_config_path: PathBuf,
    /// `net`: interfaces to leave out.
    #[serde(rename = "excludeInterfaceRegexp")]
    pub exclude_interface_regexp: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct MetricConfig {
    #[serde(rename = "displayName")]
    display_name: String,
}

/// Checks a file. `names` holds what the files before it export.
pub fn load(file: &ConfigFile, names: &mut Names) -> Result<StatsMonitor, ConfigError> {
    let config = file.decode::<StatsConfig>()?;
    let own = Names::new();
    Checker { file, names, own }.check(config)
}

struct Checker<'a> {
    file: &'a ConfigFile,
    names: &'a mut Names,
    /// Those that this file adds.
    own: Names,
}

impl Checker<'_> {
    fn check(mut self, config: StatsConfig) -> Result<StatsMonitor, ConfigError> {
        let interval = config.invoke_interval.unwrap_or(DEFAULT_INTERVAL);
        let Some(period) = interval.to_std().filter(|period| !period.is_zero()) else {
            let message = format!("{interval} is not over 0");
            return Err(self.file.error("invokeInterval", message));
        };
        if let Some(patience) = config.disk.lsblk_timeout {
            let accepted = patience.to_std();
            if accepted.is_none_or(|patience| patience.is_zero() || patience > period) {
                let message = format!("{patience} is not over 0 and at most invokeInterval");
                return Err(self.file.error("disk.lsblkTimeout", message));
            }
        }
        let source = Arc::from(match &*config.source {
            "" => "system-stats-monitor",
            source => source,
        });
        let conditions: Vec<_> = config
            .conditions
            .iter()
            .map(|written| written.clone().healthy())
            .collect();
        let mut rules = Vec::new();
        for (index, written) in config.rules.iter().enumerate() {
            let rule = written.check(&conditions);
            rules.push(rule.map_err(|(field, message)| {
                self.file.error(&format!("rules[{index}].{field}"), message)
            })?);
        }
        let mut collectors = Vec::new();
        for section in SECTIONS {
            collectors.extend(self.collector(section, (section.config)(&config), &rules)?);
        }
        self.warn_of_unknown(&config);
        self.names.append(&mut self.own.clone());
        let problems = rules.iter().map(|rule| Arc::clone(&rule.problem)).collect();
        Ok(StatsMonitor {
            name: format!("system-stats {}", self.file.name),
            file: Arc::clone(&self.file.name),
            interval: period,
            proc: Some(config.proc_path).filter(|path| !path.as_os_str().is_empty()),
            declaration: Declaration {
                monitor: Arc::clone(&self.file.name),
                source,
                conditions,
                problems,
                publish_at_start: true,
            },
            names: self.own,
            reserved: false,
            collectors,
            rules,
        })
    }

    /// A collector, if something of it is wanted.
    fn collector(
        &mut self,
        section: &'static Section,
        written: &SectionConfig,
        rules: &[StatsRule],
    ) -> Result<Option<CollectorTask>, ConfigError> {
        let field = |field: &str| format!("{}.{field}", section.name);
        let mut wanted = WantedMetrics::new();
        for (id, MetricConfig { display_name }) in &written.metrics_configs {
            let key = field(&format!("metricsConfigs.{id}"));
            let metric = section.metrics.iter().find(|metric| metric.id == id);
            let Some(metric) = metric.filter(|_| !display_name.is_empty()) else {
                continue;
            };
            let name = exported_name(display_name);
            self.declare(&name, metric)
                .map_err(|message| self.file.error(&key, message))?;
            let name = Some(name);
            wanted.insert(metric.id, Want { metric, name });
        }
        for metric in section.metrics {
            if rules.iter().any(|rule| rule.metric.id == metric.id) {
                let name = None;
                wanted.entry(metric.id).or_insert(Want { metric, name });
            }
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        let collector = (section.build)(written, self.file.dir.as_deref())
            .map_err(|(option, message)| self.file.error(&field(option), message))?;
        Ok(Some(CollectorTask::new(section.name, wanted, collector)))
    }

    fn warn_of_unknown(&self, config: &StatsConfig) {
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
            let file = &*self.file.name;
            warn!(file, key, "Unknown metric in config file");
        }
    }

    /// Takes a name for a metric. Two config files may export the same metric under one name.
    fn declare(&mut self, name: &str, metric: &'static Metric) -> Result<(), String> {
        match self.names.get(name).or_else(|| self.own.get(name)) {
            Some(known) if known.id != metric.id => {
                Err(format!("{name} is the exported name of {}", known.id))
            }
            Some(_) => Ok(()),
            None => {
                self.own.insert(name.to_owned(), metric);
                Ok(())
            }
        }
    }
}
