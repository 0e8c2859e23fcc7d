use std::io;

use super::*;
use crate::exec::LimitReached;

type RunResult = Result<Finished, RunError>;

fn ended(raw: i32, timed_out: bool, stdout: &[u8]) -> Finished {
    over(Some(ExitStatus::from_raw(raw)), timed_out, stdout)
}

fn over(status: Option<ExitStatus>, timed_out: bool, stdout: &[u8]) -> Finished {
    Finished {
        status,
        timed_out,
        stdout: stdout.to_vec(),
        stderr: Vec::new(),
        limit: None,
        rest: None,
    }
}

fn exit(code: i32, stdout: &[u8]) -> Finished {
    ended(code << 8, false, stdout)
}

#[track_caller]
fn check(over: Finished, max_output: usize, expect: (ConditionStatus, &str)) {
    check_outcome(&Ok(over), max_output, expect);
}

#[track_caller]
fn check_outcome(outcome: &RunResult, max_output: usize, expect: (ConditionStatus, &str)) {
    let PluginResult { present, message } = answer(outcome, "./check.sh", max_output);
    assert_eq!((present, message.as_str()), expect);
}

use ConditionStatus::{False, True, Unknown};

#[test]
fn the_exit_code_is_the_answer() {
    check(exit(0, b"fine\n"), 80, (False, "fine"));
    check(exit(1, b"bad\n"), 80, (True, "bad"));
    check(exit(2, b"?\n"), 80, (Unknown, "?"));
    check(exit(3, b""), 80, (Unknown, ""));
    check(exit(255, b""), 80, (Unknown, ""));
    check(ended(11, false, b"half"), 80, (Unknown, "half"));
}

#[test]
fn output_is_trimmed_and_cut_between_characters() {
    check(exit(1, b" \t\n a  b \r\n\n"), 80, (True, "a  b"));
    check(exit(1, b"abcdef"), 3, (True, "abc"));
    check(exit(1, b"abcdef"), 0, (True, ""));
    check(exit(1, "aäö".as_bytes()), 4, (True, "aä"));
    check(exit(1, "aäö".as_bytes()), 5, (True, "aäö"));
}

#[test]
fn output_that_is_not_utf8_is_shown_as_far_as_it_goes() {
    check(exit(1, b"a\xffb"), 80, (True, "a\u{fffd}b"));
    // The first 4096 bytes may end within a character.
    check(exit(1, b"a\xc3"), 80, (True, "a"));
}

#[test]
fn a_killed_plugin_is_unknown_and_its_output_quoted() {
    let text =
        r#"Timeout when running plugin "./check.sh": state - signal: killed. output - "a\n\"b\"""#;
    check(ended(9, true, b"a\n\"b\"\n"), 200, (Unknown, text));
    // Only the output is cut.
    let text = r#"Timeout when running plugin "./check.sh": state - signal: killed. output - "a""#;
    check(ended(9, true, b"a\n\"b\"\n"), 1, (Unknown, text));
    let text = r#"Timeout when running plugin "./check.sh": state - signal: segmentation fault (core dumped). output - """#;
    check(ended(0x80 + 11, true, b""), 200, (Unknown, text));
}

#[test]
fn a_plugin_that_survives_sigkill() {
    let text =
        r#"Timeout when running plugin "./check.sh": state - survives SIGKILL. output - "a""#;
    check(over(None, true, b"a"), 200, (Unknown, text));
}

#[test]
fn a_plugin_that_leaves_something_behind_that_holds_its_output() {
    let text = r#"Timeout when running plugin "./check.sh": state - exit status 1. output - "bad""#;
    check(ended(1 << 8, true, b"bad"), 200, (True, text));
    let text = "Error in waiting for plugin. Please check the error log";
    check(ended(0, true, b"fine"), 3, (Unknown, text));
}

#[test]
fn a_plugin_that_cannot_be_started_or_waited_for() {
    let text = "Error in starting plugin. Please check the error log";
    check_outcome(
        &Err(RunError::NotStarted(io::ErrorKind::PermissionDenied.into())),
        3,
        (Unknown, text),
    );
    let text = "Error in waiting for plugin. Please check the error log";
    check_outcome(
        &Err(RunError::Lost(io::ErrorKind::Other.into())),
        3,
        (Unknown, text),
    );
}

#[test]
fn a_plugin_that_is_no_longer_started() {
    let text = r#"CheckHung: plugin "./check.sh" was not started, 3 earlier runs survive SIGKILL"#;
    assert_eq!(PluginResult::hung("./check.sh", 3).message, text);
}

#[test]
fn a_plugin_that_reaches_a_limit_says_so() {
    use LimitReached::{Memory, Pids};
    let with = |over: Finished, limit| Finished {
        limit: Some(limit),
        ..over
    };
    let killed = || ended(9, false, b"");
    let text =
        "the plugin was out of memory: its limit is 64Mi, and pluginConfig.memory_limit raises it";
    check(with(killed(), Memory(Some(64 << 20))), 3, (Unknown, text));
    let text = "the plugin was out of memory: the pod or the node has no more, and the pod's memory limit may raise it";
    check(with(killed(), Memory(None)), 3, (Unknown, text));
    let text = "can; the plugin could not fork: its limit is 1024 processes, and pluginConfig.pids_limit raises it";
    let cannot_fork = exit(2, b"cannot fork");
    check(with(cannot_fork, Pids(Some(1024))), 3, (Unknown, text));
    let text =
        "bad; the plugin could not fork: the pod or the node has reached its limit of processes";
    check(with(exit(1, b"bad"), Pids(None)), 80, (True, text));
    check(with(exit(0, b"fine"), Pids(None)), 80, (False, "fine"));
    let text = r#"Timeout when running plugin "./check.sh": state - signal: killed. output - ""; the plugin could not fork: its limit is 8 processes, and pluginConfig.pids_limit raises it"#;
    check(with(ended(9, true, b""), Pids(Some(8))), 3, (Unknown, text));
}
