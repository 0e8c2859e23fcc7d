//! What a page names exists.

use std::collections::BTreeSet;

use regex::Regex;

use crate::markdown::{quoted, rows};
use crate::{File, assert_none, files, root};

/// Paths that tools make, and that are not under version control.
const MADE: &[&str] = &["fuzz/artifacts"];

#[test]
fn paths_on_pages_exist() {
    let root = root().unwrap();
    let files = files().unwrap();
    let folder = |path: &str| path.split_once('/').map(|(first, _)| first.to_owned());
    let folders: BTreeSet<_> = files.iter().filter_map(|file| folder(&file.path)).collect();
    let mut dead = Vec::new();
    for page in files.iter().filter(|file| file.has_extension("md")) {
        let prose = page.text.split("```").step_by(2);
        for name in prose.flat_map(quoted).filter(|name| is_path(name)) {
            let is_from_root = folder(name).is_some_and(|first| folders.contains(&first));
            let is_source = [".rs", ".sh", ".json"]
                .iter()
                .any(|end| name.ends_with(end));
            let exists = || {
                let pattern = pattern(name, is_from_root).unwrap();
                let is_file = files.iter().any(|file| pattern.is_match(&file.path));
                is_file || is_from_root && root.path_exists(name)
            };
            if (is_from_root || is_source) && !MADE.contains(&name) && !exists() {
                dead.push(format!("{}: {name}", page.path));
            }
        }
    }
    assert_none("a path on a page leads to a file or folder", dead);
}

#[test]
fn differences_from_npd_are_tested() {
    let files = files().unwrap();
    let tests = tests(&files).unwrap();
    let page = files
        .iter()
        .find(|file| file.path == "docs/compatibility.md");
    let mut untested = Vec::new();
    for row in rows(&page.unwrap().text) {
        if !row.headings.contains(&"pinned by") {
            continue;
        }
        let named: Vec<_> = quoted(row.cell("pinned by")).collect();
        if named.is_empty() {
            untested.push(format!("{}: no test", row.cells[0]));
        }
        let missing = named.iter().filter(|name| !tests.contains(**name));
        untested.extend(missing.map(|name| format!("{}: there is no test {name}", row.cells[0])));
    }
    assert_none(
        "a difference from NPD names the tests that pin it",
        untested,
    );
}

/// Whether this may be a path: it has no blanks, and it has a folder or an extension.
fn is_path(name: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-/*".contains(c);
    name.chars().all(is_legal) && name.contains(['/', '.']) && !name.starts_with(['/', '.'])
}

/// Matches a path, and all paths below it. A page may leave out the first folders of a source file.
/// Names in capitals, such as `REASON.txt`, and `*` match any name.
fn pattern(name: &str, is_from_root: bool) -> Result<Regex, regex::Error> {
    let placeholder = Regex::new(r"(^|/)[A-Z]+(\.(?:rs|txt|md))?(/|$)")?;
    let name = match name {
        "README.md" | "CHANGELOG.md" | "CONTRIBUTING.md" => name.into(),
        _ => placeholder.replace_all(name, "$1*$2$3"),
    };
    let name = regex::escape(name.trim_end_matches('/')).replace(r"\*", "[^/]*");
    let start = if is_from_root { "^" } else { "(?:^|/)" };
    Regex::new(&format!("{start}{name}(?:/|$)"))
}

/// The names of all tests, in the agent and of the built agent.
fn tests(files: &[File]) -> Result<BTreeSet<String>, regex::Error> {
    let function = r"#\[(?:tokio::)?test[^\n]*\]\s*(?:#\[[^\n]*\]\s*)*(?:async )?fn (\w+)";
    let test = Regex::new(&format!(r#"{function}|\bTest \{{\s*name: "(\w+)""#))?;
    let sources = files.iter().filter(|file| file.is_rust());
    let tests = sources.flat_map(|file| {
        let found = test.captures_iter(&file.text);
        found.filter_map(|found| Some(found.get(1).or(found.get(2))?.as_str().to_owned()))
    });
    Ok(tests.collect())
}
