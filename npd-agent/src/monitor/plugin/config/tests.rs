use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

fn file(json: &str) -> ConfigFile {
    ConfigFile {
        name: Arc::from("plugin.json"),
        dir: None,
        bytes: json.as_bytes().to_vec(),
    }
}

#[track_caller]
fn loaded(json: &str) -> CheckedPluginConfig {
    let mut problems = Vec::new();
    let loaded = load(&file(json), &mut problems).unwrap();
    assert_eq!(problems, []);
    loaded
}

/// The problems of files with which the agent starts, one line for each.
#[track_caller]
fn noted(files: impl IntoIterator<Item = String>, expect: &Expect) {
    let mut lines = String::new();
    for json in files {
        let mut problems = Vec::new();
        load(&file(&json), &mut problems).unwrap();
        assert_ne!(problems, [], "{json}");
        for problem in problems {
            writeln!(lines, "{problem}").unwrap();
        }
    }
    expect.assert_eq(&lines);
}

/// The errors of files that are refused, one line for each.
#[track_caller]
fn refused(files: impl IntoIterator<Item = String>, expect: &Expect) {
    let mut lines = String::new();
    for json in files {
        writeln!(
            lines,
            "{}",
            load(&file(&json), &mut Vec::new()).unwrap_err()
        )
        .unwrap();
    }
    expect.assert_eq(&lines);
}

#[test]
fn a_file_of_npd_is_read_as_npd_does() {
    let checked = loaded(
        r#"{
  "plugin": "custom",
  "pluginConfig": {"invoke_interval": "1m", "timeout": "10s", "max_output_length": 100},
  "source": "doctor",
  "conditions": [{"type": "Sick", "reason": "Well", "message": "all is well"}],
  "rules": [
    {"type": "temporary", "reason": "Ill", "path": "/bin/sh", "args": ["-c", "exit 1"]},
    {"type": "permanent", "condition": "Sick", "reason": "Ill", "path": "/bin", "timeout": "3s",
     "invoke_interval": "60000ms"}
  ]
}"#,
    );
    assert_eq!((checked.max_output, checked.concurrency), (100, 3));
    assert_eq!(&*checked.declaration.source, "doctor");
    assert_eq!(checked.declaration.conditions[0].message, "all is well");
    let detectors = &checked.declaration.detectors;
    let known = detectors
        .iter()
        .map(|rule| (&*rule.name, rule.conditions.len()));
    assert_eq!(
        known.collect::<Vec<_>>(),
        [("rules[0]", 0), ("rules[1]", 1)]
    );
    let [temporary, permanent] = &checked.rules[..] else {
        panic!("two rules");
    };
    assert_eq!(temporary.program.args, ["-c", "exit 1"]);
    assert_eq!(temporary.problem.condition, None);
    assert_eq!(temporary.timeout, Duration::from_secs(10));
    assert_eq!(permanent.problem.condition.as_deref(), Some("Sick"));
    assert_eq!(permanent.timeout, Duration::from_secs(3));
    assert_eq!(permanent.interval, temporary.interval);
    assert!(permanent.problem.metrics && !permanent.problem.message_is_news);
}

#[test]
fn defaults_are_those_of_npd() {
    let json = r#"{"plugin": "custom", "rules": [{"type": "temporary", "path": "/bin/sh"}]}"#;
    let checked = loaded(json);
    assert_eq!((checked.max_output, checked.concurrency), (80, 3));
    let rule = &checked.rules[0];
    assert_eq!(
        (rule.interval, rule.timeout),
        (Duration::from_secs(30), Duration::from_secs(5))
    );
    assert_eq!(
        rule.thresholds,
        Thresholds {
            failure: 1,
            success: 1
        }
    );
    assert_eq!(rule.jitter, Duration::from_secs(3));
}

#[test]
fn our_own_keys() {
    let json = r#"{"plugin": "custom", "pluginConfig": {"skip_initial_status": true}, "rules": [{
        "type": "temporary", "path": "/bin/sh", "jitter": "0s", "failureThreshold": 3,
        "successThreshold": 2, "env": {"LANG": "C"}}]}"#;
    let checked = loaded(json);
    let rule = &checked.rules[0];
    assert_eq!(rule.jitter, Duration::ZERO);
    assert_eq!(
        rule.thresholds,
        Thresholds {
            failure: 3,
            success: 2
        }
    );
    assert_eq!(rule.program.env, [("LANG".to_owned(), "C".to_owned())]);
}

#[test]
fn a_builtin_check_is_run_by_the_agent_s_own_file() {
    let json = r#"{"plugin": "custom", "rules": [
        {"type": "temporary", "path": "builtin:disk", "args": ["--above=80"]}]}"#;
    let rule = &loaded(json).rules[0];
    assert_eq!(rule.path, "builtin:disk");
    assert_eq!(rule.program.path, "/proc/self/exe");
    assert_eq!(rule.program.args, ["builtin", "disk", "--above=80"]);
}

#[test]
fn a_file_may_have_no_rules() {
    assert!(
        load(
            &file(r#"{"plugin": "custom", "rules": null}"#),
            &mut Vec::new()
        )
        .unwrap()
        .rules
        .is_empty()
    );
}

#[test]
fn another_plugin_is_refused() {
    refused(
        ["{}".to_owned(), r#"{"plugin": "kmsg"}"#.to_owned()],
        &expect![[r"
            plugin.json:1:1: missing field `plugin`
            plugin.json:1:12: plugin: unknown variant `kmsg`, expected `custom`
        "]],
    );
}

fn with_settings(settings: &str) -> String {
    format!(
        "{{\"plugin\": \"custom\", \"pluginConfig\": {{{settings}}}, \"rules\": [{{\"type\": \"temporary\", \"path\": \"/bin/sh\"}}]}}"
    )
}

#[test]
fn settings_that_npd_refuses_are_refused() {
    let settings = [
        r#""invoke_interval": "0s""#,
        r#""invoke_interval": 30"#,
        r#""timeout": "5""#,
        r#""max_output_length": -1"#,
        r#""concurrency": -1"#,
    ];
    refused(
        settings.map(with_settings),
        &expect![[r#"
        plugin.json:1:58: pluginConfig.invoke_interval: must be more than 0
        plugin.json:1:58: pluginConfig.invoke_interval: invalid type: integer `30`, expected a duration string such as "5m0s"
        plugin.json:1:50: pluginConfig.timeout: time: missing unit in duration "5"
        plugin.json:1:60: pluginConfig.max_output_length: invalid value: integer `-1`, expected usize
        plugin.json:1:54: pluginConfig.concurrency: invalid value: integer `-1`, expected usize
    "#]],
    );
}

#[test]
fn settings_with_which_npd_runs_nothing_are_noted() {
    let settings = [
        r#""timeout": "-1s""#,
        r#""timeout": "0""#,
        r#""concurrency": 0"#,
        r#""conccurency": 3"#,
    ];
    noted(
        settings.map(with_settings),
        &expect![[r#"
        plugin.json:1:50: pluginConfig.timeout: is -1s; every run fails before it starts
        plugin.json:1:50: pluginConfig.timeout: is 0s; every run fails before it starts
        plugin.json:1:54: pluginConfig.concurrency: is 0; no plugin is ever run
        plugin.json:1:39: pluginConfig.conccurency: is not a key of this file; it has no effect
    "#]],
    );
}

fn with_rule(rule: &str) -> String {
    let good = r#"{"type": "temporary", "path": "/bin/sh"}"#;
    let conditions = r#"[{"type": "Sick"}]"#;
    let head = format!("{{\n  \"plugin\": \"custom\",\n  \"conditions\": {conditions}");
    format!("{head},\n  \"rules\": [\n    {good},\n    {rule}\n  ]\n}}")
}

#[test]
fn rules_that_npd_refuses_are_refused() {
    let rules = [
        "null",
        r#"{"type": "permanent", "path": "/bin/sh"}"#,
        r#"{"type": "permanent", "condition": "Sik", "path": "/bin/sh"}"#,
        r#"{"type": "temporary", "path": "/no/such/file"}"#,
        r#"{"type": "temporary"}"#,
        r#"{"type": "temporary", "path": "builtin:coffee"}"#,
        r#"{"type": "temporary", "path": "/bin/sh", "timeout": "6s"}"#,
        r#"{"type": "temporary", "path": "/bin/sh", "invoke_interval": "-1s"}"#,
        r#"{"type": "temporary", "path": "/bin/sh", "reason": "Ärger"}"#,
    ];
    refused(
        rules.map(with_rule),
        &expect![[r#"
        plugin.json:6:5: rules[1].path: "" does not exist
        plugin.json:6:5: rules[1].condition: is missing
        plugin.json:6:40: rules[1].condition: "Sik" is not declared in conditions
        plugin.json:6:35: rules[1].path: "/no/such/file" does not exist
        plugin.json:6:5: rules[1].path: "" does not exist
        plugin.json:6:35: rules[1].path: there is no built-in plugin "coffee"
        plugin.json:6:57: rules[1].timeout: must not be more than pluginConfig.timeout, which is 5s
        plugin.json:6:65: rules[1].invoke_interval: must be more than 0
        plugin.json:6:56: rules[1].reason: cannot be a metric's label: it may have 255 printable ASCII characters
    "#]],
    );
}

#[test]
fn rules_with_which_npd_starts_are_noted() {
    let rules = [
        r#"{"type": "temporray", "path": "/bin/sh"}"#,
        r#"{"path": "/bin/sh", "condition": "Sick"}"#,
        r#"{"type": "temporary", "path": "/bin/sh", "timeout": "0s"}"#,
        r#"{"type": "temporary", "path": "/bin/sh", "jitter": "-1s"}"#,
        r#"{"type": "temporary", "path": "/bin/sh", "failureThreshold": 0}"#,
        r#"{"type": "temporary", "path": "/bin/sh", "successThreshold": "many"}"#,
        r#"{"type": "temporary", "path": "/bin/sh", "env": {"A=B": "c"}}"#,
    ];
    noted(
        rules.map(with_rule),
        &expect![[r#"
            plugin.json:6:14: rules[1].type: "temporray" is neither temporary nor permanent; the rule counts as permanent
            plugin.json:6:5: rules[1].condition: is missing; the rule has no effect
            plugin.json:6:5: rules[1].type: is missing; the rule counts as permanent
            plugin.json:6:57: rules[1].timeout: is 0s; every run fails before it starts
            plugin.json:6:56: rules[1].jitter: must not be negative; it counts as absent
            plugin.json:6:66: rules[1].failureThreshold: must be at least 1; it counts as absent
            plugin.json:6:66: rules[1].successThreshold: invalid type: string "many", expected i64; it counts as absent
            plugin.json:6:53: rules[1].env: rules[1].env.A=B: the name of a variable must not be empty or contain `=`; it counts as absent
        "#]],
    );
}

/// NPD runs such a plugin, which may repair something, and does nothing with its result.
#[test]
fn a_rule_without_a_declared_condition_is_run_for_nothing() {
    let json = with_rule(r#"{"type": "Permanent", "condition": "Sik", "path": "/bin/sh"}"#);
    let checked = load(&file(&json), &mut Vec::new()).unwrap();
    let inert: Vec<_> = checked
        .rules
        .iter()
        .map(|rule| rule.problem.inert)
        .collect();
    assert_eq!(inert, [false, true]);
}

#[test]
fn limits_are_asked_for() {
    let limits = |settings: &str| {
        loaded(&format!(
            r#"{{"plugin": "custom", "pluginConfig": {{{settings}}},
                "rules": [{{"type": "temporary", "reason": "R", "path": "/bin/sh"}}]}}"#
        ))
        .limits
    };
    let limit = |memory, pids| ProgramLimits { memory, pids };
    assert_eq!(limits(""), limit(None, Some(1024)));
    assert_eq!(
        limits(r#""memory_limit": "256Mi", "pids_limit": 4000"#),
        limit(Some(256 << 20), Some(4000))
    );
    assert_eq!(
        limits(r#""memory_limit": 1048576"#),
        limit(Some(1 << 20), Some(1024))
    );
}

#[test]
fn a_limit_that_makes_no_sense_counts_as_absent() {
    let file = |settings: &str| {
        format!(
            r#"{{"plugin": "custom", "pluginConfig": {{{settings}}},
  "rules": [{{"type": "temporary", "reason": "R", "path": "/bin/sh"}}]}}"#
        )
    };
    noted(
        [
            file(r#""memory_limit": "much""#),
            file(r#""pids_limit": 0"#),
        ],
        &expect![[r#"
            plugin.json:1:55: pluginConfig.memory_limit: must be a number of bytes, or a quantity such as "256Mi"; it counts as absent
            plugin.json:1:53: pluginConfig.pids_limit: must be at least 1; it counts as absent
        "#]],
    );
}
