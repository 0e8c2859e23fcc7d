//! Repeats which tests have failed and why, because people read the end of a long log.

/// How many lines of a failure are repeated.
const LINES: usize = 5;

/// How many characters of each line are repeated.
const WIDTH: usize = 500;

/// The name of each test that failed, and how its message begins.
pub(super) fn failures(output: &str) -> Vec<String> {
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
