use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::go::pflag::Flag;
use crate::go::pflag::tests::recorded;

/// A flag's value, as pflag prints it.
fn value(flags: &Flags, flag: &str) -> Value {
    let options = &flags.options;
    let text = match flag {
        "--enable-k8s-exporter" => options.enable_k8s_exporter.to_string(),
        "--exporter.stackdriver" => options.stackdriver.clone(),
        "--apiserver-override" => options.apiserver_override.clone(),
        "--apiserver-wait-timeout" => options.apiserver_wait_timeout.to_string(),
        "--apiserver-wait-interval" => options.apiserver_wait_interval.to_string(),
        "--event-namespace" => options.event_namespace.clone(),
        "--k8s-exporter-heartbeat-period" => options.k8s_exporter_heartbeat_period.to_string(),
        "--k8s-exporter-write-events" => options.k8s_exporter_write_events.to_string(),
        "--k8s-exporter-update-node-conditions" => {
            options.k8s_exporter_update_node_conditions.to_string()
        }
        "--kube-api-qps" if options.kube_api_qps == f32::INFINITY => "+Inf".to_owned(),
        "--kube-api-qps" if options.kube_api_qps == f32::NEG_INFINITY => "-Inf".to_owned(),
        "--kube-api-qps" => options.kube_api_qps.to_string(),
        "--kube-api-burst" => options.kube_api_burst.to_string(),
        "--hostname-override" => options.hostname_override.clone(),
        "--port" => options.port.to_string(),
        "--address" => options.address.clone(),
        "--prometheus-port" => options.prometheus_port.to_string(),
        "--prometheus-address" => options.prometheus_address.clone(),
        "--v" => options.verbosity.to_string(),
        "--vmodule" => options.vmodule.clone(),
        "--logtostderr" => options.logtostderr.to_string(),
        "--version" => options.version.to_string(),
        list => {
            let mut kinds = KINDS.iter().zip(&flags.configs);
            let (_, files) = kinds.find(|(kind, _)| kind.flag == list).unwrap();
            return json!(files);
        }
    };
    json!(text)
}

#[test]
fn every_line_is_read_as_npd_reads_it() {
    let parse = |line| match CommandLine::parse(line) {
        Ok(CommandLine::Run(flags)) => {
            let words = flags.words.words.clone();
            Ok(Some((*flags, words)))
        }
        Ok(CommandLine::Print(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    };
    recorded::check("node-problem-detector", parse, value);
}

/// The row of `docs/flags.md` about a flag, up to what it means.
fn row(flag: &Flag<Options>) -> String {
    let (help, default) = match flag.help.split_once(" [default: ") {
        Some((help, default)) => (help, default.trim_end_matches(']').to_owned()),
        None if flag.default.is_empty() => (flag.help, String::new()),
        None => (flag.help, format!("`{}`", flag.default)),
    };
    let name = flag.letter.map_or_else(
        || format!("`{}`", flag.name),
        |letter| format!("`-{letter}`, `{}`", flag.name),
    );
    let value = match flag.value {
        "" => "boolean",
        value => value,
    };
    let help = match flag.instead {
        Some(instead) => format!("The old name of `{instead}`"),
        None => help.to_owned(),
    };
    format!("| {name} | {value} | {default} | {help} |")
}

#[test]
fn every_flag_has_its_row_in_the_documentation() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/flags.md");
    let page = std::fs::read_to_string(page).unwrap();
    let program = table::program();
    let rows = program.flags().map(row);
    let missing: Vec<String> = rows
        .filter(|row| !page.lines().any(|line| line.starts_with(&**row)))
        .collect();
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
    let names: Vec<&str> = program.flags().map(|flag| flag.name).collect();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let name = line.split('`').find(|text| text.starts_with("--"));
        assert!(name.is_some_and(|name| names.contains(&name)), "{line}");
    }
}

/// NPD's flags and their defaults.
#[test]
fn defaults_are_npd_s() {
    let defaults = [
        ("--config.system-log-monitor", json!([])),
        ("--config.custom-plugin-monitor", json!([])),
        ("--config.system-stats-monitor", json!([])),
        ("--exporter.stackdriver", json!("")),
        ("--enable-k8s-exporter", json!("true")),
        ("--apiserver-override", json!("")),
        ("--apiserver-wait-timeout", json!("5m0s")),
        ("--apiserver-wait-interval", json!("5s")),
        ("--event-namespace", json!("")),
        ("--k8s-exporter-heartbeat-period", json!("5m0s")),
        ("--k8s-exporter-write-events", json!("true")),
        ("--k8s-exporter-update-node-conditions", json!("true")),
        ("--kube-api-qps", json!("500")),
        ("--kube-api-burst", json!("500")),
        ("--hostname-override", json!("")),
        ("--port", json!("20256")),
        ("--address", json!("127.0.0.1")),
        ("--prometheus-port", json!("20257")),
        ("--prometheus-address", json!("127.0.0.1")),
        ("--version", json!("false")),
        ("--v", json!("0")),
        ("--vmodule", json!("")),
        ("--logtostderr", json!("true")),
    ];
    let Ok(CommandLine::Run(flags)) = CommandLine::parse([]) else {
        panic!()
    };
    for (flag, default) in &defaults {
        assert_eq!(value(&flags, flag), *default, "{flag}");
    }
    // Deprecated, and ours.
    let others = [
        "--system-log-monitors",
        "--custom-plugin-monitors",
        "--config.ebpf-monitor",
        "--config.condition-aliases",
        "--exporter.terminal",
        "--state-dir",
        "--log-format",
    ];
    let program = table::program();
    let known = program.flags().map(|flag| flag.name);
    let known: BTreeSet<&str> = known.collect();
    let listed = defaults.iter().map(|(flag, _)| *flag).chain(others);
    assert_eq!(known, listed.collect());
    assert_eq!(flags.options.terminal, None);
    assert_eq!(flags.options.state_dir, None);
}

#[test]
fn a_deprecated_list_takes_the_place_of_an_empty_one() {
    let files = |line: &[&str]| match CommandLine::parse(line.iter().map(OsString::from)) {
        Ok(CommandLine::Run(flags)) => flags.configs[0].clone(),
        other => panic!("{other:?}"),
    };
    let new = "--config.system-log-monitor=a,b";
    let old = "--system-log-monitors=c";
    assert_eq!(
        files(&[new, "--system-log-monitors="]),
        ["a", "b"].map(PathBuf::from)
    );
    assert_eq!(
        files(&[old, "--config.system-log-monitor="]),
        [PathBuf::from("c")]
    );
    let both = CommandLine::parse([new, old].map(OsString::from)).unwrap_err();
    assert_eq!(
        both.to_string(),
        "--system-log-monitors is the old name of --config.system-log-monitor: give one of them"
    );
}

#[test]
fn stackdriver_s_file_is_refused_where_npd_refuses_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stackdriver.json");
    let check = |content: &str| {
        std::fs::write(&path, content).unwrap();
        let flag = format!("--exporter.stackdriver={}", path.display());
        let options = Options::parse(&[&flag]).unwrap();
        options.check().map_err(|error| format!("{error:#}"))
    };
    check(r#"{"exportPeriod": "60s", "metadataFetchTimeout": "600s"}"#).unwrap();
    check("{}").unwrap();
    assert!(check("").unwrap_err().contains("stackdriver.json:1:1: EOF"));
    let missing = Options::parse(&["--exporter.stackdriver=/no/such"]).unwrap();
    let error = format!("{:#}", missing.check().unwrap_err());
    let expected = "--exporter.stackdriver=/no/such: No such file or directory (os error 2)";
    assert_eq!(error, expected);
    Options::parse(&["--exporter.stackdriver="])
        .unwrap()
        .check()
        .unwrap();
}

#[test]
fn a_pod_or_a_named_server_is_a_cluster() {
    #[track_caller]
    fn check(line: &[&str], in_pod: bool, expect: bool) {
        let options = Options::parse(line).unwrap();
        let var = |name: &str| {
            let is_it = in_pod && name == "KUBERNETES_SERVICE_HOST";
            is_it.then(|| "10.0.0.1".to_owned())
        };
        assert_eq!(options.has_cluster(var), expect, "{line:?} {in_pod}");
    }
    let named = "--apiserver-override=http://h?inClusterConfig=false";
    check(&[], false, false);
    check(&[], true, true);
    check(&[named], false, true);
    check(&["--enable-k8s-exporter=false", named], true, false);
}

#[test]
fn a_cluster_s_log_is_klog_s_unless_the_flag_says_otherwise() {
    #[track_caller]
    fn check(line: &[&str], in_pod: bool, expect: LogFormat) {
        let var = |name: &str| {
            let is_it = in_pod && name == "KUBERNETES_SERVICE_HOST";
            is_it.then(|| "10.0.0.1".to_owned())
        };
        assert_eq!(Options::parse(line).unwrap().log_format(var), expect);
    }
    check(&[], false, LogFormat::Text);
    check(&[], true, LogFormat::Klog);
    check(&["--apiserver-override=http://h"], false, LogFormat::Klog);
    check(&["--enable-k8s-exporter=false"], true, LogFormat::Klog);
    check(&["--log-format=json"], true, LogFormat::Json);
    check(&["--log-format=text"], true, LogFormat::Text);
    assert!(Options::parse(&["--log-format=logfmt"]).is_err());
}
