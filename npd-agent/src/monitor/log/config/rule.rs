//! A rule of a config file.

use std::sync::Arc;

use regex::Regex;
use serde::{Deserialize, Deserializer, de};

use crate::go::json::ConfigProblem;
use crate::go::regex::{compile, compile_anchored};
use crate::monitor::FileCheck;
use crate::monitor::config_file::{AtLeastOne, Lenient, Positive, RuleHead};
use crate::monitor::log::rule::{LogRule, RuleMemory, Threshold};
use crate::problem::Healthy;

/// A rule as written. NPD does not know the last four keys.
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
}

/// A Go regular expression that has to match up to the end of the newest entry.
#[derive(Clone)]
struct Pattern {
    written: String,
    compiled: Regex,
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        // As it stands first, like NPD: `x\` becomes a whole pattern only by what is appended.
        compile(&written).map_err(de::Error::custom)?;
        let compiled = compile_anchored(&written).map_err(de::Error::custom)?;
        Ok(Self { written, compiled })
    }
}

/// A rule that was checked, and its patterns.
pub(super) struct CheckedLogRule {
    pub(super) rule: LogRule,
    /// What it looks for.
    pub(super) pattern: Regex,
    /// What ends its condition.
    pub(super) clear_pattern: Option<Regex>,
}

impl LogRuleConfig {
    /// Checks what takes more than one value to see. This is rule `index` of a file that declares
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
        let problem = head.problem(check, conditions, metrics)?;
        let pattern = match self.pattern {
            Some(pattern) if !pattern.written.is_empty() => pattern,
            _ => {
                let path = head.path("pattern");
                check.note(&path, "is missing; the rule matches every entry");
                let written = String::new();
                let compiled = compile_anchored(&written).map_err(|why| check.error(&path, why))?;
                Pattern { written, compiled }
            }
        };
        let threshold = threshold(check, head, self.threshold, self.window);
        let mut clear_pattern = self.clear_pattern.take(check, &head.path("clearPattern"));
        let mut clear_after = self.clear_after.take(check, &head.path("clearAfter"));
        if !head.is_permanent() {
            let message = "has no effect: a temporary problem does not last, so there is nothing \
                           to clear";
            if clear_pattern.take().is_some() {
                check.note(&head.path("clearPattern"), message);
            }
            if clear_after.take().is_some() {
                check.note(&head.path("clearAfter"), message);
            }
        }
        let clears = clear_pattern.is_some() || clear_after.is_some();
        Ok(CheckedLogRule {
            rule: LogRule {
                problem: Arc::new(problem),
                suffix: self.pattern_generated_message_suffix,
                claimant: if clears {
                    format!("rules[{index}]")
                } else {
                    String::new()
                },
                threshold,
                clear_after: clear_after.map(|after| after.0),
                pattern: pattern.written,
                memory: RuleMemory::default(),
            },
            pattern: pattern.compiled,
            clear_pattern: clear_pattern.map(|pattern| pattern.compiled),
        })
    }
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
