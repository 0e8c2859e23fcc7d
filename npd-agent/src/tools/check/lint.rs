//! Warns about files that the agent accepts, but that may not do what their author wants.
//!
//! The monitors' loaders report mistakes. This module checks the rest.

use regex_syntax::ast::{self, Ast};
use regex_syntax::hir::Look;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::go::json::{self, ConfigProblem};
use crate::go::regex::compile;
use crate::monitor::{ConfigFile, MonitorKind, ebpf, log, plugin, stats};

/// The keys that the config files of all kinds have in common, as far as they are checked here.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Outline {
    plugin: Option<String>,
    aliases: Option<IgnoredAny>,
    #[serde(rename = "bufferSize")]
    buffer_size: i64,
    conditions: Vec<ConditionOutline>,
    rules: Vec<RuleOutline>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PluginKey {
    plugin: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConditionOutline {
    r#type: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RuleOutline {
    r#type: String,
    condition: String,
    reason: String,
    pattern: String,
    #[serde(rename = "clearPattern")]
    clear_pattern: Option<IgnoredAny>,
    #[serde(rename = "clearAfter")]
    clear_after: Option<IgnoredAny>,
    #[serde(rename = "clearAtBoot")]
    clear_at_boot: Option<IgnoredAny>,
    r#match: Option<IgnoredAny>,
}

impl RuleOutline {
    fn is_permanent(&self) -> bool {
        self.r#type != "temporary"
    }

    /// Whether the rule says how its condition ends.
    fn ends(&self) -> bool {
        let clears = self.clear_pattern.is_some() || self.clear_after.is_some();
        clears || self.clear_at_boot.is_some()
    }
}

impl Outline {
    pub(super) fn of(file: &ConfigFile) -> Self {
        let whole = json::from_slice(&file.name, &file.bytes);
        whole.map_or_else(|_| Self::of_refused(file), |decoded| decoded.value)
    }

    /// If a file has a value of the wrong type, only its kind is read.
    fn of_refused(file: &ConfigFile) -> Self {
        let decoded = json::from_slice::<PluginKey>(&file.name, &file.bytes);
        Self {
            plugin: decoded.map_or(None, |decoded| decoded.value.plugin),
            ..Self::default()
        }
    }

    /// Whether it is a file of aliases, and not of a monitor.
    pub(super) fn is_of_aliases(&self) -> bool {
        self.aliases.is_some() && self.plugin.is_none()
    }

    /// The kind of monitor that reads such files. Those of system stats name no plugin.
    pub(super) fn kind(&self) -> MonitorKind {
        match self.plugin.as_deref() {
            Some("custom") => plugin::KIND,
            Some("ebpf") => ebpf::KIND,
            Some(_) => log::KIND,
            None => stats::KIND,
        }
    }

    /// The warnings about rules and conditions.
    pub(super) fn warnings(&self, file: &ConfigFile) -> Vec<ConfigProblem> {
        let mut warnings = Vec::new();
        let mut warn = |path: String, message: &str| warnings.push(file.problem(&path, message));
        for (index, condition) in self.conditions.iter().enumerate() {
            let sets =
                |rule: &RuleOutline| rule.is_permanent() && rule.condition == condition.r#type;
            if !condition.r#type.is_empty() && !self.rules.iter().any(sets) {
                let path = format!("conditions[{index}].type");
                warn(path, "no rule of this file sets it: it is always False");
            }
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let path = |key| format!("rules[{index}].{key}");
            if !is_camel_case(&rule.reason) {
                let message = "is not one word in CamelCase, as Kubernetes' tools expect it";
                warn(path("reason"), message);
            }
            if self.is_log() {
                if rule.r#match.is_none()
                    && let Some(message) = self.pattern_warning(&rule.pattern)
                {
                    warn(path("pattern"), message);
                }
                if rule.is_permanent() && !rule.ends() {
                    let message = "nothing says how it ends: clearPattern, clearAfter or \
                                   clearAtBoot is missing";
                    warn(path("condition"), message);
                }
            }
        }
        warnings
    }

    fn is_log(&self) -> bool {
        matches!(
            self.plugin.as_deref(),
            Some("kmsg" | "filelog" | "journald")
        )
    }

    fn pattern_warning(&self, pattern: &str) -> Option<&'static str> {
        let pattern = compile(pattern).ok()?;
        let tree = ast::parse::Parser::new().parse(pattern.as_str()).ok()?;
        if matches!(tree, Ast::Alternation(_)) {
            return Some(
                "only its last branch has to end where the newest entry ends; the others are \
                 found again with each entry: write (a|b)",
            );
        }
        let meaning = regex_syntax::parse(pattern.as_str()).ok()?;
        let is_anchored = meaning.properties().look_set_prefix().contains(Look::Start);
        (is_anchored && self.buffer_size != 1).then_some(
            "^ is the start of the oldest of several entries; the start of any entry is (?m)^",
        )
    }
}

fn is_camel_case(reason: &str) -> bool {
    reason.starts_with(|c: char| c.is_ascii_uppercase())
        && reason.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
