//! A system log monitor's config file: NPD's JSON, checked.

mod rule;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};

use self::rule::RuleConfig;
use super::matcher::Matcher;
use super::rule::Rule;
use super::rule_set::{RuleSet, Window};
use super::source::filelog::Translator;
use crate::go::duration::GoDuration;
use crate::go::json::ConfigError;
use crate::go::layout::Layout;
use crate::go::regex::compile;
use crate::monitor::{ConditionConfig, ConfigFile};

/// Which log a config file reads.
#[derive(Debug)]
pub(super) enum Source {
    /// The kernel's log. Always `/dev/kmsg`, as in NPD: `logPath` does not count.
    Kmsg,
    /// A file.
    File(PathBuf, Translator),
}

/// The file as written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    plugin: Plugin,
    #[serde(default)]
    plugin_config: BTreeMap<String, String>,
    #[serde(default)]
    log_path: String,
    #[serde(default)]
    lookback: Nanoseconds,
    #[serde(default)]
    delay: Nanoseconds,
    #[serde(default)]
    skip_list: Vec<String>,
    #[serde(default)]
    buffer_size: BufferSize,
    #[serde(default)]
    source: String,
    #[serde(default)]
    conditions: Vec<ConditionConfig>,
    #[serde(default)]
    rules: Vec<RuleConfig>,
    #[serde(default = "yes")]
    metrics_reporting: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Plugin {
    Kmsg,
    Filelog,
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
    let source = match config.plugin {
        Plugin::Kmsg => Source::Kmsg,
        Plugin::Filelog if config.log_path.is_empty() => {
            return Err(file.error("logPath", "which file to read is missing"));
        }
        Plugin::Filelog => {
            let translator = translator(file, &config.plugin_config)?;
            Source::File(PathBuf::from(config.log_path), translator)
        }
    };
    let healthy = config.conditions.into_iter().map(ConditionConfig::healthy);
    let conditions: Vec<_> = healthy.collect();
    let written = config.rules.iter().enumerate();
    let rules: Vec<Rule> = written
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
        window: Window {
            lookback: config.lookback.0,
            delay: config.delay.0,
        },
        skip_list: config.skip_list,
    };
    Ok((source, set))
}

/// How to read a line, from a `filelog`'s `pluginConfig`.
fn translator(
    file: &ConfigFile,
    plugin_config: &BTreeMap<String, String>,
) -> Result<Translator, ConfigError> {
    let required = |key: &str| {
        let path = format!("pluginConfig.{key}");
        match plugin_config.get(key).filter(|value| !value.is_empty()) {
            Some(value) => Ok((path, value)),
            None => Err(file.error(&path, "is missing, and no line can be read without it")),
        }
    };
    let pattern = |key: &str| {
        let (path, pattern) = required(key)?;
        compile(pattern).map_err(|error| file.error(&path, error))
    };
    Ok(Translator {
        timestamp: pattern("timestamp")?,
        message: pattern("message")?,
        layout: Layout::new(required("timestampFormat")?.1),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(json: &str, expect: &Expect) {
        let file = ConfigFile {
            name: Arc::from("x.json"),
            dir: None,
            bytes: json.as_bytes().to_vec(),
        };
        let shown = match parse(&file) {
            Ok((source, set)) => format!("{source:?} {set:#?}"),
            Err(error) => error.to_string(),
        };
        expect.assert_eq(&shown);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (json, expect) in [
            ("", expect!["x.json:1:1: EOF while parsing a value"]),
            ("{}", expect!["x.json:1:1: missing field `plugin`"]),
            (
                r#"{"plugin": "kmsgs"}"#,
                expect![
                    "x.json:1:12: plugin: unknown variant `kmsgs`, expected `kmsg` or `filelog`"
                ],
            ),
            (
                r#"{"plugin": "kmsg", "lookback": 5}"#,
                expect!["x.json:1:32: lookback: invalid type: integer `5`, expected a string"],
            ),
            (
                r#"{"plugin": "kmsg", "lookback": "5"}"#,
                expect![[r#"x.json:1:32: lookback: time: missing unit in duration "5""#]],
            ),
            (
                r#"{"plugin": "kmsg", "delay": "1d"}"#,
                expect![[r#"x.json:1:29: delay: time: unknown unit "d" in duration "1d""#]],
            ),
            (
                r#"{"plugin": "kmsg", "bufferSize": -1}"#,
                expect!["x.json:1:34: bufferSize: -1 entries: it cannot be negative"],
            ),
            (
                r#"{"plugin": "kmsg", "bufferSize": "1"}"#,
                expect![[r#"x.json:1:34: bufferSize: invalid type: string "1", expected i64"#]],
            ),
            (
                r#"{"plugin": "kmsg", "pluginConfig": {"a": 1}}"#,
                expect![
                    "x.json:1:42: pluginConfig.a: invalid type: integer `1`, expected a string"
                ],
            ),
            (
                r#"{"plugin": "kmsg", "rules": [null]}"#,
                expect!["x.json:1:30: rules[0]: invalid type: null, expected struct RuleConfig"],
            ),
            (
                r#"{"plugin": "kmsg", "rules": [{"type": "temporay"}]}"#,
                expect![
                    "x.json:1:39: rules[0].type: unknown variant `temporay`, expected `temporary` or `permanent`"
                ],
            ),
            (
                r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "pattern": "("}]}"#,
                expect![[
                    r#"x.json:1:63: rules[0].pattern: error parsing regexp: missing closing ): `(\z`"#
                ]],
            ),
            (
                r#"{"plugin": "kmsg", "rules": [{"type": "temporary"}]}"#,
                expect!["x.json:1:30: rules[0]: missing field `pattern`"],
            ),
            (
                r#"{"plugin": "kmsg", "conditions": [{"type": "A"}],
                "rules": [{"type": "permanent", "condition": "B", "pattern": "x"}]}"#,
                expect![[r#"x.json:2:62: rules[0].condition: "B" is not declared in conditions"#]],
            ),
            (
                r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "pattern": "x", "clearAfter": "1m"}]}"#,
                expect![
                    "x.json:1:82: rules[0].clearAfter: a temporary problem does not last, so there is nothing to clear"
                ],
            ),
            (
                r#"{"plugin": "kmsg", "conditions": [{"type": "A"}],
                "rules": [{"type": "permanent", "condition": "A", "pattern": "x", "clearAfter": "0"}]}"#,
                expect!["x.json:2:97: rules[0].clearAfter: it has to be longer than nothing"],
            ),
            (
                r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "pattern": "x", "threshold": 3}]}"#,
                expect!["x.json:1:30: rules[0].window: is missing, and a threshold is given"],
            ),
            (
                r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "pattern": "x", "window": "3m"}]}"#,
                expect!["x.json:1:30: rules[0].threshold: is missing, and a window is given"],
            ),
            (
                r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "pattern": "x", "window": "3m", "threshold": 0}]}"#,
                expect!["x.json:1:97: rules[0].threshold: it has to be at least 1"],
            ),
            (
                r#"{"plugin": "kmsg", "conditions": [{"type": "A", "transition": "now"}]}"#,
                expect![
                    "x.json:1:63: conditions[0].transition: expected four digit year (or leading sign for six digit year), but found end of input"
                ],
            ),
        ] {
            check(json, &expect);
        }
    }

    #[test]
    fn a_log_file_needs_a_way_to_read_it() {
        for (json, expect) in [
            (
                r#"{"plugin": "filelog"}"#,
                expect!["x.json:1:1: logPath: which file to read is missing"],
            ),
            (
                r#"{"plugin": "filelog", "logPath": "x", "pluginConfig": {"timestamp": "x"}}"#,
                expect![
                    "x.json:1:55: pluginConfig.message: is missing, and no line can be read without it"
                ],
            ),
            (
                r#"{"plugin": "filelog", "logPath": "x", "pluginConfig": {"timestamp": "x", "message": "("}}"#,
                expect![
                    "x.json:1:85: pluginConfig.message: error parsing regexp: missing closing ): `(`"
                ],
            ),
        ] {
            check(json, &expect);
        }
    }

    #[test]
    fn a_file_is_read_as_go_reads_it() {
        let json = r#"{"PLUGIN": "kmsg", "lookback": null, "delay": "", "bufferSize": 0, "novelty": 1,
            "rules": [{"type": "temporary", "reason": "R", "condition": "Ignored", "pattern": ""}]}"#;
        let file = ConfigFile {
            name: Arc::from("x.json"),
            dir: None,
            bytes: json.as_bytes().to_vec(),
        };
        let (source, set) = parse(&file).unwrap();
        assert!(matches!(source, Source::Kmsg));
        assert_eq!(
            set.window,
            Window {
                lookback: 0,
                delay: 0
            }
        );
        let problem = &set.rules[0].problem;
        assert_eq!(
            (&*problem.reason, &problem.condition, problem.metrics),
            ("R", &None, true)
        );
    }
}
