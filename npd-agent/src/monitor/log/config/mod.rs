//! A system log monitor's config file: NPD's JSON, checked.

mod rule;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};

use self::rule::LogRuleConfig;
use self::source::LogPlugin;
pub(super) use self::source::Source;
use super::rule::LogRule;
use super::rule_set::RuleSet;
use crate::go::duration::GoDuration;
use crate::go::json::ConfigError;
use crate::logs::matcher::Matcher;
use crate::logs::window::ReadWindow;
use crate::monitor::{ConditionConfig, ConfigFile};

/// The file as written.
#[derive(Deserialize)]
struct Written {
    plugin: LogPlugin,
    #[serde(rename = "pluginConfig", default)]
    plugin_config: BTreeMap<String, String>,
    #[serde(rename = "logPath", default)]
    log_path: String,
    #[serde(default)]
    lookback: Nanoseconds,
    #[serde(default)]
    delay: Nanoseconds,
    #[serde(rename = "skipList", default)]
    skip_list: Vec<String>,
    #[serde(rename = "bufferSize", default)]
    buffer_size: BufferSize,
    #[serde(default)]
    source: String,
    #[serde(default)]
    conditions: Vec<ConditionConfig>,
    #[serde(default)]
    rules: Vec<LogRuleConfig>,
    #[serde(rename = "metricsReporting", default = "yes")]
    metrics_reporting: bool,
}

fn yes() -> bool {
    true
}

/// A Go duration, in nanoseconds. Empty means zero.
#[derive(Clone, Copy, Default)]
struct Nanoseconds(i64);

impl<'de> Deserialize<'de> for Nanoseconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(0));
        }
        let duration: GoDuration = text.parse().map_err(de::Error::custom)?;
        Ok(Self(duration.as_nanos()))
    }
}

/// How many entries a pattern may span.
#[derive(Clone, Copy)]
struct BufferSize(usize);

impl Default for BufferSize {
    fn default() -> Self {
        Self(10)
    }
}

impl<'de> Deserialize<'de> for BufferSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = i64::deserialize(deserializer)?;
        match usize::try_from(size) {
            Ok(0) => Ok(Self::default()),
            Ok(size) => Ok(Self(size)),
            Err(_) => Err(de::Error::custom(format_args!(
                "{size} entries: it cannot be negative"
            ))),
        }
    }
}

/// Checks a config file. Pure: the log that it names is not opened.
pub(super) fn parse(file: &ConfigFile) -> Result<(Source, RuleSet), ConfigError> {
    let config: Written = file.decode()?;
    let source = source::read(file, config.plugin, config.log_path, &config.plugin_config)?;
    let healthy = config.conditions.into_iter().map(ConditionConfig::healthy);
    let conditions: Vec<_> = healthy.collect();
    let written = config.rules.iter().enumerate();
    let rules: Vec<LogRule> = written
        .map(|(index, rule)| rule.checked(file, index, &conditions, config.metrics_reporting))
        .collect::<Result<_, _>>()?;
    let mut patterns: Vec<_> = config
        .rules
        .iter()
        .map(|rule| rule.pattern.compiled.clone())
        .collect();
    let mut clears = Vec::new();
    for (index, rule) in config.rules.iter().enumerate() {
        if let Some(pattern) = &rule.clear_pattern {
            patterns.push(pattern.compiled.clone());
            clears.push(index);
        }
    }
    let matcher = Matcher::new(patterns, config.buffer_size.0);
    let set = RuleSet {
        monitor: Arc::clone(&file.name),
        source: Arc::from(config.source),
        conditions,
        rules,
        matcher: matcher.map_err(|error| file.error("rules", error))?,
        clears,
        window: ReadWindow {
            lookback: config.lookback.0,
            delay: config.delay.0,
        },
        skip_list: config.skip_list,
    };
    Ok((source, set))
}

#[cfg(test)]
mod tests;
