use std::path::Path;
use std::sync::Arc;

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(content: &str, expect: &Expect) {
    let file = ConfigFile {
        name: Arc::from("x.json"),
        dir: None,
        bytes: content.as_bytes().to_vec(),
    };
    expect.assert_eq(&FileReport::new(&file).shown(true));
}

#[test]
fn what_has_no_effect_is_an_error() {
    check(
        r#"{"plugin": "kmsg", "source": "x",
"conditions": [{"type": "Sick", "reason": "Well", "message": "all is well"}],
"rules": [
{"type": "permanent", "condition": "Sikc", "reason": "Ill", "pattern": "ill"},
{"type": "temporary", "reason": "Ill", "patern": "ill", "pattern": "ill"}]}"#,
        &expect![[r#"
            x.json:2:25: warning: conditions[0].type: no rule of this file sets it: it is always False
            x.json:4:36: error: rules[0].condition: "Sikc" is not declared in conditions; the rule has no effect
            x.json:4:36: warning: rules[0].condition: nothing says how it ends: clearPattern, clearAfter or clearAtBoot is missing
            x.json:5:40: error: rules[1].patern: is not a key of this file; it has no effect
            x.json: 2 errors, 2 warnings; NPD starts with this file
        "#]],
    );
}

#[test]
fn what_the_agent_refuses_is_an_error() {
    check(
        r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "pattern": "("}]}"#,
        &expect![[r#"
            x.json:1:30: warning: rules[0].reason: is not one word in CamelCase, as Kubernetes' tools expect it
            x.json:1:63: error: rules[0].pattern: error parsing regexp: missing closing ): `(`
            x.json: 1 error, 1 warning; NPD does not start with this file
        "#]],
    );
    check(
        r#"{"plugin": "abrt"}"#,
        &expect![[r#"
        x.json:1:12: error: plugin: unknown variant `abrt`, expected one of `kmsg`, `filelog`, `journald`
        x.json: 1 error, 0 warnings; NPD does not start with this file
    "#]],
    );
    check(
        "{",
        &expect![[r#"
        x.json:1:1: error: EOF while parsing an object
        x.json: 1 error, 0 warnings; NPD does not start with this file
    "#]],
    );
    check(
        r#"{"plugin": "kmsg", "bufferSize": "10"}"#,
        &expect![[r#"
            x.json:1:34: error: bufferSize: invalid type: string "10", expected i64
            x.json: 1 error, 0 warnings; NPD does not start with this file
        "#]],
    );
    check(
        r#"{"plugin": "custom", "rules": [{"type": "temporary", "reason": "Ill", "path": "/no/such"}]}"#,
        &expect![[r#"
            x.json:1:79: error: rules[0].path: "/no/such" does not exist
            x.json: 1 error, 0 warnings; NPD does not start with this file
        "#]],
    );
}

#[test]
fn a_rule_that_does_something_else_than_it_seems_to_is_a_warning() {
    check(
        r#"{"plugin": "kmsg",
"conditions": [{"type": "Sick", "reason": "Well"}, {"type": "Odd", "reason": "Even"}],
"rules": [
{"type": "permanent", "condition": "Sick", "reason": "Ill", "pattern": "ill"},
{"type": "permanent", "condition": "Sick", "reason": "Ill", "pattern": "ill", "clearAfter": "5m"},
{"type": "temporary", "reason": "went wrong", "pattern": "^wrong"},
{"type": "temporary", "reason": "Broke", "pattern": "broke|broken"},
{"type": "temporary", "reason": "Right", "pattern": "(?m)^(broke|broken)"},
{"type": "temporary", "reason": "Right", "match": "line", "pattern": "broke|broken"}]}"#,
        &expect![[r#"
            x.json:2:61: warning: conditions[1].type: no rule of this file sets it: it is always False
            x.json:4:36: warning: rules[0].condition: nothing says how it ends: clearPattern, clearAfter or clearAtBoot is missing
            x.json:5:79: NPD: rules[1].clearAfter: NPD ignores this key
            x.json:6:33: warning: rules[2].reason: is not one word in CamelCase, as Kubernetes' tools expect it
            x.json:6:58: warning: rules[2].pattern: ^ is the start of the oldest of several entries; the start of any entry is (?m)^
            x.json:7:53: warning: rules[3].pattern: only its last branch has to end where the newest entry ends; the others are found again with each entry: write (a|b)
            x.json:9:42: NPD: rules[5].match: NPD ignores this key
            x.json: 0 errors, 5 warnings; NPD starts with this file
        "#]],
    );
}

#[test]
fn with_npd_it_says_what_npd_does() {
    check(
        r#"{"plugin": "ebpf", "rules": [{"type": "temporary", "reason": "OOMKilling", "probe": "oom"}]}"#,
        &expect![[r#"
            x.json: ok; NPD has no such monitor
        "#]],
    );
    check(
        r#"{"plugin": "custom", "pluginConfig": {"timeout": "3s"},
"rules": [{"type": "temporary", "reason": "Ill", "path": "builtin:disk", "failureThreshold": 2}]}"#,
        &expect![[r#"
            x.json:2:74: NPD: rules[0].failureThreshold: NPD ignores this key
            x.json: ok; NPD starts with this file
        "#]],
    );
    check(
        r#"{"cpu": {"metricsConfigs": {"cpu/load_1m": {"displayName": "cpu/load_1m"}}}, "clock": {}}"#,
        &expect![[r#"
            x.json:1:78: NPD: clock: NPD ignores this key
            x.json: ok; NPD starts with this file
        "#]],
    );
}

#[test]
fn what_is_shipped_has_no_error() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/config"));
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let report = FileReport::new(&config::read(&path).unwrap());
            // The scripts are where the image has them.
            let errors = report.errors();
            let errors = errors.filter(|error| !error.message.ends_with("does not exist"));
            assert_eq!(errors.collect::<Vec<_>>(), Vec::<&ConfigProblem>::new());
        }
    }
}

#[test]
fn what_is_built_in_has_no_error_and_a_name() {
    let files = config::named(None, Path::new("builtin")).unwrap();
    assert!(files.len() > 10, "{}", files.len());
    for file in &files {
        let report = FileReport::new(file);
        assert_eq!(report.errors().count(), 0, "{}", report.shown(false));
        let again = config::named(None, Path::new(&report.name)).unwrap();
        let names: Vec<_> = again.iter().map(|file| &*file.name).collect();
        assert_eq!(names, [&*report.name]);
    }
    let error = config::named(None, Path::new("builtin:coffee.json")).unwrap_err();
    let error = error.to_string();
    let start =
        "builtin:coffee.json: the agent has no such config file, only builtin:kernel/core.json,";
    assert!(error.starts_with(start), "{error}");
}
