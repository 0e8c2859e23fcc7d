//! A rule of a config file.

use std::sync::Arc;

use jiff::SignedDuration;
use regex::Regex;
use serde::{Deserialize, Deserializer, de};

use super::Nanoseconds;
use crate::go::json::ConfigError;
use crate::go::regex::compile_anchored;
use crate::monitor::ConfigFile;
use crate::monitor::log::rule::{LogRule, RuleMemory, Threshold};
use crate::problem::{Healthy, Problem};

/// A rule as written. NPD does not know the last four keys.
#[derive(Deserialize)]
pub(super) struct LogRuleConfig {
    r#type: LogRuleType,
    #[serde(default)]
    condition: String,
    #[serde(default)]
    reason: String,
    pub(super) pattern: Pattern,
    #[serde(rename = "patternGeneratedMessageSuffix", default)]
    pattern_generated_message_suffix: String,
    #[serde(rename = "clearPattern")]
    pub(super) clear_pattern: Option<Pattern>,
    #[serde(rename = "clearAfter")]
    clear_after: Option<Nanoseconds>,
    threshold: Option<i64>,
    window: Option<Nanoseconds>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
enum LogRuleType {
    #[serde(rename = "temporary")]
    Temporary,
    #[serde(rename = "permanent")]
    Permanent,
}

/// A Go regular expression that has to match up to the end of the newest entry.
#[derive(Clone)]
pub(super) struct Pattern {
    pub(super) written: String,
    pub(super) compiled: Regex,
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        let compiled = compile_anchored(&written).map_err(de::Error::custom)?;
        Ok(Self { written, compiled })
    }
}

impl LogRuleConfig {
    /// Checks what takes more than one value to see. This is rule `index` of `file`, which declares
    /// `conditions`.
    pub(super) fn checked(
        &self,
        file: &ConfigFile,
        index: usize,
        conditions: &[Healthy],
        metrics: bool,
    ) -> Result<LogRule, ConfigError> {
        let wrong =
            |key: &str, message: &str| file.error(&format!("rules[{index}].{key}"), message);
        let permanent = self.r#type == LogRuleType::Permanent;
        let declared = conditions
            .iter()
            .any(|known| *known.r#type == *self.condition);
        if permanent && !declared {
            let message = format!("{:?} is not declared in conditions", self.condition);
            return Err(wrong("condition", &message));
        }
        let nothing_to_clear = "a temporary problem does not last, so there is nothing to clear";
        if !permanent && self.clear_pattern.is_some() {
            return Err(wrong("clearPattern", nothing_to_clear));
        }
        if !permanent && self.clear_after.is_some() {
            return Err(wrong("clearAfter", nothing_to_clear));
        }
        let positive = |key: &str, duration: Option<Nanoseconds>| match duration {
            Some(Nanoseconds(length)) if length <= 0 => {
                Err(wrong(key, "it has to be longer than nothing"))
            }
            duration => Ok(duration.map(|Nanoseconds(length)| SignedDuration::from_nanos(length))),
        };
        let clear_after = positive("clearAfter", self.clear_after)?;
        let threshold = match (self.threshold, positive("window", self.window)?) {
            (None, None) => None,
            (None, Some(_)) => return Err(wrong("threshold", "is missing, and a window is given")),
            (Some(_), None) => return Err(wrong("window", "is missing, and a threshold is given")),
            (Some(count), Some(window)) => {
                let count = usize::try_from(count).ok().filter(|count| *count > 0);
                let count = count.ok_or_else(|| wrong("threshold", "it has to be at least 1"))?;
                Some(Threshold { count, window })
            }
        };
        let clears = self.clear_pattern.is_some() || clear_after.is_some();
        Ok(LogRule {
            problem: Arc::new(Problem {
                reason: Arc::from(&*self.reason),
                condition: permanent.then(|| Arc::from(&*self.condition)),
                message_is_news: false,
                metrics,
            }),
            suffix: self.pattern_generated_message_suffix.clone(),
            claimant: if clears {
                format!("rules[{index}]")
            } else {
                String::new()
            },
            threshold,
            clear_after,
            pattern: self.pattern.written.clone(),
            memory: RuleMemory::default(),
        })
    }
}
