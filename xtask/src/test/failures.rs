//! Runs tests, and at the end repeats which have failed and why, because people read the end of a long
//! log.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use xshell::Cmd;

/// How many lines of a failure are repeated.
const LINES: usize = 5;

/// How many characters of each line are repeated.
const WIDTH: usize = 500;

/// Runs a program that runs tests, prints what it prints, and repeats the failures.
#[expect(
    clippy::disallowed_types,
    reason = "xshell cannot read and print what a program prints"
)]
pub(super) fn run(tests: Cmd<'_>) -> anyhow::Result<()> {
    let mut tests = std::process::Command::from(tests)
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the tests")?;
    let mut from = tests.stdout.take().context("reading what tests print")?;
    let mut to = std::io::stdout();
    let mut output = Vec::new();
    let mut buffer = [0; 4096];
    // Not by lines: the name of a test that is running is the beginning of one.
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let piece = &buffer[..length];
        output.extend(piece);
        to.write_all(piece)?;
        to.flush()?;
    }
    let status = tests.wait().context("waiting for the tests")?;
    for failure in failures(&String::from_utf8_lossy(&output)) {
        eprintln!("FAILED {failure}");
    }
    ensure!(status.success(), "running the tests: {status}");
    Ok(())
}

/// The name of each test that failed, and how its message begins.
fn failures(output: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = output.lines();
    while let Some(line) = lines.next() {
        let name = line.strip_prefix("---- ");
        let name = name.and_then(|name| name.strip_suffix(" ----"));
        let Some(name) = name else { continue };
        let name = name.strip_suffix(" stdout").unwrap_or(name);
        // Rust's own harness begins the message with an empty line, and ends it with one, too.
        let message = lines.by_ref().skip_while(|line| line.is_empty());
        let message = message.take_while(|line| !line.is_empty());
        let mut message: Vec<String> = message.map(cut).collect();
        message.truncate(LINES);
        found.push(format!("{name}: {}", message.join("\n    ")));
    }
    found
}

fn cut(line: &str) -> String {
    line.chars().take(WIDTH).collect()
}

#[cfg(test)]
mod tests {
    use super::failures;

    #[test]
    fn both_harnesses_failures_are_found() {
        let output = "\
running 2 tests
test hub::a ... FAILED
test hub::b ... ok

failures:

---- hub::a stdout ----

thread 'hub::a' (17) panicked at npd-agent/src/hub/tests.rs:7:5:
assertion `left == right` failed
  left: 1
 right: 2
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace

failures:
    hub::a

test result: FAILED. 1 passed; 1 failed; 0 ignored

running 1 test
test it_works ... FAILED

failures:

---- it_works ----
waited in vain for the event
the agent reported:
1
2
3
4

failures:
    it_works
";
        let expected = [
            "hub::a: thread 'hub::a' (17) panicked at npd-agent/src/hub/tests.rs:7:5:\n    \
             assertion `left == right` failed\n      left: 1\n     right: 2\n    \
             note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
            "it_works: waited in vain for the event\n    the agent reported:\n    1\n    2\n    3",
        ];
        assert_eq!(failures(output), expected);
    }
}
