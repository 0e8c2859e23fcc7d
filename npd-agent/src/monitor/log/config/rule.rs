//! A rule of a config file.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::go::json::ConfigProblem;
use crate::go::regex::{LazyRegex, compile, compile_anchored, compile_record};
use crate::logs::matcher::MatchUnit;
use crate::monitor::FileCheck;
use crate::monitor::config_file::{AtLeastOne, Lenient, NotNegative, Positive, RuleHead};
use crate::monitor::log::rule::{LogRule, RuleGroups, RuleMemory, Threshold};
use crate::problem::{Action, Healthy, Severity};

/// The groups of a pattern that name a block device.
const DEVICES: [&str; 2] = ["device", "array"];

/// For how long another match of a rule for records about the same object is only counted, if the rule
/// does not say.
const REPEAT_AFTER: Duration = Duration::from_mins(10);

/// A rule as written. NPD does not know the keys from `clearPattern` on.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct LogRuleConfig {
    r#type: String,
    condition: String,
    reason: String,
    pattern: Option<Pattern>,
    #[serde(rename = "patternGeneratedMessageSuffix")]
    pattern_generated_message_suffix: String,
    #[serde(rename = "clearPattern")]
    clear_pattern: Lenient<Pattern>,
    #[serde(rename = "clearAfter")]
    clear_after: Lenient<Positive>,
    threshold: Lenient<AtLeastOne>,
    window: Lenient<Positive>,
    #[serde(rename = "clearAtBoot")]
    clear_at_boot: Lenient<bool>,
    r#match: Lenient<MatchMode>,
    except: Lenient<Except>,
    #[serde(rename = "repeatAfter")]
    repeat_after: Lenient<NotNegative>,
    fault: Lenient<String>,
    #[serde(rename = "mountPoints")]
    mount_points: Lenient<BTreeSet<PathBuf>>,
    severity: Lenient<Severity>,
    action: Lenient<Action>,
    #[serde(rename = "dryRun")]
    dry_run: Lenient<bool>,
}

/// What a pattern is tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum MatchMode {
    /// A record of the kernel, from its start.
    #[serde(rename = "record")]
    Record,
    /// An entry, from its start, whoever wrote it.
    #[serde(rename = "line")]
    Line,
}

/// A Go regular expression that is looked for anywhere in the text of a match.
#[derive(Clone)]
struct Except(LazyRegex);

impl<'de> Deserialize<'de> for Except {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        compile(&written)
            .map(|checked| Self(checked.into()))
            .map_err(de::Error::custom)
    }
}

/// A Go regular expression that has to match up to the end of the newest entry.
#[derive(Clone)]
struct Pattern {
    written: String,
    compiled: LazyRegex,
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        // First compile it as it is written, like NPD: `x\` is complete only with the text that is
        // appended later.
        compile(&written).map_err(de::Error::custom)?;
        let compiled = compile_anchored(&written).map_err(de::Error::custom)?;
        let compiled = compiled.into();
        Ok(Self { written, compiled })
    }
}

/// A rule that was checked, and its patterns.
pub(super) struct CheckedLogRule {
    pub(super) rule: LogRule,
    /// What it looks for.
    pub(super) pattern: LazyRegex,
    /// What its patterns are tried on.
    pub(super) unit: MatchUnit,
    /// What ends its condition.
    pub(super) clear_pattern: Option<LazyRegex>,
}

impl LogRuleConfig {
    /// Checks what depends on more than one value. This is rule `index` of a file that declares
    /// `conditions`.
    pub(super) fn checked(
        self,
        check: &mut FileCheck<'_>,
        index: usize,
        conditions: &[Healthy],
        metrics: bool,
    ) -> Result<CheckedLogRule, ConfigProblem> {
        let head = RuleHead {
            index,
            r#type: &self.r#type,
            condition: &self.condition,
            reason: &self.reason,
        };
        let advice = head.advice(check, self.severity, self.action, self.dry_run);
        let problem = head.problem(check, conditions, metrics)?.advised(advice);
        let pattern = match self.pattern {
            Some(pattern) if !pattern.written.is_empty() => pattern,
            _ => {
                let path = head.path("pattern");
                check.note(&path, "is missing; the rule matches every entry");
                let written = String::new();
                let compiled = compile_anchored(&written).map_err(|why| check.error(&path, why))?;
                let compiled = compiled.into();
                Pattern { written, compiled }
            }
        };
        let threshold = threshold(check, head, self.threshold, self.window);
        let mut clear_pattern = self.clear_pattern.take(check, &head.path("clearPattern"));
        let mut clear_after = self.clear_after.take(check, &head.path("clearAfter"));
        if !head.is_permanent() && clear_after.take().is_some() {
            let message = "has no effect: a temporary problem does not last, so there is nothing \
                           to clear";
            check.note(&head.path("clearAfter"), message);
        }
        let mode = self.r#match.take(check, &head.path("match"));
        let (mut unit, mut groups) = (MatchUnit::Entries, RuleGroups::default());
        let mut compiled = pattern.compiled;
        if let Some(mode) = mode {
            let record = for_record(check, &head.path("pattern"), &pattern.written);
            let clear = clear_pattern.as_ref().map(|clear: &Pattern| {
                for_record(check, &head.path("clearPattern"), &clear.written)
            });
            if let (Some(record), None | Some(Some(_))) = (record, &clear) {
                unit = match mode {
                    MatchMode::Record => MatchUnit::Record,
                    MatchMode::Line => MatchUnit::Line,
                };
                compiled = record.clone();
                groups.pattern = Some(record);
                groups.clear_pattern = clear.flatten();
            }
        }
        let except = self.except.take(check, &head.path("except"));
        let repeat_after = self.repeat_after.take(check, &head.path("repeatAfter"));
        let fault = self.fault.take(check, &head.path("fault"));
        let shares_fault = fault.is_some();
        let fault = fault.unwrap_or_else(|| self.reason.clone());
        let repeat_after = match (repeat_after, unit) {
            (Some(NotNegative(pause)), _) => Some(pause).filter(|pause| !pause.is_zero()),
            (None, _) => Some(REPEAT_AFTER).filter(|_| unit.is_newest_entry()),
        };
        if !head.is_permanent() && repeat_after.is_none() && clear_pattern.take().is_some() {
            let message = "has no effect without repeatAfter: each match is reported anyway";
            check.note(&head.path("clearPattern"), message);
            groups.clear_pattern = None;
        }
        let clear_compiled = match unit {
            MatchUnit::Entries => clear_pattern.map(|pattern| pattern.compiled),
            _ => groups.clear_pattern.clone(),
        };
        let at_boot = self.clear_at_boot.take(check, &head.path("clearAtBoot"));
        let mount_points = mount_points(check, head, self.mount_points, groups.pattern.as_ref());
        let clears = clear_compiled.is_some()
            || clear_after.is_some()
            || at_boot == Some(true)
            || !mount_points.is_empty();
        Ok(CheckedLogRule {
            rule: LogRule {
                problem: Arc::new(problem),
                suffix: self.pattern_generated_message_suffix,
                claimant: if clears && head.is_permanent() {
                    format!("rules[{index}]")
                } else {
                    String::new()
                },
                threshold,
                clear_after: clear_after.map(|after| after.0),
                groups,
                except: except.map(|except| except.0),
                fault: Arc::from(fault),
                shares_fault,
                mount_points,
                repeat_after,
                pattern: pattern.written,
                memory: RuleMemory::default(),
            },
            pattern: compiled,
            clear_pattern: clear_compiled,
            unit,
        })
    }
}

/// The pattern of a rule for records. If it cannot be one, the rule is matched as in NPD.
fn for_record(check: &mut FileCheck<'_>, path: &str, written: &str) -> Option<LazyRegex> {
    let compiled = compile_record(written);
    compiled
        .map(LazyRegex::from)
        .map_err(|why| {
            let why = why.lines().last().unwrap_or_default();
            check.note(path, format!("{why}; the rule is matched as in NPD"));
        })
        .ok()
}

/// Where a device must be mounted for the condition to be the node's.
fn mount_points(
    check: &mut FileCheck<'_>,
    head: RuleHead<'_>,
    paths: Lenient<BTreeSet<PathBuf>>,
    pattern: Option<&LazyRegex>,
) -> BTreeSet<PathBuf> {
    let path = head.path("mountPoints");
    let paths = paths.take(check, &path).unwrap_or_default();
    let names = pattern.map(LazyRegex::group_names);
    let has_device = names.is_some_and(|mut names| names.any(|name| DEVICES.contains(&name)));
    if paths.is_empty() || head.is_permanent() && has_device {
        return paths;
    }
    let message = "has no effect: only a permanent rule for records whose pattern has a group named \
                   device has a condition that depends on what is mounted";
    check.note(&path, message);
    BTreeSet::new()
}

/// How many matches it takes; `None` for each.
fn threshold(
    check: &mut FileCheck<'_>,
    head: RuleHead<'_>,
    threshold: Lenient<AtLeastOne>,
    window: Lenient<Positive>,
) -> Option<Threshold> {
    let count = threshold.take(check, &head.path("threshold"));
    let window = window.take(check, &head.path("window"));
    match (count, window) {
        (None, None) => None,
        (None, Some(_)) => {
            let message = "is missing, and a window is given; each match counts";
            check.note(&head.path("threshold"), message);
            None
        }
        (Some(_), None) => {
            let message = "is missing, and a threshold is given; each match counts";
            check.note(&head.path("window"), message);
            None
        }
        (Some(count), Some(window)) => Some(Threshold {
            count: usize::try_from(count.0).unwrap_or(usize::MAX),
            window: window.0,
        }),
    }
}
