//! A name stands for one thing.

use std::collections::BTreeMap;

use crate::{File, assert_none, files};

/// Type names that may stand for more than one thing in a crate, each with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

#[test]
fn a_type_name_stands_for_one_thing() {
    let mut places = BTreeMap::<(String, String), Vec<String>>::new();
    for file in files().unwrap().iter().filter(|file| file.is_rust()) {
        let Some((package, _)) = file.path.split_once("/src/") else {
            continue;
        };
        for (line, name) in types(file) {
            let key = (package.to_owned(), name.to_owned());
            let place = format!("{}:{line}", file.path);
            places.entry(key).or_default().push(place);
        }
    }
    let is_exception = |name: &str| EXCEPTIONS.iter().any(|(known, _)| *known == name);
    let repeated = places
        .into_iter()
        .filter(|((_, name), places)| places.len() > 1 && !is_exception(name));
    assert_none(
        "a search for a type's name finds one type",
        repeated.map(|((_, name), places)| format!("{name}: {}", places.join(", "))),
    );
}

/// `git grep bufferSize` has to hit the line that defines the key.
#[test]
fn config_keys_are_spelled_out() {
    let files = files().unwrap();
    let monitors = files
        .iter()
        .filter(|file| file.path.starts_with("npd-agent/src/monitor/"));
    let renamed = monitors.filter(|file| file.text.contains("rename_all"));
    let renamed = renamed.map(|file| file.path.clone());
    assert_none("a search for a config key finds its definition", renamed);
}

/// The types that a file defines, with their lines. An associated type has the name that its
/// trait gives it; those are indented, as no other alias is.
fn types(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.text.lines().enumerate().filter_map(|(index, line)| {
        let code = without_visibility(line.trim_start());
        let alias = line.strip_prefix("type ").or_else(|| {
            let is_outermost = line.starts_with("pub");
            code.strip_prefix("type ").filter(|_| is_outermost)
        });
        let keywords = ["struct ", "enum ", "trait ", "union "];
        let definition = keywords.iter().find_map(|word| code.strip_prefix(word));
        let name = alias.or(definition)?;
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
        let name = &name[..end.unwrap_or(name.len())];
        let is_type = name.starts_with(|c: char| c.is_ascii_uppercase());
        is_type.then_some((index + 1, name))
    })
}

/// `code` without a leading `pub` or `pub(…)`.
fn without_visibility(code: &str) -> &str {
    match code.strip_prefix("pub") {
        Some(rest) if rest.starts_with(' ') => rest.trim_start(),
        Some(rest) if rest.starts_with('(') => rest.split_once(") ").map_or(code, |(_, rest)| rest),
        _ => code,
    }
}
