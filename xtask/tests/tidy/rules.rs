//! Rules for the kernel's log, ours and NPD's, are proven by what kernels have written.

use regex::Regex;
use serde_json::Value;

use crate::{assert_none, files, root};

const OURS: &str = "deploy/config/kernel/";
const NPDS: [&str; 2] = [
    "deploy/config/kernel-monitor.json",
    "deploy/config/readonly-monitor.json",
];
const FIXTURES: &str = "tests/fixtures/rules";

/// A rule of a config file.
pub(crate) struct KernelLogRule {
    /// The file's path.
    pub(crate) file: String,
    /// The rule as written.
    pub(crate) written: Value,
}

impl KernelLogRule {
    /// The text of a key; empty without it.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.written[key].as_str().unwrap_or_default()
    }

    /// Whether the rule reports a line.
    fn matches(&self, line: &str) -> anyhow::Result<bool> {
        let pattern = self.text("pattern");
        let pattern = if self.text("match").is_empty() {
            format!(r"(?:{pattern})\z")
        } else {
            format!(r"\A(?:{pattern})")
        };
        let excepted = match self.written["except"].as_str() {
            Some(except) => Regex::new(except)?.is_match(line),
            None => false,
        };
        Ok(Regex::new(&pattern)?.is_match(line) && !excepted)
    }

    /// A line of the fixture that the rule reports.
    pub(crate) fn example(&self) -> anyhow::Result<Option<String>> {
        for line in lines(self.text("reason"))? {
            if self.matches(&line)? {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }
}

/// The rules of the files whose paths begin so.
fn rules(prefix: &str) -> anyhow::Result<Vec<KernelLogRule>> {
    let mut rules = Vec::new();
    for file in files()? {
        if !file.path.starts_with(prefix) {
            continue;
        }
        let config: Value = serde_json::from_str(&file.text)?;
        let written = config["rules"].as_array().cloned().unwrap_or_default();
        rules.extend(written.into_iter().map(|written| KernelLogRule {
            file: file.path.clone(),
            written,
        }));
    }
    Ok(rules)
}

/// The rules that are built in.
pub(crate) fn ours() -> anyhow::Result<Vec<KernelLogRule>> {
    rules(OURS)
}

/// The lines for rules of this reason: what a kernel has written, or would. Each group has a
/// heading that says which kernel, when and where, or from which format string it is composed.
fn lines(reason: &str) -> anyhow::Result<Vec<String>> {
    let heading = Regex::new(r"^# (Linux .+, .*\b20\d\d\b.*: .+|Composed from .+)$")?;
    let file = root()?.read_file(format!("{FIXTURES}/{reason}.txt"));
    let mut known = false;
    let mut lines = Vec::new();
    for line in file.unwrap_or_default().lines() {
        if line.starts_with('#') {
            known = heading.is_match(line);
        } else if known && let Some(text) = line.strip_prefix("= ") {
            lines.push(text.to_owned());
        }
    }
    Ok(lines)
}

#[test]
fn rules_have_fixtures() {
    let npds = NPDS.iter().flat_map(|file| rules(file).unwrap());
    let rules = ours().unwrap().into_iter().chain(npds);
    let lacking = rules.filter(|rule| rule.example().unwrap().is_none());
    assert_none(
        &format!("a rule has a line of a kernel, with kernel and date, in {FIXTURES}"),
        lacking.map(|rule| {
            let (reason, pattern) = (rule.text("reason"), rule.text("pattern"));
            format!("{}: {reason}: {pattern}", rule.file)
        }),
    );
}

#[test]
fn rules_say_how_bad_it_is_what_to_do_and_how_it_ends() {
    let ends = ["clearPattern", "clearAfter", "clearAtBoot"];
    let lacks = |rule: &KernelLogRule| {
        let advises = !rule.text("severity").is_empty() && !rule.text("action").is_empty();
        let lasts = rule.text("type") == "permanent";
        let ends = ends.iter().any(|key| !rule.written[*key].is_null());
        !advises || rule.text("match").is_empty() || lasts && !ends
    };
    assert_none(
        "a rule has severity, action and match, and a permanent one says how its condition ends",
        ours()
            .unwrap()
            .into_iter()
            .filter(lacks)
            .map(|rule| format!("{}: {}", rule.file, rule.written)),
    );
}
