//! Config files: what is refused, and what is not.

use super::*;

#[track_caller]
fn refuses(text: &str, expected: &str) {
    let error = config::load(&config("stats.json", text), &mut Names::new()).err();
    assert_eq!(error.unwrap().to_string(), expected);
}

#[track_caller]
fn accepts(text: &str) -> StatsMonitor {
    config::load(&config("stats.json", text), &mut Names::new()).unwrap()
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

#[test]
fn bad_rules_name_the_field() {
    refuses(
        r#"{"rules": [{"type": "sometimes"}]}"#,
        r#"stats.json:1:21: rules[0].type: "sometimes" is neither temporary nor permanent"#,
    );
    refuses(
        r#"{"rules": [{"type": "permanent", "condition": "Full", "metric": "disk/percent_used"}]}"#,
        r#"stats.json:1:47: rules[0].condition: "Full" is not among the conditions"#,
    );
    refuses(
        r#"{"rules": [{"type": "temporary", "metric": "disk/percent"}]}"#,
        r#"stats.json:1:44: rules[0].metric: there is no metric "disk/percent""#,
    );
    refuses(
        r#"{"rules": [{"type": "temporary", "metric": "disk/percent_used"}]}"#,
        "stats.json:1:12: rules[0].above: a rule needs a bound: above, below or both",
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
    let mut load = |text| config::load(&config("stats.json", text), &mut names);
    assert_eq!(load(&net).unwrap().names.len(), 1);
    assert_eq!(load(&net).unwrap().names.len(), 0);
    let other = net.replace("net/rx_bytes\": {", "net/tx_bytes\": {");
    assert!(load(&other).is_err());
}
