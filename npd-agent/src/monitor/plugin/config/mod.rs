//! A custom plugin monitor's config file: NPD's JSON, checked.
//!
//! What a single value can get wrong is refused by its type, where the reader knows the line; what
//! takes two values to see is refused by [`load`].

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::go::duration::GoDuration;
use crate::go::json::ConfigError;
use crate::monitor::{ConditionConfig, ConfigFile, Declaration};
use crate::problem::Problem;
use crate::tools::builtin;

use super::threshold::Thresholds;
use crate::exec::ExternalProgram;

/// A rule without `jitter` is moved by at most this part of its interval.
const DEFAULT_JITTER: u32 = 10;

/// How long the paths of a file's plugins are looked for.
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
    /// How many bytes of a plugin's output are told.
    pub(super) max_output: usize,
    /// How many plugins may run at once.
    pub(super) concurrency: usize,
}

/// A rule that can be run.
#[derive(Debug)]
pub(super) struct PluginRule {
    /// Its path as written.
    pub(super) path: String,
    /// What to run.
    pub(super) program: ExternalProgram,
    /// What it means when that fails.
    pub(super) problem: Arc<Problem>,
    /// How long it may run.
    pub(super) timeout: Duration,
    /// How often it is run.
    pub(super) interval: Duration,
    /// The most by which its clock is moved, so that not all nodes and rules run at once.
    pub(super) jitter: Duration,
    /// How many results in a row it takes to believe them.
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
enum PluginName {
    #[serde(rename = "custom")]
    Custom,
}

#[derive(Deserialize)]
#[serde(default)]
struct PluginSettings {
    invoke_interval: Positive,
    timeout: Positive,
    max_output_length: usize,
    concurrency: Concurrency,
    enable_message_change_based_condition_update: bool,
    skip_initial_status: bool,
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            invoke_interval: Positive(Duration::from_secs(30)),
            timeout: Positive(Duration::from_secs(5)),
            max_output_length: 80,
            concurrency: Concurrency(3),
            enable_message_change_based_condition_update: false,
            skip_initial_status: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "a rule")]
struct PluginRuleConfig {
    r#type: PluginRuleType,
    #[serde(default)]
    condition: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    args: Vec<String>,
    timeout: Option<Positive>,
    invoke_interval: Option<Positive>,
    // What follows is ours; NPD ignores it.
    jitter: Option<NotNegative>,
    #[serde(rename = "failureThreshold", default)]
    failure_threshold: Times,
    #[serde(rename = "successThreshold", default)]
    success_threshold: Times,
    #[serde(default)]
    env: BTreeMap<VariableName, String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
enum PluginRuleType {
    #[serde(rename = "temporary")]
    Temporary,
    #[serde(rename = "permanent")]
    Permanent,
}

/// A Go duration over 0.
#[derive(Deserialize, Clone, Copy)]
#[serde(try_from = "GoDuration")]
struct Positive(Duration);

impl TryFrom<GoDuration> for Positive {
    type Error = &'static str;

    fn try_from(duration: GoDuration) -> Result<Self, Self::Error> {
        let positive = duration.to_std().filter(|duration| !duration.is_zero());
        positive.map(Self).ok_or("must be more than 0")
    }
}

/// A Go duration that may be 0.
#[derive(Deserialize, Clone, Copy)]
#[serde(try_from = "GoDuration")]
struct NotNegative(Duration);

impl TryFrom<GoDuration> for NotNegative {
    type Error = &'static str;

    fn try_from(duration: GoDuration) -> Result<Self, Self::Error> {
        duration.to_std().map(Self).ok_or("must not be negative")
    }
}

/// How many plugins may run at once; NPD would run none at 0, silently.
#[derive(Deserialize, Clone, Copy)]
#[serde(try_from = "usize")]
struct Concurrency(usize);

impl TryFrom<usize> for Concurrency {
    type Error = &'static str;

    fn try_from(number: usize) -> Result<Self, Self::Error> {
        if number == 0 {
            return Err("must be at least 1, or nothing would ever run");
        }
        Ok(Self(number))
    }
}

/// A number of results in a row.
#[derive(Deserialize, Clone, Copy)]
#[serde(try_from = "u32")]
struct Times(u32);

impl Default for Times {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<u32> for Times {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        if number == 0 {
            return Err("must be at least 1");
        }
        Ok(Self(number))
    }
}

/// The name of an environment variable.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct VariableName(String);

impl<'de> Deserialize<'de> for VariableName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(de::Error::custom("must not be empty or contain `=`"));
        }
        Ok(Self(name))
    }
}

fn yes() -> bool {
    true
}

/// Reads and checks a file, in the order in which NPD does.
pub(super) fn load(file: &ConfigFile) -> Result<CheckedPluginConfig, ConfigError> {
    let config: PluginConfig = file.decode()?;
    let fail = |rule: usize, field: &str, message: String| {
        Err(file.error(&format!("rules[{rule}].{field}"), message))
    };
    let limit = config.settings.timeout.0;
    for (index, rule) in config.rules.iter().enumerate() {
        if rule.timeout.is_some_and(|timeout| timeout.0 > limit) {
            let limit = GoDuration::from(limit);
            let message = format!("must not be more than pluginConfig.timeout, which is {limit}");
            return fail(index, "timeout", message);
        }
    }
    for (index, rule) in config.rules.iter().enumerate() {
        if let Some(name) = rule.path.strip_prefix(builtin::PREFIX)
            && !builtin::exists(name)
        {
            return fail(
                index,
                "path",
                format!("there is no built-in plugin {name:?}"),
            );
        }
    }
    let paths = config.rules.iter().map(|rule| rule.path.clone());
    if let Some((index, path)) = missing(paths.collect()) {
        return fail(index, "path", format!("{path:?} does not exist"));
    }
    for (index, rule) in config.rules.iter().enumerate() {
        let condition = &rule.condition;
        let declared = config.conditions.iter().any(|of| of.r#type == *condition);
        if rule.r#type == PluginRuleType::Permanent && !declared {
            let message = format!("{condition:?} is not among the conditions of this file");
            return fail(index, "condition", message);
        }
    }
    Ok(config.checked(&file.name))
}

/// The first path that is known not to exist. Whatever else may be wrong with a path can be mended
/// before the plugin runs. A sick disk may never answer: then nothing is known.
fn missing(paths: Vec<String>) -> Option<(usize, String)> {
    let (sender, answer) = mpsc::channel();
    let looked = std::thread::Builder::new().spawn(move || {
        let missing = paths.into_iter().enumerate().find(|(_, path)| {
            !path.starts_with(builtin::PREFIX)
                && std::fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
        });
        // Nobody waits any more.
        drop(sender.send(missing));
    });
    looked.ok()?;
    answer.recv_timeout(DISK_PATIENCE).ok().flatten()
}

impl PluginConfig {
    fn checked(self, name: &Arc<str>) -> CheckedPluginConfig {
        let settings = &self.settings;
        let rules: Vec<PluginRule> = self
            .rules
            .into_iter()
            .map(|rule| rule.checked(settings, self.metrics_reporting))
            .collect();
        CheckedPluginConfig {
            name: Arc::clone(name),
            declaration: Declaration {
                monitor: Arc::clone(name),
                source: Arc::from(self.source),
                conditions: self
                    .conditions
                    .into_iter()
                    .map(ConditionConfig::healthy)
                    .collect(),
                problems: rules.iter().map(|rule| Arc::clone(&rule.problem)).collect(),
                publish_at_start: !settings.skip_initial_status,
            },
            rules,
            max_output: settings.max_output_length,
            concurrency: settings.concurrency.0,
        }
    }
}

impl PluginRuleConfig {
    fn checked(self, settings: &PluginSettings, metrics: bool) -> PluginRule {
        let interval = self.invoke_interval.unwrap_or(settings.invoke_interval).0;
        let permanent = self.r#type == PluginRuleType::Permanent;
        let (file, mut args) = match self.path.strip_prefix(builtin::PREFIX) {
            Some(name) => (
                "/proc/self/exe".to_owned(),
                vec![builtin::TOOL.name.to_owned(), name.to_owned()],
            ),
            None => (self.path.clone(), Vec::new()),
        };
        args.extend(self.args);
        PluginRule {
            path: self.path,
            program: ExternalProgram {
                path: file,
                args,
                env: self
                    .env
                    .into_iter()
                    .map(|(name, value)| (name.0, value))
                    .collect(),
                cgroup: None,
            },
            problem: Arc::new(Problem {
                reason: Arc::from(self.reason),
                condition: permanent.then(|| Arc::from(self.condition)),
                message_is_news: settings.enable_message_change_based_condition_update,
                metrics,
            }),
            timeout: self.timeout.unwrap_or(settings.timeout).0,
            interval,
            jitter: self
                .jitter
                .map_or(interval / DEFAULT_JITTER, |jitter| jitter.0),
            thresholds: Thresholds {
                failure: self.failure_threshold.0,
                success: self.success_threshold.0,
            },
        }
    }
}

#[cfg(test)]
mod tests;
