//! The suites that `cargo xtask test` runs, which are named there.

use crate::{assert_none, files, root};

/// Where they are named.
const LISTS: &str = "xtask/src/test/mod.rs";

#[test]
fn every_suite_of_tests_is_run() {
    let lists = root().unwrap().read_file(LISTS).unwrap();
    let files = files().unwrap();
    let suites = files.iter().filter_map(|file| suite(&file.path));
    let suites: Vec<_> = suites.collect();
    assert!(suites.len() > 10, "only {suites:?} are suites");
    let missing = suites
        .into_iter()
        .filter(|suite| !lists.contains(&format!("\"{suite}\"")));
    assert_none(
        &format!("each suite of tests is in a list of {LISTS}"),
        missing.map(str::to_owned),
    );
}

/// The suite of which this is the main file: `PACKAGE/tests/NAME.rs` or `PACKAGE/tests/NAME/main.rs`.
fn suite(path: &str) -> Option<&str> {
    let (package, rest) = path.split_once("/tests/")?;
    let name = rest.strip_suffix("/main.rs");
    let name = name.or_else(|| rest.strip_suffix(".rs"))?;
    (!package.contains('/') && !name.contains('/')).then_some(name)
}
