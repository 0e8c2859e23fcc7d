//! The config file: as it is written, and what it means once it is checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tracing::warn;

use super::lane::Lane;
use super::metric::{Wanted, exported_name};
use super::rule::{Rule, RuleConfig};
use super::store::Store;
use super::{SECTIONS, Section, StatsMonitor};
use crate::go::duration::GoDuration;
use crate::go::json::ConfigError;
use crate::monitor::{ConditionConfig, ConfigFile, Declaration};

/// NPD's.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);

/// As written. The fields up to `net` are NPD's; further sections, `source`, `conditions` and
/// `rules` are ours, and NPD ignores them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Config {
    invoke_interval: Option<GoDuration>,
    proc_path: Option<PathBuf>,
    pub(super) cpu: SectionConfig,
    pub(super) disk: SectionConfig,
    pub(super) host: SectionConfig,
    pub(super) memory: SectionConfig,
    pub(super) os_feature: SectionConfig,
    pub(super) net: SectionConfig,
    pub(super) pressure: SectionConfig,
    pub(super) kernel: SectionConfig,
    pub(super) limits: SectionConfig,
    pub(super) cgroup: SectionConfig,
    pub(super) hardware: SectionConfig,
    source: String,
    conditions: Vec<ConditionConfig>,
    rules: Vec<RuleConfig>,
}

/// A section. Each understands the options that are its own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SectionConfig {
    metrics_configs: BTreeMap<String, MetricConfig>,
    /// `disk`: show whole disks.
    pub include_root_blk: bool,
    /// `disk`: show the devices of mounted file systems.
    pub include_all_attached_blk: bool,
    /// `disk`: NPD's limit for a command that is not run here. A bad one is an error all the same.
    #[serde(rename = "lsblkTimeout")]
    _lsblk_timeout: Option<GoDuration>,
    /// `osFeature`: the file that lists the modules known to be harmless.
    pub known_modules_config_path: Option<PathBuf>,
    /// `net`: interfaces to leave out.
    pub exclude_interface_regexp: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MetricConfig {
    display_name: String,
}

/// Checks a file. The metrics that it exports are declared in `store`.
pub fn load(file: &ConfigFile, store: &Store) -> Result<StatsMonitor, ConfigError> {
    let config = file.decode::<Config>()?;
    Checker { file, store }.check(config)
}

struct Checker<'a> {
    file: &'a ConfigFile,
    store: &'a Store,
}

impl Checker<'_> {
    fn check(&self, config: Config) -> Result<StatsMonitor, ConfigError> {
        let interval = match config.invoke_interval {
            None => DEFAULT_INTERVAL,
            Some(interval) => match interval.to_std() {
                Some(interval) if !interval.is_zero() => interval,
                _ => {
                    return Err(self
                        .file
                        .error("invokeInterval", format!("{interval} is not over 0")));
                }
            },
        };
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
        let mut lanes = Vec::new();
        for section in SECTIONS {
            lanes.extend(self.lane(section, (section.config)(&config), &rules)?);
        }
        let problems = rules.iter().map(|rule| Arc::clone(&rule.problem)).collect();
        Ok(StatsMonitor {
            name: format!("system-stats {}", self.file.name),
            file: Arc::clone(&self.file.name),
            interval,
            proc: config.proc_path,
            declaration: Declaration {
                monitor: Arc::clone(&self.file.name),
                source,
                conditions,
                problems,
                publish_at_start: true,
            },
            store: self.store.clone(),
            lanes,
            rules,
        })
    }

    /// A section's collector, if something of it is wanted.
    fn lane(
        &self,
        section: &'static Section,
        written: &SectionConfig,
        rules: &[Rule],
    ) -> Result<Option<Lane>, ConfigError> {
        let field = |field: &str| format!("{}.{field}", section.name);
        let mut wanted = Wanted::new();
        for (id, MetricConfig { display_name }) in &written.metrics_configs {
            let key = field(&format!("metricsConfigs.{id}"));
            let Some(metric) = section.metrics.iter().find(|metric| metric.id == id) else {
                warn!(
                    file = &*self.file.name,
                    key, "Unknown metric in config file"
                );
                continue;
            };
            if display_name.is_empty() {
                continue;
            }
            let name = exported_name(display_name);
            self.store
                .declare(&name, metric)
                .map_err(|error| self.file.error(&key, error))?;
            wanted.insert(metric.id, Some(name));
        }
        for metric in section.metrics {
            if rules.iter().any(|rule| rule.metric.id == metric.id) {
                wanted.entry(metric.id).or_insert(None);
            }
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        let collector = (section.build)(written, self.file.dir.as_deref())
            .map_err(|(option, message)| self.file.error(&field(option), message))?;
        Ok(Some(Lane::new(section, wanted, collector)))
    }
}
