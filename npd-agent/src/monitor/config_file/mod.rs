//! What the config files of every kind of monitor have in common.
//!
//! NPD also starts with files that have mistakes: a rule whose condition is not declared, an unknown
//! key. So the agent starts too. Such mistakes are not logged here but added to a list, and the caller
//! decides what to do with the list. If NPD refuses a file, that is an error.

mod rule;
mod value;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use self::rule::RuleHead;
pub use self::value::{AtLeastOne, Lenient, NotNegative, Positive};
use crate::go::json::{self, ConfigProblem, UnknownKey};
use crate::go::layout::TimeLayout;
use crate::problem::Healthy;

/// A config file that was read, but not parsed.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Its path as given, or the name of a built-in one. Names it in messages and metrics.
    pub name: Arc<str>,
    /// Relative paths in it start here; `None` for a built-in one.
    pub dir: Option<PathBuf>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl ConfigFile {
    /// A problem with the value at `path`, for example `rules[0].pattern`.
    pub fn problem(&self, path: &str, message: impl fmt::Display) -> ConfigProblem {
        ConfigProblem::new(&self.name, &self.bytes, path, message)
    }
}

/// A config file while it is checked.
#[derive(Debug)]
pub struct FileCheck<'a> {
    /// The file.
    pub file: &'a ConfigFile,
    /// The mistakes with which the agent starts.
    problems: &'a mut Vec<ConfigProblem>,
}

impl<'a> FileCheck<'a> {
    /// A check that adds the mistakes of `file` to `problems`, if the agent starts in spite of them.
    pub fn new(file: &'a ConfigFile, problems: &'a mut Vec<ConfigProblem>) -> Self {
        Self { file, problems }
    }

    /// The file's content. Notes unknown keys.
    pub fn decode<T: DeserializeOwned>(&mut self) -> Result<T, ConfigProblem> {
        let decoded = json::from_slice(&self.file.name, &self.file.bytes)?;
        let unknown = decoded.unknown_keys.into_iter();
        self.problems.extend(
            unknown.map(|UnknownKey { path, line, column }| ConfigProblem {
                file: self.file.name.to_string(),
                line,
                column,
                path,
                message: "is not a key of this file; it has no effect".to_owned(),
            }),
        );
        Ok(decoded.value)
    }

    /// Why the file is refused: because of the value at `path`.
    pub fn error(&self, path: &str, message: impl fmt::Display) -> ConfigProblem {
        self.file.problem(path, message)
    }

    /// Notes what is wrong with the value at `path`, and the effect. The agent starts.
    pub fn note(&mut self, path: &str, message: impl fmt::Display) {
        self.problems.push(self.file.problem(path, message));
    }

    /// Notes that a file has no rules.
    pub fn expect_rules(&mut self, rules: usize) {
        if rules == 0 {
            self.note("rules", "there is none; nothing is looked for");
        }
    }

    /// Notes a problem for which NPD would refuse a file, in a part that NPD does not know.
    pub fn note_refused(&mut self, problem: ConfigProblem) {
        self.problems.push(problem);
    }

    /// The conditions that the file declares, in their healthy state.
    pub fn conditions(&mut self, written: Vec<ConditionConfig>) -> Vec<Healthy> {
        let mut conditions: Vec<Healthy> = Vec::new();
        for (index, condition) in written.into_iter().enumerate() {
            let path = format!("conditions[{index}].type");
            let known = |known: &Healthy| *known.r#type == *condition.r#type;
            if condition.r#type.is_empty() {
                // Kubernetes would refuse all conditions of the node together with this one.
                self.note(&path, "is missing; the condition is not shown");
            } else if conditions.iter().any(known) {
                let message = "is declared twice; only the first counts";
                self.note(&path, format!("{:?} {message}", condition.r#type));
            } else {
                conditions.push(condition.healthy());
            }
        }
        conditions
    }
}

/// A condition as NPD's config files write it. `status` and `transition` are overwritten at the
/// start, but NPD refuses a `transition` that is no time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConditionConfig {
    r#type: String,
    /// While all is well.
    reason: String,
    /// While all is well.
    message: String,
    #[serde(rename = "status")]
    _status: String,
    #[serde(rename = "transition")]
    _transition: Option<Transition>,
}

/// A time, as Go reads it in JSON. Nothing is done with it.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Transition;

impl TryFrom<String> for Transition {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let layout = TimeLayout::new("2006-01-02T15:04:05Z07:00");
        let parsed = layout.parse(&text);
        parsed.map(|_| Self).map_err(|error| error.to_string())
    }
}

impl ConditionConfig {
    fn healthy(self) -> Healthy {
        Healthy {
            r#type: Arc::from(self.r#type),
            reason: Arc::from(self.reason),
            message: self.message,
        }
    }
}
