//! Config files: what is refused, and what is not.

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn refuses(text: &str, expected: &str) {
    let error = config::load(
        &config("stats.json", text),
        &mut Vec::new(),
        &mut Names::new(),
    )
    .err();
    assert_eq!(error.unwrap().to_string(), expected);
}

/// What is wrong with a file with which the agent starts.
#[track_caller]
fn notes(text: &str, expect: &Expect) {
    let mut problems = Vec::new();
    let loaded = config::load(
        &config("stats.json", text),
        &mut problems,
        &mut Names::new(),
    );
    assert!(loaded.unwrap().rules.is_empty());
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    expect.assert_eq(&problems.join("\n"));
}

#[track_caller]
fn accepts(text: &str) -> StatsMonitor {
    config::load(
        &config("stats.json", text),
        &mut Vec::new(),
        &mut Names::new(),
    )
    .unwrap()
}

#[test]
fn bad_configs_name_the_field() {
    refuses(
        r#"{"invokeInterval": "0s"}"#,
        "stats.json:1:20: invokeInterval: 0s is not over 0",
    );
    refuses(
        r#"{"disk": {"lsblkTimeout": "2m"}}"#,
        "stats.json:1:27: disk.lsblkTimeout: 2m0s is not over 0 and at most invokeInterval",
    );
    refuses(
        r#"{"net": {"excludeInterfaceRegexp": "(", "metricsConfigs": {"net/rx_bytes": {"displayName": "x"}}}}"#,
        "stats.json:1:36: net.excludeInterfaceRegexp: error parsing regexp: missing closing ): `(`",
    );
    refuses(
        r#"{"cpu": {"metricsConfigs": {"cpu/load_1m": {"displayName": "load"}, "cpu/load_5m": {"displayName": "load"}}}}"#,
        "stats.json:1:84: cpu.metricsConfigs.cpu/load_5m: load is the exported name of cpu/load_1m",
    );
}

/// NPD does not know rules, and starts anyway.
#[test]
fn bad_rules_are_noted_with_their_field() {
    notes(
        r#"{"rules": [{"type": "sometimes"}]}"#,
        &expect![[r#"
            stats.json:1:21: rules[0].type: "sometimes" is neither temporary nor permanent; the rule counts as permanent
            stats.json:1:12: rules[0].condition: is missing; the rule has no effect
            stats.json:1:12: rules[0].metric: there is no metric ""; the rule has no effect
            stats.json:1:1: no metric is asked for; nothing is collected"#]],
    );
    notes(
        r#"{"rules": [{"type": "permanent", "condition": "Full", "metric": "disk/percent_used", "above": 1}]}"#,
        &expect![[r#"
            stats.json:1:47: rules[0].condition: "Full" is not declared in conditions; the rule has no effect
            stats.json:1:1: no metric is asked for; nothing is collected"#]],
    );
    notes(
        r#"{"rules": [{"type": "temporary", "metric": "disk/percent"}]}"#,
        &expect![[r#"
            stats.json:1:44: rules[0].metric: there is no metric "disk/percent"; the rule has no effect
            stats.json:1:1: no metric is asked for; nothing is collected"#]],
    );
    notes(
        r#"{"rules": [{"type": "temporary", "metric": "disk/percent_used"}]}"#,
        &expect![[r#"
            stats.json:1:12: rules[0].above: a rule needs a bound: above, below, fallsBy or risesBy; the rule has no effect
            stats.json:1:1: no metric is asked for; nothing is collected"#]],
    );
    notes(
        r#"{"rules": [{"type": "temporary", "metric": "disk/percent_used", "above": "90"}]}"#,
        &expect![[r#"
            stats.json:1:12: rules[0]: rules[0].above: invalid type: string "90", expected f64; it counts as absent
            stats.json:1:1: no metric is asked for; nothing is collected"#]],
    );
    notes(
        r#"{"rules": "none"}"#,
        &expect![[r#"
            stats.json:1:11: rules: invalid type: string "none", expected a sequence; it counts as absent
            stats.json:1:1: no metric is asked for; nothing is collected"#]],
    );
}

#[test]
fn metrics_that_are_not_exported_are_noted() {
    let cpu = |configs: &str| format!(r#"{{"cpu": {{"metricsConfigs": {{{configs}}}}}}}"#);
    notes(
        &cpu(r#""cpu/load_1m": {}"#),
        &expect![[r#"
            stats.json:1:44: cpu.metricsConfigs.cpu/load_1m: its displayName is missing; the metric is not exported
            stats.json:1:1: no metric is asked for; nothing is collected"#]],
    );
    notes(
        &cpu(r#""cpu/load": {"displayName": "x"}"#),
        &expect![[r#"
            stats.json:1:41: cpu.metricsConfigs.cpu/load: is not a metric; it has no effect
            stats.json:1:1: no metric is asked for; nothing is collected"#]],
    );
    notes(
        &cpu(r#""cpu/load_1m": {"displayName": "npd_source_up"}"#),
        &expect![[r#"
            stats.json:1:44: cpu.metricsConfigs.cpu/load_1m: names with npd_ are the agent's own; it is not exported
            stats.json:1:1: no metric is asked for; nothing is collected"#]],
    );
    let taken = cpu(r#""cpu/load_1m": {"displayName": "problem_counter"}"#);
    refuses(
        &taken,
        "stats.json:1:44: cpu.metricsConfigs.cpu/load_1m: problem_counter is the name of another metric",
    );
}

#[test]
fn what_npd_takes_for_unset_is_unset() {
    let monitor = accepts(r#"{"procPath": "", "osFeature": {"knownModulesConfigPath": ""}}"#);
    assert_eq!(monitor.proc, None);
    assert_eq!(monitor.interval, Duration::from_mins(1));
}

#[test]
fn a_section_without_metrics_is_not_collected() {
    let monitor = accepts(
        r#"{"cpu": {"metricsConfigs": {"cpu/load_1m": {"displayName": ""}}}, "disk": {"includeRootBlk": true}}"#,
    );
    assert!(monitor.collectors.is_empty());
}

#[test]
fn two_files_may_export_one_metric() {
    let net = section("net", &["net/rx_bytes"]);
    let mut names = Names::new();
    let mut load = |text| config::load(&config("stats.json", text), &mut Vec::new(), &mut names);
    assert_eq!(load(&net).unwrap().names.len(), 1);
    assert_eq!(load(&net).unwrap().names.len(), 0);
    let other = net.replace("net/rx_bytes\": {", "net/tx_bytes\": {");
    assert!(load(&other).is_err());
}
