//! An eBPF monitor's config file: like NPD's for log monitors, with `probe` instead of `pattern`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use serde::Deserialize;

use super::probe::{Probe, ProbeRule, ProbeSettings, Selector};
use super::probes::PROBES;
use crate::go::json::ConfigProblem;
use crate::go::regex::compile;
use crate::monitor::config_file::{ConditionConfig, Lenient, Positive, RuleHead};
use crate::monitor::{ConfigFile, Declaration, FileCheck};

/// A config file that can be run.
#[derive(Debug)]
pub(super) struct CheckedEbpfConfig {
    /// What it may report.
    pub(super) declaration: Declaration,
    /// Its `pluginConfig`.
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
    plugin_config: EbpfSettings,
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
#[serde(expecting = "ebpf")]
enum EbpfPluginName {
    #[serde(rename = "ebpf")]
    Ebpf,
}

#[derive(Deserialize)]
#[serde(default)]
struct EbpfSettings {
    #[serde(rename = "hungTaskThreshold")]
    hung_task_threshold: Positive,
}

impl Default for EbpfSettings {
    fn default() -> Self {
        Self {
            hung_task_threshold: Positive(Duration::from_secs(30)),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProbeRuleConfig {
    r#type: String,
    condition: String,
    reason: String,
    probe: String,
    comm: Option<Comm>,
    #[serde(rename = "mountPoints")]
    mount_points: Vec<MountPoint>,
    #[serde(rename = "dryRun")]
    dry_run: Lenient<bool>,
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

/// A path. The rule is about the file system of this path.
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

/// Reads and checks a file. A rule with a mistake has no effect; the other rules work.
pub(super) fn load(
    file: &ConfigFile,
    problems: &mut Vec<ConfigProblem>,
) -> anyhow::Result<CheckedEbpfConfig> {
    let mut check = FileCheck::new(file, problems);
    let config: EbpfConfig = check.decode()?;
    check.expect_rules(config.rules.len());
    let conditions = check.conditions(config.conditions);
    let source: Arc<str> = Arc::from(config.source);
    let mut rules = Vec::new();
    for (index, written) in config.rules.into_iter().enumerate() {
        let head = RuleHead {
            index,
            r#type: &written.r#type,
            condition: &written.condition,
            reason: &written.reason,
        };
        let problem = head.problem(&mut check, &conditions, config.metrics_reporting)?;
        let dry_run = written.dry_run.clone();
        let advice = head.advice(&mut check, Lenient::default(), Lenient::default(), dry_run);
        let problem = problem.advised(advice);
        let Some(probe) = written.probe(&mut check, head) else {
            continue;
        };
        if problem.inert {
            continue;
        }
        written.check_selectors(&mut check, head, probe);
        let rule = ProbeRule {
            monitor: Arc::clone(&file.name),
            source: Arc::clone(&source),
            claimant: format!("rules[{index}]"),
            problem: Arc::new(problem),
            comm: written.comm.map(|comm| comm.0),
            mount_points: written.mount_points.into_iter().map(|of| of.0).collect(),
        };
        rules.push((probe, rule));
    }
    let detectors = rules.iter().map(|(probe, rule)| {
        let condition = rule.problem.condition.clone();
        (Arc::from(probe.name), condition)
    });
    let detectors = Declaration::detectors(&conditions, detectors);
    Ok(CheckedEbpfConfig {
        declaration: Declaration {
            monitor: Arc::clone(&file.name),
            source,
            conditions,
            problems: rules.iter().map(|(_, r)| Arc::clone(&r.problem)).collect(),
            detectors,
            gauges_all: false,
        },
        settings: ProbeSettings {
            hung_task_threshold: config.plugin_config.hung_task_threshold.0,
        },
        rules,
    })
}

impl ProbeRuleConfig {
    /// The probe that it names, if there is one: an older agent may not have it yet.
    fn probe(&self, check: &mut FileCheck<'_>, head: RuleHead<'_>) -> Option<&'static Probe> {
        let probe = PROBES.iter().find(|probe| probe.name == self.probe);
        if probe.is_none() {
            let known: Vec<_> = PROBES.iter().map(|probe| probe.name).collect();
            let message = format!(
                "there is no probe {:?}, only {}; the rule has no effect",
                self.probe,
                known.join(", ")
            );
            check.note(&head.path("probe"), message);
        }
        probe
    }

    fn check_selectors(&self, check: &mut FileCheck<'_>, head: RuleHead<'_>, probe: &Probe) {
        let given = [
            (Selector::Comm, self.comm.is_some()),
            (Selector::MountPoints, !self.mount_points.is_empty()),
        ];
        for (selector, given) in given {
            if given && !probe.selectors.contains(&selector) {
                let (key, things) = selector.words();
                let name = probe.name;
                let message = format!("has no effect: the probe {name} is not about {things}");
                check.note(&head.path(key), message);
            }
        }
    }
}

#[cfg(test)]
mod tests;
