//! A system log monitor's config file: NPD's JSON, checked.

mod rule;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};

use self::rule::LogRuleConfig;
use self::source::LogPlugin;
pub(super) use self::source::Source;
use super::rule_set::{RecordWriter, Repeats, RuleSet};
use crate::go::duration::GoDuration;
use crate::go::json::ConfigProblem;
use crate::logs::matcher::Matcher;
use crate::logs::window::ReadWindow;
use crate::monitor::config_file::ConditionConfig;
use crate::monitor::{ConfigFile, FileCheck};

/// How many entries a pattern may span if the file does not say; NPD's.
const DEFAULT_ENTRIES: usize = 10;

/// The most entries that a pattern may span. NPD has no such limit, and allocates the memory at once.
const MAX_ENTRIES: usize = 10_000;

/// Go refuses to allocate a ring of so many pointers: they would take more than 2^48 bytes.
const TOO_LARGE_FOR_GO: usize = 1 << 45;

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

/// How many entries a pattern may span. `None` if the file does not say; Go's 0 means the same.
#[derive(Clone, Copy, Default)]
struct BufferSize(Option<usize>);

impl<'de> Deserialize<'de> for BufferSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = i64::deserialize(deserializer)?;
        match usize::try_from(size) {
            Ok(0) => Ok(Self(None)),
            Ok(size) if size < TOO_LARGE_FOR_GO => Ok(Self(Some(size))),
            Ok(_) => Err(de::Error::custom(format_args!(
                "{size} entries: no machine has the memory"
            ))),
            Err(_) => Err(de::Error::custom(format_args!(
                "{size} entries: it cannot be negative"
            ))),
        }
    }
}

impl BufferSize {
    fn checked(self, check: &mut FileCheck<'_>) -> usize {
        let size = self.0.unwrap_or(DEFAULT_ENTRIES);
        if size > MAX_ENTRIES {
            let message = format!("is more than {MAX_ENTRIES}; {MAX_ENTRIES} entries are used");
            check.note("bufferSize", message);
        }
        size.min(MAX_ENTRIES)
    }
}

/// Checks a config file. Pure: the log that it names is not opened. There may be none.
pub(super) fn parse(
    file: &ConfigFile,
    problems: &mut Vec<ConfigProblem>,
) -> Result<(Option<Source>, RuleSet), ConfigProblem> {
    let mut check = FileCheck::new(file, problems);
    let config: Written = check.decode()?;
    let source = source::read(
        &mut check,
        config.plugin,
        config.log_path,
        &config.plugin_config,
    )?;
    check.expect_rules(config.rules.len());
    let conditions = check.conditions(config.conditions);
    let mut rules = Vec::new();
    let mut patterns = Vec::new();
    let mut clear_patterns = Vec::new();
    let mut clears = Vec::new();
    for (index, written) in config.rules.into_iter().enumerate() {
        let checked = written.checked(&mut check, index, &conditions, config.metrics_reporting)?;
        rules.push(checked.rule);
        patterns.push((checked.pattern, checked.unit));
        if let Some(pattern) = checked.clear_pattern {
            clear_patterns.push((pattern, checked.unit));
            clears.push(index);
        }
    }
    patterns.append(&mut clear_patterns);
    let matcher = Matcher::new(patterns, config.buffer_size.checked(&mut check));
    let set = RuleSet {
        monitor: Arc::clone(&file.name),
        source: Arc::from(config.source),
        conditions,
        rules,
        matcher: matcher.map_err(|error| check.error("rules", error))?,
        clears,
        window: ReadWindow {
            lookback: config.lookback.0,
            delay: config.delay.0,
        },
        record_writer: match config.plugin {
            LogPlugin::Kmsg | LogPlugin::Journald => RecordWriter::Kernel,
            LogPlugin::Filelog => RecordWriter::Anyone,
        },
        repeats: Repeats::default(),
        skip_list: skip_list(&mut check, config.plugin, config.skip_list),
    };
    Ok((source, set))
}

/// What to skip. An empty text is in every entry. NPD skips only lines of files, so that elsewhere
/// it does nothing.
fn skip_list(check: &mut FileCheck<'_>, plugin: LogPlugin, written: Vec<String>) -> Vec<String> {
    let every_line = plugin == LogPlugin::Filelog;
    let mut skipped = Vec::new();
    for (index, text) in written.into_iter().enumerate() {
        if text.is_empty() {
            let path = format!("skipList[{index}]");
            let effect = if every_line {
                "every line is skipped"
            } else {
                "it has no effect"
            };
            check.note(&path, format!("is empty; {effect}"));
        }
        if every_line || !text.is_empty() {
            skipped.push(text);
        }
    }
    skipped
}

#[cfg(test)]
mod tests;
