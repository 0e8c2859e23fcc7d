//! The status page is for HTTP only; parts of the agent do not use it to talk to each other.

use crate::{File, assert_none, files};

#[test]
fn only_the_server_reads_the_status_page() {
    let folder = "npd-agent/src/";
    let readers = ["server.rs", "server/", "status_page.rs", "tools/"];
    let is_other = |file: &File| {
        let path = file.path.strip_prefix(folder);
        let tests = ["/tests/", "/tests.rs", "/fuzz.rs"];
        let is_test = tests.iter().any(|name| file.path.contains(name));
        let is_reader = |path: &str| readers.iter().any(|reader| path.starts_with(reader));
        file.is_rust() && !is_test && path.is_some_and(|path| !is_reader(path))
    };
    let violations = files().unwrap().into_iter().filter(is_other);
    let violations = violations.filter(|file| reads(&file.text));
    assert_none(
        "only the server reads the status page; use a channel of your own between parts of the agent",
        violations.map(|file| file.path),
    );
}

/// Whether code outside of tests reads it, over however many lines.
fn reads(text: &str) -> bool {
    let code = text.split("#[cfg(test)]\nmod tests {").next();
    let code = code.unwrap_or_default().split_whitespace();
    code.collect::<String>().contains("status_page.read(")
}

#[test]
fn a_read_is_noticed() {
    assert!(reads(
        "#[cfg(test)]\nmod tests;\nlet shown = reporter.status_page.read();"
    ));
    assert!(reads(
        "let shown = reporter\n    .status_page\n    .read();"
    ));
    assert!(!reads("status_page.update(|shown| shown.number += 1);"));
}
