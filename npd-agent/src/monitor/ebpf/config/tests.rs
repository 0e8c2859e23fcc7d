use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};

use super::{Checked, load};
use crate::monitor::ConfigFile;

fn file(content: &str) -> ConfigFile {
    ConfigFile {
        name: Arc::from("ebpf.json"),
        dir: None,
        bytes: content.as_bytes().to_vec(),
    }
}

fn loaded(content: &str) -> Checked {
    load(&file(content)).unwrap()
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "reads better in tables")]
fn check_refused(content: &str, expected: Expect) {
    let error = load(&file(content)).unwrap_err();
    expected.assert_eq(&format!("{error:#}"));
}

#[test]
fn the_built_in_file_is_right() {
    let built_in = include_str!("../../../../../deploy/config/ebpf-monitor.json");
    let checked = loaded(built_in);
    assert_eq!(&*checked.declaration.source, "ebpf-monitor");
    let conditions = checked.declaration.conditions.iter();
    let conditions: Vec<_> = conditions.map(|condition| &*condition.r#type).collect();
    assert_eq!(conditions, ["KernelDeadlock", "ReadonlyFilesystem"]);
    let rules = checked.rules.iter();
    let rules = rules.map(|(probe, rule)| (probe.name, &*rule.problem.reason));
    let expected = [
        ("oom", "OOMKilling"),
        ("hung_task", "TaskHung"),
        ("hung_task", "TaskHung"),
        ("filesystem", "FilesystemError"),
        ("filesystem", "FilesystemIsReadOnly"),
    ];
    assert_eq!(rules.collect::<Vec<_>>(), expected);
    assert_eq!(
        checked.settings.hung_task_threshold,
        Duration::from_secs(30)
    );
}

#[test]
fn rules_say_which_tasks_they_are_about() {
    let checked = loaded(
        r#"{"plugin": "ebpf", "rules": [
            {"type": "temporary", "reason": "A", "probe": "hung_task", "comm": "^(kubelet|runc.*)$"},
            {"type": "temporary", "reason": "B", "probe": "hung_task"}]}"#,
    );
    let (_, some) = &checked.rules[0];
    let (_, all) = &checked.rules[1];
    assert!(some.is_about("kubelet") && some.is_about("runc:[2:INIT]"));
    assert!(!some.is_about("kubelet2") && all.is_about("kubelet2"));
    assert_ne!(some.claimant, all.claimant);
}

#[test]
fn the_threshold_is_a_go_duration() {
    let with = |threshold: &str| {
        loaded(&format!(
            r#"{{"plugin": "ebpf", "pluginConfig": {{"hungTaskThreshold": "{threshold}"}}}}"#
        ))
    };
    let threshold = with("1m30s").settings.hung_task_threshold;
    assert_eq!(threshold, Duration::from_secs(90));
}

#[test]
fn complaints_say_where() {
    check_refused(r#"{"plugin": "kmsg"}"#, expect![]);
    check_refused(r#"{"rules": []}"#, expect![]);
    check_refused(
        r#"{"plugin": "ebpf", "pluginConfig": {"hungTaskThreshold": "0s"}}"#,
        expect![],
    );
    check_refused(
        r#"{"plugin": "ebpf", "pluginConfig": {"hungTaskThreshold": "30"}}"#,
        expect![],
    );
    let rule = |rule: &str| {
        format!("{{\"plugin\": \"ebpf\", \"rules\": [\n  {{\"reason\": \"R\", {rule}}}]}}")
    };
    check_refused(&rule(r#""type": "sometimes", "probe": "oom""#), expect![]);
    check_refused(&rule(r#""type": "temporary""#), expect![]);
    check_refused(&rule(r#""type": "temporary", "probe": "oomm""#), expect![]);
    check_refused(
        &rule(r#""type": "temporary", "probe": "oom", "comm": "(""#),
        expect![],
    );
    check_refused(
        &rule(r#""type": "permanent", "probe": "oom", "condition": "Sick""#),
        expect![],
    );
    check_refused(&rule(r#""type": "permanent", "probe": "oom""#), expect![]);
    check_refused(
        &rule(r#""type": "temporary", "probe": "oom", "mountPoints": ["/"]"#),
        expect![],
    );
    check_refused(
        &rule(r#""type": "temporary", "probe": "filesystem", "comm": "x""#),
        expect![],
    );
    check_refused(
        &rule(r#""type": "temporary", "probe": "filesystem", "mountPoints": ["var"]"#),
        expect![],
    );
}
