//! Reasons are an API: users match them in alerts and repair policies.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::rules::{KernelLogRule, ours};
use crate::{assert_none, root};

const PAGE: &str = "docs/reasons.md";
/// Every reason that a release or a main branch ever had. Lines are only added.
const KNOWN: &str = "tests/fixtures/reasons.txt";

const HEAD: &str = "# Reasons of the built-in rules for the kernel log

```console
$ UPDATE_PAGES=1 cargo test -p xtask --test tidy reasons   # writes this page from deploy/config/kernel
```

[Rules for the kernel log](monitors/log.md#rules-for-the-kernel-log) says what these rules have in common.
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
    Ok(page)
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
    let now: BTreeSet<_> = rules.iter().map(|rule| rule.text("reason")).collect();
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
