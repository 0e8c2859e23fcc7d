//! An eBPF monitor's config file: the shape of NPD's log monitors, with `probe` for `pattern`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use serde::Deserialize;

use super::probe::{Probe, ProbeRule, ProbeSettings, Selector};
use super::probes::PROBES;
use crate::go::duration::GoDuration;
use crate::go::regex::compile;
use crate::monitor::{ConditionConfig, ConfigFile, Declaration};
use crate::problem::Problem;

/// A config file that can be run.
#[derive(Debug)]
pub(super) struct CheckedEbpfConfig {
    /// What it may report.
    pub(super) declaration: Declaration,
    /// Its knobs.
    pub(super) settings: ProbeSettings,
    /// Its rules and their probes, in the file's order.
    pub(super) rules: Vec<(&'static Probe, ProbeRule)>,
}

/// The file as written.
#[derive(Deserialize)]
struct EbpfConfig {
    #[serde(rename = "plugin")]
    _plugin: EbpfPluginName,
    #[serde(rename = "pluginConfig", default)]
    plugin_config: Knobs,
    #[serde(default)]
    source: String,
    #[serde(default)]
    conditions: Vec<ConditionConfig>,
    #[serde(default)]
    rules: Vec<ProbeRuleConfig>,
    #[serde(rename = "metricsReporting", default = "yes")]
    metrics_reporting: bool,
}

#[derive(Deserialize)]
enum EbpfPluginName {
    #[serde(rename = "ebpf")]
    Ebpf,
}

#[derive(Deserialize)]
#[serde(default)]
struct Knobs {
    #[serde(rename = "hungTaskThreshold")]
    hung_task_threshold: PositiveDuration,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            hung_task_threshold: PositiveDuration(Duration::from_secs(30)),
        }
    }
}

#[derive(Deserialize)]
struct ProbeRuleConfig {
    r#type: ProbeRuleType,
    #[serde(default)]
    condition: String,
    #[serde(default)]
    reason: String,
    probe: ProbeName,
    comm: Option<Comm>,
    #[serde(rename = "mountPoints", default)]
    mount_points: Vec<MountPoint>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
enum ProbeRuleType {
    #[serde(rename = "temporary")]
    Temporary,
    #[serde(rename = "permanent")]
    Permanent,
}

/// A Go duration over 0.
#[derive(Deserialize)]
#[serde(try_from = "GoDuration")]
struct PositiveDuration(Duration);

impl TryFrom<GoDuration> for PositiveDuration {
    type Error = &'static str;

    fn try_from(duration: GoDuration) -> Result<Self, Self::Error> {
        let positive = duration.to_std().filter(|duration| !duration.is_zero());
        positive.map(Self).ok_or("must be more than 0")
    }
}

/// The name of a probe.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct ProbeName(&'static Probe);

impl TryFrom<String> for ProbeName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let probe = PROBES.iter().find(|probe| probe.name == name);
        probe.map(Self).ok_or_else(|| {
            let known: Vec<_> = PROBES.iter().map(|probe| probe.name).collect();
            format!("there is no probe {name:?}, only {}", known.join(", "))
        })
    }
}

/// A regular expression for the names of tasks.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Comm(Regex);

impl TryFrom<String> for Comm {
    type Error = crate::go::regex::RegexError;

    fn try_from(pattern: String) -> Result<Self, Self::Error> {
        compile(&pattern).map(Self)
    }
}

/// A path whose file system is meant.
#[derive(Deserialize)]
#[serde(try_from = "PathBuf")]
struct MountPoint(PathBuf);

impl TryFrom<PathBuf> for MountPoint {
    type Error = &'static str;

    fn try_from(path: PathBuf) -> Result<Self, Self::Error> {
        if path.is_absolute() {
            Ok(Self(path))
        } else {
            Err("must be an absolute path")
        }
    }
}

fn yes() -> bool {
    true
}

/// Reads and checks a file.
pub(super) fn load(file: &ConfigFile) -> anyhow::Result<CheckedEbpfConfig> {
    let config: EbpfConfig = file.decode()?;
    for (index, rule) in config.rules.iter().enumerate() {
        let complain = |field: &str, message: String| {
            Err(file
                .error(&format!("rules[{index}].{field}"), message)
                .into())
        };
        let declared = config.conditions.iter().any(|c| c.r#type == rule.condition);
        if rule.r#type == ProbeRuleType::Permanent && !declared {
            let message = format!(
                "{:?} is not among the conditions of the file",
                rule.condition
            );
            return complain("condition", message);
        }
        let Probe {
            name, selectors, ..
        } = rule.probe.0;
        let given = [
            (Selector::Comm, rule.comm.is_some()),
            (Selector::MountPoints, !rule.mount_points.is_empty()),
        ];
        for (selector, given) in given {
            if given && !selectors.contains(&selector) {
                let (key, things) = selector.words();
                return complain(key, format!("the probe {name} is not about {things}"));
            }
        }
    }
    Ok(config.checked(&file.name))
}

impl EbpfConfig {
    fn checked(self, name: &Arc<str>) -> CheckedEbpfConfig {
        let source: Arc<str> = Arc::from(self.source);
        let metrics = self.metrics_reporting;
        let rules = self.rules.into_iter().enumerate();
        let rules: Vec<_> = rules
            .map(|(index, rule)| {
                let permanent = rule.r#type == ProbeRuleType::Permanent;
                let checked = ProbeRule {
                    monitor: Arc::clone(name),
                    source: Arc::clone(&source),
                    claimant: format!("rules[{index}]"),
                    problem: Arc::new(Problem {
                        reason: Arc::from(rule.reason),
                        condition: permanent.then(|| Arc::from(rule.condition)),
                        message_is_news: false,
                        metrics,
                    }),
                    comm: rule.comm.map(|comm| comm.0),
                    mount_points: rule.mount_points.into_iter().map(|path| path.0).collect(),
                };
                (rule.probe.0, checked)
            })
            .collect();
        let conditions = self.conditions.into_iter().map(ConditionConfig::healthy);
        CheckedEbpfConfig {
            declaration: Declaration {
                monitor: Arc::clone(name),
                source,
                conditions: conditions.collect(),
                problems: rules.iter().map(|(_, r)| Arc::clone(&r.problem)).collect(),
                publish_at_start: true,
            },
            settings: ProbeSettings {
                hung_task_threshold: self.plugin_config.hung_task_threshold.0,
            },
            rules,
        }
    }
}

#[cfg(test)]
mod tests;
