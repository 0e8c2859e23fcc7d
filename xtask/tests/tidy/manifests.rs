//! Rules for every manifest.

use std::collections::BTreeMap;

use crate::{File, assert_none, files, root};

/// Crates that may be in the tree twice, and why. An entry that is not needed any more is an error.
const DUPLICATES: &[(&str, &str)] = &[
    ("base64", "kube and its TLS library disagree"),
    ("getrandom", "ring has not moved to 0.4"),
    ("syn", "derive macros are moving to 3"),
    ("windows-sys", "never built: for another system"),
];

#[test]
fn packages_take_part_in_the_lints() {
    let opts_in = |file: &File| file.text.contains("[lints]\nworkspace = true\n");
    let lacking = manifests().unwrap().filter(|file| !opts_in(file));
    assert_none(
        "a package has `[lints] workspace = true`",
        lacking.map(|file| file.path),
    );
}

#[test]
fn versions_are_in_one_place() {
    let is_versioned = |line: &str| {
        line.contains(" = \"") && line.starts_with(|c: char| c.is_alphanumeric())
            || line.contains("version = \"")
    };
    let versioned = manifests().unwrap().flat_map(|file| {
        let mut in_dependencies = false;
        let mut violations = Vec::new();
        for line in file.text.lines() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies");
            } else if in_dependencies && is_versioned(line) {
                violations.push(format!("{}: {line}", file.path));
            }
        }
        violations
    });
    assert_none(
        "the workspace's manifest says the versions: a dependency has `workspace = true`",
        versioned,
    );
}

#[test]
fn crates_are_in_the_tree_once() {
    let lock = root().unwrap().read_file("Cargo.lock").unwrap();
    let mut versions = BTreeMap::<&str, usize>::new();
    for name in lock.lines().filter_map(|line| line.strip_prefix("name = ")) {
        *versions.entry(name.trim_matches('"')).or_default() += 1;
    }
    versions.retain(|_, count| *count > 1);
    let excused: Vec<&str> = DUPLICATES.iter().map(|(name, _)| *name).collect();
    assert_none(
        "one version of a crate, unless excused with a reason",
        versions
            .keys()
            .filter(|name| !excused.contains(name))
            .map(|name| format!("Cargo.lock: {name}")),
    );
    assert_none(
        "no excuse that nothing needs",
        excused
            .iter()
            .filter(|name| !versions.contains_key(*name))
            .map(|name| format!("DUPLICATES: {name}")),
    );
}

/// The manifests of packages that are in the workspace.
fn manifests() -> anyhow::Result<impl Iterator<Item = File>> {
    let is_member =
        |file: &File| file.path.ends_with("/Cargo.toml") && !file.text.contains("[workspace]");
    Ok(files()?.into_iter().filter(is_member))
}
