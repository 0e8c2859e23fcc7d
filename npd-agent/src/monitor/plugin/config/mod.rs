//! A custom plugin monitor's config file: NPD's JSON, checked.
//!
//! A wrong value is refused by its type, so the error has the line. A wrong combination of values is
//! refused by [`load`].

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::go::duration::GoDuration;
use crate::go::json::ConfigProblem;
use crate::monitor::config_file::{
    AtLeastOne, ConditionConfig, Lenient, NotNegative, Positive, RuleHead,
};
use crate::monitor::{ConfigFile, Declaration, FileCheck};
use crate::problem::{Healthy, Problem};

use super::limits::{DEFAULT_PIDS, MemoryLimit};
use super::threshold::Thresholds;
use crate::checks;
use crate::exec::{ExternalProgram, ProgramLimits};

/// A rule without `jitter` is moved by at most this part of its interval.
const DEFAULT_JITTER: u32 = 10;

/// How long the check of the plugins' paths may take.
const DISK_PATIENCE: Duration = Duration::from_secs(5);

/// A config file that can be run.
#[derive(Debug)]
pub(super) struct CheckedPluginConfig {
    /// The file's name.
    pub(super) name: Arc<str>,
    /// What it may report.
    pub(super) declaration: Declaration,
    /// Its rules, in the file's order.
    pub(super) rules: Vec<PluginRule>,
    /// How many bytes of a plugin's output are reported.
    pub(super) max_output: usize,
    /// How many plugins may run at once.
    pub(super) concurrency: usize,
    /// The limits of each plugin.
    pub(super) limits: ProgramLimits,
}

/// A rule that can be run.
#[derive(Debug)]
pub(super) struct PluginRule {
    /// Its path as written.
    pub(super) path: String,
    /// What to run.
    pub(super) program: ExternalProgram,
    /// The problem that it reports.
    pub(super) problem: Arc<Problem>,
    /// How long it may run; zero for not at all.
    pub(super) timeout: Duration,
    /// How often it is run.
    pub(super) interval: Duration,
    /// The most by which its clock is moved, so that not all nodes and rules run at once.
    pub(super) jitter: Duration,
    /// How many equal results in a row are needed to report them.
    pub(super) thresholds: Thresholds,
}

/// The file as written.
#[derive(Deserialize)]
struct PluginConfig {
    #[serde(rename = "plugin")]
    _plugin: PluginName,
    #[serde(rename = "pluginConfig", default)]
    settings: PluginSettings,
    #[serde(default)]
    source: String,
    #[serde(default)]
    conditions: Vec<ConditionConfig>,
    #[serde(default)]
    rules: Vec<PluginRuleConfig>,
    #[serde(rename = "metricsReporting", default = "yes")]
    metrics_reporting: bool,
}

#[derive(Deserialize)]
#[serde(expecting = "custom")]
enum PluginName {
    #[serde(rename = "custom")]
    Custom,
}

#[derive(Deserialize)]
#[serde(default)]
struct PluginSettings {
    invoke_interval: Positive,
    /// NPD starts with one of 0 or less, and then no plugin.
    timeout: GoDuration,
    max_output_length: usize,
    /// NPD starts with 0, and then no plugin.
    concurrency: usize,
    enable_message_change_based_condition_update: bool,
    /// NPD publishes nothing before the first result if this is set. Here that is always so.
    #[serde(rename = "skip_initial_status")]
    _skip_initial_status: bool,
    // The keys from here on are ours; NPD ignores them.
    memory_limit: Lenient<MemoryLimit>,
    pids_limit: Lenient<AtLeastOne>,
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            invoke_interval: Positive(Duration::from_secs(30)),
            timeout: GoDuration::from_secs(5),
            max_output_length: 80,
            concurrency: 3,
            enable_message_change_based_condition_update: false,
            _skip_initial_status: false,
            memory_limit: Lenient::default(),
            pids_limit: Lenient::default(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PluginRuleConfig {
    r#type: String,
    condition: String,
    reason: String,
    path: String,
    args: Vec<String>,
    timeout: Option<GoDuration>,
    invoke_interval: Option<Positive>,
    // The keys from here on are ours; NPD ignores them.
    jitter: Lenient<NotNegative>,
    #[serde(rename = "failureThreshold")]
    failure_threshold: Lenient<AtLeastOne>,
    #[serde(rename = "successThreshold")]
    success_threshold: Lenient<AtLeastOne>,
    env: Lenient<BTreeMap<VariableName, String>>,
    #[serde(rename = "dryRun")]
    dry_run: Lenient<bool>,
}

/// The name of an environment variable.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct VariableName(String);

impl<'de> Deserialize<'de> for VariableName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(de::Error::custom(
                "the name of a variable must not be empty or contain `=`",
            ));
        }
        Ok(Self(name))
    }
}

fn yes() -> bool {
    true
}

/// Reads and checks a file. What is refused is what NPD refuses.
pub(super) fn load(
    file: &ConfigFile,
    problems: &mut Vec<ConfigProblem>,
) -> Result<CheckedPluginConfig, ConfigProblem> {
    let mut check = FileCheck::new(file, problems);
    let mut config: PluginConfig = check.decode()?;
    let settings = &config.settings;
    if settings.concurrency == 0 {
        check.note("pluginConfig.concurrency", "is 0; no plugin is ever run");
    }
    if settings.timeout <= GoDuration::ZERO {
        note_timeout(&mut check, "pluginConfig.timeout", settings.timeout);
    }
    for (index, rule) in config.rules.iter().enumerate() {
        let path = format!("rules[{index}].timeout");
        match rule.timeout {
            Some(timeout) if timeout > settings.timeout => {
                let limit = settings.timeout;
                let message =
                    format!("must not be more than pluginConfig.timeout, which is {limit}");
                return Err(check.error(&path, message));
            }
            Some(timeout) if timeout <= GoDuration::ZERO => {
                note_timeout(&mut check, &path, timeout);
            }
            _ => {}
        }
    }
    check_paths(&check, &config.rules)?;
    check.expect_rules(config.rules.len());
    let conditions = check.conditions(std::mem::take(&mut config.conditions));
    let mut rules = Vec::new();
    for (index, written) in std::mem::take(&mut config.rules).into_iter().enumerate() {
        rules.push(written.checked(&mut check, index, &conditions, &config)?);
    }
    let settings = config.settings;
    let memory = settings
        .memory_limit
        .take(&mut check, "pluginConfig.memory_limit");
    let pids = settings
        .pids_limit
        .take(&mut check, "pluginConfig.pids_limit");
    let limits = ProgramLimits {
        memory: memory.map(|limit| limit.0),
        pids: Some(pids.map_or(DEFAULT_PIDS, |limit| limit.0.into())),
    };
    let detectors = rules.iter().enumerate().map(|(index, rule)| {
        let condition = rule.problem.condition.clone();
        (rule_name(index), condition)
    });
    let detectors = Declaration::detectors(&conditions, detectors);
    Ok(CheckedPluginConfig {
        name: Arc::clone(&file.name),
        declaration: Declaration {
            monitor: Arc::clone(&file.name),
            source: Arc::from(config.source),
            conditions,
            problems: rules.iter().map(|rule| Arc::clone(&rule.problem)).collect(),
            detectors,
            gauges_all: config.metrics_reporting,
        },
        rules,
        max_output: settings.max_output_length,
        concurrency: settings.concurrency,
        limits,
    })
}

fn note_timeout(check: &mut FileCheck<'_>, path: &str, timeout: GoDuration) {
    let message = format!("is {timeout}; every run fails before it starts");
    check.note(path, message);
}

fn check_paths(check: &FileCheck<'_>, rules: &[PluginRuleConfig]) -> Result<(), ConfigProblem> {
    let error =
        |index: usize, message: String| Err(check.error(&format!("rules[{index}].path"), message));
    for (index, rule) in rules.iter().enumerate() {
        if let Some(name) = rule.path.strip_prefix(checks::PREFIX)
            && !checks::exists(name)
        {
            return error(index, format!("there is no built-in plugin {name:?}"));
        }
    }
    let paths = rules.iter().map(|rule| rule.path.clone());
    match missing(paths.collect()) {
        Some((index, path)) => error(index, format!("{path:?} does not exist")),
        None => Ok(()),
    }
}

/// The first path that does not exist. Other mistakes in a path can be corrected before the plugin
/// runs. A broken disk may never answer; then no path counts as missing.
fn missing(paths: Vec<String>) -> Option<(usize, String)> {
    let (sender, answer) = mpsc::channel();
    let looked = std::thread::Builder::new().spawn(move || {
        let missing = paths.into_iter().enumerate().find(|(_, path)| {
            !path.starts_with(checks::PREFIX)
                && std::fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
        });
        // Nobody waits any more.
        drop(sender.send(missing));
    });
    looked.ok()?;
    answer.recv_timeout(DISK_PATIENCE).ok().flatten()
}

impl PluginRuleConfig {
    fn checked(
        self,
        check: &mut FileCheck<'_>,
        index: usize,
        conditions: &[Healthy],
        config: &PluginConfig,
    ) -> Result<PluginRule, ConfigProblem> {
        let settings = &config.settings;
        let head = RuleHead {
            index,
            r#type: &self.r#type,
            condition: &self.condition,
            reason: &self.reason,
        };
        // NPD checks this for plugins, unless the type is misspelled.
        if self.r#type == "permanent"
            && let Some(message) = head.undeclared(conditions)
        {
            return Err(check.error(&head.path("condition"), message));
        }
        let problem = head.problem(check, conditions, config.metrics_reporting)?;
        let advice = head.advice(check, Lenient::default(), Lenient::default(), self.dry_run);
        let problem = problem.advised(advice);
        let jitter = self.jitter.take(check, &head.path("jitter"));
        let failure = self
            .failure_threshold
            .take(check, &head.path("failureThreshold"));
        let success = self
            .success_threshold
            .take(check, &head.path("successThreshold"));
        let env = self.env.take(check, &head.path("env"));
        let interval = self.invoke_interval.unwrap_or(settings.invoke_interval).0;
        let timeout = self.timeout.unwrap_or(settings.timeout);
        Ok(PluginRule {
            program: ExternalProgram {
                env: env
                    .into_iter()
                    .flatten()
                    .map(|(name, value)| (name.0, value))
                    .collect(),
                ..program(&self.path, self.args)
            },
            path: self.path,
            problem: Arc::new(Problem {
                message_is_news: settings.enable_message_change_based_condition_update,
                ..problem
            }),
            timeout: timeout.to_std().unwrap_or_default(),
            interval,
            jitter: jitter.map_or(interval / DEFAULT_JITTER, |jitter| jitter.0),
            thresholds: Thresholds {
                failure: failure.map_or(1, |times| times.0),
                success: success.map_or(1, |times| times.0),
            },
        })
    }
}

/// The name of a rule in `/status`, as a detector and as a claimant.
pub(super) fn rule_name(index: usize) -> Arc<str> {
    Arc::from(format!("rules[{index}]"))
}

/// The program for a path: for a built-in check, the agent's own file.
fn program(path: &str, args: Vec<String>) -> ExternalProgram {
    match path.strip_prefix(checks::PREFIX) {
        Some(name) => ExternalProgram {
            path: "/proc/self/exe".to_owned(),
            args: [checks::PROGRAM, name]
                .map(str::to_owned)
                .into_iter()
                .chain(args)
                .collect(),
            ..ExternalProgram::default()
        },
        None => ExternalProgram {
            path: path.to_owned(),
            args,
            ..ExternalProgram::default()
        },
    }
}

#[cfg(test)]
mod tests;
