//! The page of a kind of monitor lists the keys of its config files.

use std::collections::BTreeSet;

use regex::Regex;

use crate::markdown::{quoted, rows};
use crate::{File, assert_none, files, root};

const KINDS: &[&str] = &["log", "plugin", "stats", "ebpf"];

/// The page about what all kinds have in common.
const COMMON: &str = "docs/config.md";

#[test]
fn config_keys_are_on_the_pages() {
    let root = root().unwrap();
    let files = files().unwrap();
    let common = root.read_file(COMMON).unwrap();
    let mut hidden = Vec::new();
    let mut unknown = Vec::new();
    for kind in KINDS {
        let path = format!("docs/monitors/{kind}.md");
        let page = root.read_file(&path).unwrap();
        let keys = keys(&files, kind).unwrap();
        assert!(!keys.is_empty(), "the code of {kind} has config keys");
        let listed: BTreeSet<_> = listed(&page).chain(listed(&common)).collect();
        let missing = keys.iter().filter(|key| !listed.contains(&***key));
        hidden.extend(missing.map(|key| format!("{path}: {key}")));
        let invented = listed.iter().filter(|key| !keys.contains(**key));
        unknown.extend(invented.map(|key| format!("{path}: {key}")));
    }
    assert_none(
        "a config key stands in a table of its monitor's page, or of docs/config.md",
        hidden,
    );
    assert_none("a config key on a page exists", unknown);
}

/// The keys that the config of a kind of monitor has in the code: the fields of the structures that
/// are only read, never written, and the keys of the maps.
fn keys(files: &[File], kind: &str) -> Result<BTreeSet<String>, regex::Error> {
    let structure = Regex::new(
        r"(?s)#\[derive\(([^)]*)\)\]\s*((?:#\[[^\n]*\n)*)(?:pub(?:\([^)]*\))? )?struct \w+ \{(.*?)\n\}",
    )?;
    let field = Regex::new(r"^ *(?:pub(?:\([^)]*\))? )?(?:r#)?(\w+): ")?;
    let rename = Regex::new(r#"rename = "(\w+)""#)?;
    let map = Regex::new(r"(?s)Self::\w+ => &\[(.*?)\]")?;
    let folders = [
        format!("npd-agent/src/monitor/{kind}/"),
        "npd-agent/src/monitor/config_file/".to_owned(),
    ];
    let is_config = |file: &&File| {
        let is_ours = folders.iter().any(|folder| file.path.starts_with(folder));
        is_ours && file.is_rust() && !file.path.contains("/tests")
    };
    let mut keys = BTreeSet::new();
    for file in files.iter().filter(is_config) {
        for found in structure.captures_iter(&file.text) {
            let derived = &found[1];
            if !derived.contains("Deserialize") || derived.contains("Serialize,") {
                continue;
            }
            let mut name = None;
            for line in found[3].lines() {
                if let Some(renamed) = rename.captures(line) {
                    name = Some(renamed[1].to_owned());
                } else if let Some(field) = field.captures(line) {
                    keys.insert(name.take().unwrap_or_else(|| field[1].to_owned()));
                }
            }
        }
        if file.path.ends_with("/log/config/source.rs") {
            let lists = map.captures_iter(&file.text);
            keys.extend(lists.flat_map(|list| {
                let keys = list[1].split('"').skip(1).step_by(2);
                keys.map(str::to_owned).collect::<Vec<_>>()
            }));
        }
    }
    Ok(keys)
}

/// The keys that the tables of a page list: `pluginConfig.timeout` is two.
fn listed(page: &str) -> impl Iterator<Item = &str> {
    let tables = rows(page).into_iter().filter(|row| {
        let heading = row.headings.first();
        heading.is_some_and(|heading| heading.starts_with("key"))
    });
    let paths = tables.flat_map(|row| quoted(row.cells[0]).collect::<Vec<_>>());
    let keys = paths.flat_map(|path| path.split('.'));
    keys.map(|key| key.trim_end_matches("[]"))
}
