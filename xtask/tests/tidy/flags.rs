//! Each program's page lists its flags.

use std::collections::BTreeSet;

use regex::Regex;

use crate::markdown::{quoted, rows};
use crate::{File, assert_none, files, root};

/// A page, and the source files that define the flags on it.
const PAGES: &[(&str, &[&str])] = &[
    (
        "docs/flags.md",
        &[
            "npd-agent/src/flags/table.rs",
            "npd-agent/src/aliases/mod.rs",
            "npd-agent/src/monitor/",
        ],
    ),
    (
        "docs/health-checker.md",
        &[
            "npd-agent/src/tools/health_checker/flags.rs",
            "npd-agent/src/tools/klog.rs",
        ],
    ),
    (
        "docs/log-counter.md",
        &[
            "npd-agent/src/tools/log_counter/flags.rs",
            "npd-agent/src/tools/klog.rs",
        ],
    ),
    ("docs/config.md", &["npd-agent/src/tools/check/mod.rs"]),
    ("docs/replay.md", &["npd-agent/src/tools/replay/mod.rs"]),
    ("docs/scan.md", &["npd-agent/src/tools/probes.rs"]),
    ("docs/monitors/plugin.md", &["npd-agent/src/checks/mod.rs"]),
    ("docs/deploy.md", &["npd-agent/src/tools/uninstall.rs"]),
];

#[test]
fn flags_are_on_the_pages() {
    let root = root().unwrap();
    let files = files().unwrap();
    let mut hidden = Vec::new();
    let mut unknown = Vec::new();
    for (path, sources) in PAGES {
        let page = root.read_file(path).unwrap();
        let flags = defined(&files, sources).unwrap();
        assert!(!flags.is_empty(), "the code behind {path} has flags");
        let shown: BTreeSet<_> = quoted(&page).map(name).collect();
        let missing = flags.iter().filter(|flag| !shown.contains(&***flag));
        hidden.extend(missing.map(|flag| format!("{path}: {flag}")));
        let invented = listed(&page)
            .into_iter()
            .filter(|flag| !flags.contains(*flag));
        unknown.extend(invented.map(|flag| format!("{path}: {flag}")));
    }
    assert_none("a flag stands on its program's page", hidden);
    assert_none("a flag in a page's table exists", unknown);
}

/// The flags that these files or folders define. Every program has `--help`.
fn defined(files: &[File], sources: &[&str]) -> Result<BTreeSet<String>, regex::Error> {
    let flag = Regex::new(r#""(--[a-z0-9.-]+)""#)?;
    let sources = files.iter().filter(|file| {
        let is_source = sources.iter().any(|source| file.path.starts_with(source));
        is_source && file.is_rust() && !file.path.contains("/tests")
    });
    let flags = sources.flat_map(|file| {
        let flags = flag.captures_iter(&file.text);
        flags.map(|flag| flag[1].to_owned())
    });
    Ok(flags.filter(|flag| flag != "--help").collect())
}

/// The flags in the tables of a page.
fn listed(page: &str) -> BTreeSet<&str> {
    let cells = rows(page)
        .into_iter()
        .flat_map(|row| [row.cell("flag"), row.cell("flags")]);
    let flags = cells.flat_map(|cell| quoted(cell).map(name).collect::<Vec<_>>());
    flags.filter(|flag| flag.starts_with("--")).collect()
}

/// A flag without its value.
fn name(flag: &str) -> &str {
    flag.split(['=', ' ']).next().unwrap_or_default()
}
