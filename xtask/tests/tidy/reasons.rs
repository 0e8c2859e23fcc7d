//! Reasons are an API: users match them in alerts and repair policies.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::rules::{KernelLogRule, ours};
use crate::{assert_none, root};

const PAGE: &str = "docs/reasons.md";
/// Every reason that a release or a main branch ever had. Lines are only added.
const KNOWN: &str = "tests/fixtures/reasons.txt";

/// The stats rules that run by default.
const LINKS: &str = "deploy/config/links-monitor.json";

const HEAD: &str = "# Reasons of the built-in rules

```console
$ UPDATE_PAGES=1 cargo test -p xtask --test tidy reasons   # writes this page from deploy/config/kernel
```

[Rules for the kernel log](monitors/log.md#rules-for-the-kernel-log) and [links and redundancy](monitors/stats.md#links-and-redundancy) say what these rules have in common.
A reason with several rows has another severity or action in each.
The object is what is at fault, as the log names it.
";

/// A rule's row without its reason.
fn row(rule: &KernelLogRule) -> anyhow::Result<String> {
    let pattern = rule.text("pattern");
    let mut groups = pattern.split("(?P<").skip(1);
    let object = groups.find_map(|group| {
        let (name, _) = group.split_once('>')?;
        (name != "count").then_some(name)
    });
    let condition = rule.text("condition");
    let after = rule.text("clearAfter");
    let lasts = match (condition, after) {
        ("", _) => String::new(),
        (condition, "") => format!("`{condition}`, until the next boot"),
        (condition, after) => format!("`{condition}`, {after} after the last"),
    };
    let example = rule.example()?.unwrap_or_default().replace('|', "\\|");
    Ok(format!(
        "| {} | {} | {} | {lasts} | `{}` |",
        rule.text("severity"),
        rule.text("action"),
        object.unwrap_or_default(),
        example.replace('`', "'"),
    ))
}

/// The page.
fn page() -> anyhow::Result<String> {
    let mut page = HEAD.to_owned();
    let mut files: BTreeMap<String, Vec<KernelLogRule>> = BTreeMap::new();
    for rule in ours()? {
        files.entry(rule.file.clone()).or_default().push(rule);
    }
    for (file, mut rules) in files {
        let name = file.trim_start_matches("deploy/config/");
        writeln!(page, "\n## `{name}`\n")?;
        page += "| reason | severity | action | object | condition | for example |\n";
        page += "| --- | --- | --- | --- | --- | --- |\n";
        let mut rows = BTreeSet::new();
        rules.sort_by_key(|rule| rule.text("reason").to_owned());
        for rule in &rules {
            let key =
                ["reason", "severity", "action", "condition"].map(|key| rule.text(key).to_owned());
            if rows.insert(key) {
                writeln!(page, "| `{}` {}", rule.text("reason"), row(rule)?)?;
            }
        }
    }
    page += "\n## `links-monitor.json`\n\n";
    page += "| reason | severity | action | metric | problem if it |\n";
    page += "| --- | --- | --- | --- | --- |\n";
    for rule in links()? {
        let text = |key: &str| rule[key].as_str().unwrap_or_default();
        writeln!(
            page,
            "| `{}` | {} | {} | `{}` | {} |",
            text("reason"),
            text("severity"),
            text("action"),
            text("metric"),
            bound(&rule)
        )?;
    }
    Ok(page)
}

/// The rules of [`LINKS`].
fn links() -> anyhow::Result<Vec<serde_json::Value>> {
    let config: serde_json::Value = serde_json::from_str(&root()?.read_file(LINKS)?)?;
    Ok(config["rules"].as_array().cloned().unwrap_or_default())
}

/// When a stats rule sees a problem.
fn bound(rule: &serde_json::Value) -> String {
    let bounds = [
        ("above", "is above"),
        ("below", "is below"),
        ("fallsBy", "falls by"),
        ("risesBy", "rises by"),
        ("window", "within"),
        ("for", "for"),
    ];
    let set = bounds.iter().filter_map(|(key, words)| {
        let value = rule.get(key)?;
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        Some(format!("{words} {value}"))
    });
    set.collect::<Vec<_>>().join(" ")
}

#[test]
fn reasons_are_on_their_page() {
    let root = root().unwrap();
    let page = page().unwrap();
    if std::env::var_os("UPDATE_PAGES").is_some() {
        root.write_file(PAGE, &page).unwrap();
    }
    let written = root.read_file(PAGE).unwrap_or_default();
    let hint =
        format!("{PAGE} is out of date: UPDATE_PAGES=1 cargo test -p xtask --test tidy reasons");
    assert!(written == page, "{hint}");
}

/// A reason that goes needs a line in the changelog that names it.
#[test]
fn no_reason_is_lost() {
    let root = root().unwrap();
    let known = root.read_file(KNOWN).unwrap();
    let known: BTreeSet<_> = known.lines().collect();
    let rules = ours().unwrap();
    let links = links().unwrap();
    let links = links.iter().filter_map(|rule| rule["reason"].as_str());
    let now: BTreeSet<_> = rules
        .iter()
        .map(|rule| rule.text("reason"))
        .chain(links)
        .collect();
    let changelog = root.read_file("CHANGELOG.md").unwrap();
    let explained = |reason: &&str| changelog.contains(&format!("`{reason}`"));
    assert_none(
        &format!("a reason stays, or CHANGELOG.md says where it went; {KNOWN} has all"),
        known
            .difference(&now)
            .filter(|reason| !explained(reason))
            .map(|reason| (*reason).to_owned()),
    );
    assert_none(
        &format!("a new reason has a line in {KNOWN}"),
        now.difference(&known).map(|reason| (*reason).to_owned()),
    );
}
