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

/// What is said of files that are refused, a line each.
#[track_caller]
fn refused(files: impl IntoIterator<Item = String>, expect: &Expect) {
    let mut lines = String::new();
    for json in files {
        writeln!(lines, "{}", load(&file(&json)).unwrap_err()).unwrap();
    }
    expect.assert_eq(&lines);
}

#[test]
fn a_file_of_npd_is_read_as_npd_does() {
    let checked = load(&file(
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
    ))
    .unwrap();
    assert_eq!((checked.max_output, checked.concurrency), (100, 3));
    assert_eq!(&*checked.declaration.source, "doctor");
    assert_eq!(checked.declaration.conditions[0].message, "all is well");
    assert!(checked.declaration.publish_at_start);
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
    let checked = load(&file(json)).unwrap();
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
    let checked = load(&file(json)).unwrap();
    assert!(!checked.declaration.publish_at_start);
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
    let rule = &load(&file(json)).unwrap().rules[0];
    assert_eq!(rule.path, "builtin:disk");
    assert_eq!(rule.program.path, "/proc/self/exe");
    assert_eq!(rule.program.args, ["builtin", "disk", "--above=80"]);
}

#[test]
fn a_file_may_have_no_rules() {
    assert!(
        load(&file(r#"{"plugin": "custom", "rules": null}"#))
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

#[test]
fn settings_that_npd_chokes_on_are_refused() {
    let settings = [
        r#""invoke_interval": "0s""#,
        r#""invoke_interval": 30"#,
        r#""timeout": "-1s""#,
        r#""timeout": "5""#,
        r#""max_output_length": -1"#,
        r#""concurrency": 0"#,
        r#""concurrency": -1"#,
    ];
    let file = |setting| format!("{{\"plugin\": \"custom\", \"pluginConfig\": {{{setting}}}}}");
    refused(
        settings.map(file),
        &expect![[r#"
        plugin.json:1:58: pluginConfig.invoke_interval: must be more than 0
        plugin.json:1:58: pluginConfig.invoke_interval: invalid type: integer `30`, expected a duration string such as "5m0s"
        plugin.json:1:50: pluginConfig.timeout: must be more than 0
        plugin.json:1:50: pluginConfig.timeout: time: missing unit in duration "5"
        plugin.json:1:60: pluginConfig.max_output_length: invalid value: integer `-1`, expected usize
        plugin.json:1:54: pluginConfig.concurrency: must be at least 1, or nothing would ever run
        plugin.json:1:54: pluginConfig.concurrency: invalid value: integer `-1`, expected usize
    "#]],
    );
}

#[test]
fn rules_that_npd_chokes_on_are_refused() {
    let rules = [
        "null",
        r#"{"type": "temporray", "path": "/bin/sh"}"#,
        r#"{"path": "/bin/sh"}"#,
        r#"{"type": "permanent", "path": "/bin/sh"}"#,
        r#"{"type": "permanent", "condition": "Sik", "path": "/bin/sh"}"#,
        r#"{"type": "temporary", "path": "/no/such/file"}"#,
        r#"{"type": "temporary"}"#,
        r#"{"type": "temporary", "path": "builtin:coffee"}"#,
        r#"{"type": "temporary", "path": "/bin/sh", "timeout": "6s"}"#,
        r#"{"type": "temporary", "path": "/bin/sh", "timeout": "0s"}"#,
        r#"{"type": "temporary", "path": "/bin/sh", "invoke_interval": "-1s"}"#,
        r#"{"type": "temporary", "path": "/bin/sh", "jitter": "-1s"}"#,
        r#"{"type": "temporary", "path": "/bin/sh", "failureThreshold": 0}"#,
        r#"{"type": "temporary", "path": "/bin/sh", "env": {"A=B": "c"}}"#,
    ];
    let file = |rule| {
        let good = r#"{"type": "temporary", "path": "/bin/sh"}"#;
        let conditions = r#"[{"type": "Sick"}]"#;
        let head = format!("{{\n  \"plugin\": \"custom\",\n  \"conditions\": {conditions}");
        format!("{head},\n  \"rules\": [\n    {good},\n    {rule}\n  ]\n}}")
    };
    refused(
        rules.map(file),
        &expect![[r#"
            plugin.json:6:5: rules[1]: invalid type: null, expected a rule
            plugin.json:6:14: rules[1].type: unknown variant `temporray`, expected `temporary` or `permanent`
            plugin.json:6:5: rules[1]: missing field `type`
            plugin.json:6:5: rules[1].condition: "" is not among the conditions of this file
            plugin.json:6:40: rules[1].condition: "Sik" is not among the conditions of this file
            plugin.json:6:35: rules[1].path: "/no/such/file" does not exist
            plugin.json:6:5: rules[1].path: "" does not exist
            plugin.json:6:35: rules[1].path: there is no built-in plugin "coffee"
            plugin.json:6:57: rules[1].timeout: must not be more than pluginConfig.timeout, which is 5s
            plugin.json:6:57: rules[1].timeout: must be more than 0
            plugin.json:6:65: rules[1].invoke_interval: must be more than 0
            plugin.json:6:56: rules[1].jitter: must not be negative
            plugin.json:6:66: rules[1].failureThreshold: must be at least 1
            plugin.json:6:61: rules[1].env.A=B: must not be empty or contain `=`
        "#]],
    );
}
