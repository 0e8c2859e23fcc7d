use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};

use super::{CheckedEbpfConfig, PROBES, load};
use crate::go::json::ConfigProblem;
use crate::monitor::ConfigFile;

fn file(content: &str) -> ConfigFile {
    ConfigFile {
        name: Arc::from("ebpf.json"),
        dir: None,
        bytes: content.as_bytes().to_vec(),
    }
}

fn loaded(content: &str) -> CheckedEbpfConfig {
    let mut problems = Vec::new();
    let loaded = load(&file(content), &mut problems).unwrap();
    assert_eq!(problems, []);
    loaded
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "reads better in tables")]
fn check_refused(content: &str, expected: Expect) {
    let error = load(&file(content), &mut Vec::new()).unwrap_err();
    expected.assert_eq(&format!("{error:#}"));
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "reads better in tables")]
fn check_noted(content: &str, expected: Expect) {
    let mut problems = Vec::new();
    let loaded = load(&file(content), &mut problems).unwrap();
    let known: Vec<_> = PROBES.iter().map(|probe| probe.name).collect();
    let shown = |problem: &ConfigProblem| problem.to_string().replace(&known.join(", "), "PROBES");
    let problems: Vec<_> = problems.iter().map(shown).collect();
    let shown = format!("{} rules\n{}", loaded.rules.len(), problems.join("\n"));
    expected.assert_eq(&shown);
}

#[test]
fn the_built_in_file_names_every_probe() {
    let built_in = include_str!("../../../../../deploy/config/ebpf-monitor.json");
    let checked = loaded(built_in);
    assert_eq!(&*checked.declaration.source, "ebpf-monitor");
    let conditions = checked.declaration.conditions.iter();
    let conditions: Vec<_> = conditions.map(|condition| &*condition.r#type).collect();
    assert_eq!(conditions, ["KernelDeadlock", "ReadonlyFilesystem"]);
    for probe in PROBES {
        let mut rules = checked.rules.iter();
        assert!(rules.any(|(of, _)| of.name == probe.name), "{}", probe.name);
    }
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
            r#"{{"plugin": "ebpf", "pluginConfig": {{"hungTaskThreshold": "{threshold}"}},
                "rules": [{{"type": "temporary", "probe": "oom"}}]}}"#
        ))
    };
    let threshold = with("1m30s").settings.hung_task_threshold;
    assert_eq!(threshold, Duration::from_secs(90));
}

fn rule(rule: &str) -> String {
    format!("{{\"plugin\": \"ebpf\", \"rules\": [\n  {{\"reason\": \"R\", {rule}}}]}}")
}

#[test]
fn complaints_say_where() {
    check_refused(
        r#"{"plugin": "kmsg"}"#,
        expect!["ebpf.json:1:12: plugin: unknown variant `kmsg`, expected `ebpf`"],
    );
    check_refused(
        r#"{"rules": []}"#,
        expect!["ebpf.json:1:1: missing field `plugin`"],
    );
    check_refused(
        r#"{"plugin": "ebpf", "pluginConfig": {"hungTaskThreshold": "0s"}}"#,
        expect!["ebpf.json:1:58: pluginConfig.hungTaskThreshold: must be more than 0"],
    );
    check_refused(
        r#"{"plugin": "ebpf", "pluginConfig": {"hungTaskThreshold": "30"}}"#,
        expect![[
            r#"ebpf.json:1:58: pluginConfig.hungTaskThreshold: time: missing unit in duration "30""#
        ]],
    );
    check_refused(
        &rule(r#""type": "temporary", "probe": "oom", "comm": "(""#),
        expect!["ebpf.json:2:64: rules[0].comm: error parsing regexp: missing closing ): `(`"],
    );
    check_refused(
        &rule(r#""type": "temporary", "probe": "filesystem", "mountPoints": ["var"]"#),
        expect!["ebpf.json:2:79: rules[0].mountPoints[0]: must be an absolute path"],
    );
}

/// A rule with a mistake has no effect; the other rules work.
#[test]
fn mistakes_in_rules_are_noted() {
    check_noted(
        &rule(r#""type": "sometimes", "probe": "oom""#),
        expect![[r#"
            0 rules
            ebpf.json:2:27: rules[0].type: "sometimes" is neither temporary nor permanent; the rule counts as permanent
            ebpf.json:2:3: rules[0].condition: is missing; the rule has no effect"#]],
    );
    check_noted(
        &rule(r#""type": "temporary""#),
        expect![[r#"
            0 rules
            ebpf.json:2:3: rules[0].probe: there is no probe "", only PROBES; the rule has no effect"#]],
    );
    check_noted(
        &rule(r#""type": "temporary", "probe": "oomm""#),
        expect![[r#"
            0 rules
            ebpf.json:2:49: rules[0].probe: there is no probe "oomm", only PROBES; the rule has no effect"#]],
    );
    check_noted(
        &rule(r#""type": "permanent", "probe": "oom", "condition": "Sick""#),
        expect![[r#"
            0 rules
            ebpf.json:2:69: rules[0].condition: "Sick" is not declared in conditions; the rule has no effect"#]],
    );
    check_noted(
        &rule(r#""type": "permanent", "probe": "oom""#),
        expect![[r#"
            0 rules
            ebpf.json:2:3: rules[0].condition: is missing; the rule has no effect"#]],
    );
    check_noted(
        &rule(r#""type": "temporary", "probe": "oom", "mountPoints": ["/"]"#),
        expect![[r#"
            1 rules
            ebpf.json:2:71: rules[0].mountPoints: has no effect: the probe oom is not about file systems"#]],
    );
    check_noted(
        &rule(r#""type": "temporary", "probe": "filesystem", "comm": "x""#),
        expect![[r#"
            1 rules
            ebpf.json:2:71: rules[0].comm: has no effect: the probe filesystem is not about tasks"#]],
    );
    check_noted(
        &rule(r#""probe": "oom""#),
        expect![[r#"
        0 rules
        ebpf.json:2:3: rules[0].type: is missing; the rule counts as permanent
        ebpf.json:2:3: rules[0].condition: is missing; the rule has no effect"#]],
    );
}
