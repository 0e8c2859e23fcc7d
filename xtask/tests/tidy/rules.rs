//! Rules for the kernel's log, ours and NPD's, are proven by what kernels have written.

use regex::Regex;
use serde_json::Value;

use crate::{assert_none, root};

const OURS: &str = "deploy/config/kernel-faults.json";
const CONFIGS: [&str; 3] = [
    OURS,
    "deploy/config/kernel-monitor.json",
    "deploy/config/readonly-monitor.json",
];
const FIXTURES: &str = "tests/fixtures/rules";
const PAGE: &str = "docs/monitors/log.md";

/// Each rule's reason and pattern.
fn rules(config: &str) -> anyhow::Result<Vec<(String, String)>> {
    let config = root()?.read_file(config)?;
    let config: Value = serde_json::from_str(&config)?;
    let text = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
    let rules = config["rules"].as_array().into_iter().flatten();
    Ok(rules
        .map(|rule| (text(rule, "reason"), text(rule, "pattern")))
        .collect())
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
    let lacks = |(reason, pattern): &(String, String)| {
        let whole = Regex::new(&format!(r"(?:{pattern})\z")).unwrap();
        !lines(reason)
            .unwrap()
            .iter()
            .any(|line| whole.is_match(line))
    };
    let rules = CONFIGS.iter().flat_map(|config| rules(config).unwrap());
    assert_none(
        &format!("a rule has a line of a kernel, with kernel and date, in {FIXTURES}"),
        rules
            .filter(lacks)
            .map(|(reason, pattern)| format!("{reason}: {pattern}")),
    );
}

#[test]
fn rules_are_described() {
    let page = root().unwrap().read_file(PAGE).unwrap();
    let described = |reason: &str| {
        let mut rows = page.lines().filter(|line| line.starts_with('|'));
        rows.any(|row| row.contains(&format!("`{reason}`")))
    };
    assert_none(
        &format!("a reason of {OURS} has a row in {PAGE}"),
        rules(OURS)
            .unwrap()
            .into_iter()
            .map(|(reason, _)| reason)
            .filter(|reason| !described(reason)),
    );
}
