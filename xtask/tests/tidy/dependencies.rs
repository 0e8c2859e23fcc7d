//! Modules of the agent use each other in one direction: `docs/architecture.md` says why.

use crate::{File, assert_none, files};

/// What a module, the first in each line, does not know: modules of the agent, and crates.
const UNKNOWN: &[(&str, &[&str])] = &[
    // What is true, and in which words: pure.
    ("go", PURE),
    ("problem", PURE),
    ("ledger", PURE),
    ("incident", PURE),
    ("kernel_text", PURE),
    // What everyone above may use.
    ("status_page", ABOVE_NODE),
    ("metrics", ABOVE_NODE),
    ("node", ABOVE_NODE),
    ("exec", ABOVE_NODE),
    ("reporter", ABOVE_REPORTER),
    // Those who look, and those who tell, do not know each other.
    (
        "monitor",
        &["agent", "config", "exporter", "flags", "hub", "server"],
    ),
    (
        "exporter",
        &[
            "agent", "config", "hub", "incident", "ledger", "monitor", "reporter", "server",
        ],
    ),
    ("hub", &["agent", "config", "flags", "server"]),
    (
        "server",
        &["agent", "config", "exporter", "hub", "ledger", "monitor"],
    ),
];

const PURE: &[&str] = &[
    "agent",
    "status_page",
    "config",
    "exec",
    "exporter",
    "flags",
    "hub",
    "metrics",
    "monitor",
    "node",
    "reporter",
    "server", // and no effects:
    "nix",
    "std::fs",
    "std::net",
    "std::process",
    "tokio",
    "tracing",
];

const ABOVE_NODE: &[&str] = &[
    "agent", "config", "exporter", "flags", "hub", "incident", "ledger", "monitor", "reporter",
    "server",
];

const ABOVE_REPORTER: &[&str] = &[
    "agent", "config", "exporter", "flags", "hub", "incident", "ledger", "monitor", "server",
];

#[test]
fn dependencies_point_one_way() {
    let files = files().unwrap();
    let mut violations = Vec::new();
    for (module, unknown) in UNKNOWN {
        for file in files.iter().filter(|file| is_part_of(file, module)) {
            if is_test(file, &files) {
                continue;
            }
            let code = file.text.split("#[cfg(test)]\nmod tests").next();
            let used = paths(code.unwrap_or_default());
            let found = unknown.iter().filter(|name| {
                let below = format!("{name}::");
                used.iter()
                    .any(|path| path == *name || path.starts_with(&below))
            });
            violations.extend(found.map(|name| format!("{}: {name}", file.path)));
        }
    }
    assert_none("a module does not know what is above it", violations);
}

fn is_part_of(file: &File, module: &str) -> bool {
    let path = file.path.strip_prefix("npd-agent/src/").unwrap_or_default();
    file.is_rust() && (path == format!("{module}.rs") || path.starts_with(&format!("{module}/")))
}

/// Whether the folder's `mod.rs` declares the file for tests only.
fn is_test(file: &File, files: &[File]) -> bool {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or_default();
    let declaration = format!("mod {};", name.trim_end_matches(".rs"));
    let parent = format!("{folder}/mod.rs");
    let parent = files.iter().find(|file| file.path == parent);
    parent.is_some_and(|parent| {
        let test_items = parent.text.split("#[cfg(test)]\n").skip(1);
        test_items
            .filter_map(|rest| rest.lines().next())
            .any(|line| line.ends_with(&declaration))
    })
}

/// The paths that `code` uses, from the crate's root or from another crate's.
fn paths(code: &str) -> Vec<String> {
    let code = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let mut paths = Vec::new();
    for line in code {
        for (start, _) in line.match_indices("crate::") {
            let rest = &line[start + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(list) => {
                    let list = list.split('}').next().unwrap_or_default();
                    paths.extend(list.split(',').map(|path| path.trim().to_owned()));
                }
                None => paths.push(first_path(rest)),
            }
        }
        let is_start = |at: usize| {
            !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
        };
        for name in ["nix::", "std::", "tokio::", "tracing::"] {
            let found = line.match_indices(name).filter(|(at, _)| is_start(*at));
            paths.extend(found.map(|(at, _)| first_path(&line[at..])));
        }
    }
    paths
}

/// The path at the beginning of `code`.
fn first_path(code: &str) -> String {
    code.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':')
        .collect()
}
