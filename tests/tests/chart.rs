//! The Helm chart, as Helm renders it: no cluster is needed. The suite `cluster_daemonset` installs it.

use std::collections::BTreeSet;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use npd_tests::cluster::Helm;
use npd_tests::harness::{self, Need, Test};
use serde_json::Value;

const NEEDS: &[Need] = &[Need::Helm];

const TESTS: &[Test] = &[
    Test {
        name: "the_chart_passes_helm_s_lint",
        needs: NEEDS,
        run: the_chart_passes_helm_s_lint,
    },
    Test {
        name: "the_chart_runs_the_agent_as_the_manifest_does",
        needs: NEEDS,
        run: the_chart_runs_the_agent_as_the_manifest_does,
    },
    Test {
        name: "releases_of_the_public_chart_can_be_upgraded",
        needs: NEEDS,
        run: releases_of_the_public_chart_can_be_upgraded,
    },
    Test {
        name: "values_become_flags",
        needs: NEEDS,
        run: values_become_flags,
    },
    Test {
        name: "wrong_values_are_refused_by_name",
        needs: NEEDS,
        run: wrong_values_are_refused_by_name,
    },
    Test {
        name: "alert_rules_can_be_left_out_and_added",
        needs: NEEDS,
        run: alert_rules_can_be_left_out_and_added,
    },
    Test {
        name: "the_dashboard_is_the_shipped_one",
        needs: NEEDS,
        run: the_dashboard_is_the_shipped_one,
    },
];

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/helm");
const MANIFEST: &str = "../deploy/kustomize/base/daemonset.yaml";
/// What the public chart renders.
const PUBLIC: &str = "fixtures/kubernetes/helm-chart.yaml";
/// What the public chart's `values.yaml` sets to other values than ours.
const PUBLIC_VALUES: &str = "fixtures/kubernetes/helm-values.yaml";

fn main() -> ExitCode {
    harness::parallel(TESTS)
}

fn the_chart_passes_helm_s_lint() -> anyhow::Result<()> {
    let text = Helm::find()?.run(&["lint", "--strict", CHART])?;
    ensure!(text.contains("0 chart(s) failed"), "{text}");
    Ok(())
}

fn the_chart_runs_the_agent_as_the_manifest_does() -> anyhow::Result<()> {
    let theirs = pod(&objects(&fs::read_to_string(file(MANIFEST))?)?)?;
    let ours = pod(&rendered(&[])?)?;
    for field in [
        "hostNetwork",
        "hostPID",
        "priorityClassName",
        "terminationGracePeriodSeconds",
        "nodeSelector",
        "tolerations",
    ] {
        ensure!(ours[field] == theirs[field], "{field}: {}", ours[field]);
    }
    let (ours, theirs) = (&ours["containers"][0], &theirs["containers"][0]);
    for field in [
        "command",
        "env",
        "securityContext",
        "resources",
        "startupProbe",
        "readinessProbe",
        "livenessProbe",
    ] {
        ensure!(ours[field] == theirs[field], "{field}: {}", ours[field]);
    }
    let missing: Vec<_> = words(&theirs["args"])
        .difference(&words(&ours["args"]))
        .cloned()
        .collect();
    ensure!(missing.is_empty(), "the chart lacks {missing:?}");
    Ok(())
}

/// Helm compares objects by kind and name. Selectors and the role of a binding cannot change.
fn releases_of_the_public_chart_can_be_upgraded() -> anyhow::Result<()> {
    let theirs = objects(&fs::read_to_string(file(PUBLIC))?)?;
    let ours = rendered(&["--values", &file(PUBLIC_VALUES)])?;
    for theirs in &theirs {
        let (kind, name) = (&theirs["kind"], &theirs["metadata"]["name"]);
        let ours = ours
            .iter()
            .find(|ours| ours["kind"] == *kind && ours["metadata"]["name"] == *name);
        let ours = ours.with_context(|| format!("the chart has no {kind} {name}"))?;
        for fixed in ["/spec/selector", "/roleRef"] {
            ensure!(
                kind == "Service" || ours.pointer(fixed) == theirs.pointer(fixed),
                "{kind} {name}: {fixed} is {:?}",
                ours.pointer(fixed)
            );
        }
    }
    Ok(())
}

fn values_become_flags() -> anyhow::Result<()> {
    for (value, flags) in [
        (
            "settings.log_monitors={/config/kernel-monitor.json,/config/readonly-monitor.json}",
            &[
                "--config.system-log-monitor=/config/kernel-monitor.json,/config/readonly-monitor.json",
            ][..],
        ),
        (
            "settings.custom_plugin_monitors={/custom-config/a.json}",
            &["--config.custom-plugin-monitor=/custom-config/a.json"],
        ),
        ("settings.prometheus_port=9100", &["--prometheus-port=9100"]),
        ("settings.extraArgs={--port 20300}", &["--port", "20300"]),
        ("hostNetwork=false", &["--address=0.0.0.0"]),
    ] {
        let pod = pod(&rendered(&["--set", value])?)?;
        let args = words(&pod["containers"][0]["args"]);
        for flag in flags {
            ensure!(args.contains(*flag), "{value}: {args:?} lack {flag}");
        }
    }
    for (value, flag) in [
        ("settings.stateDir=", "--state-dir"),
        ("settings.ebpf_monitors=null", "--config.ebpf-monitor"),
        ("hostNetwork=true", "--address"),
    ] {
        let pod = pod(&rendered(&["--set", value])?)?;
        let args = words(&pod["containers"][0]["args"]);
        let is_there = args.iter().any(|arg| arg.starts_with(&format!("{flag}=")));
        ensure!(!is_there, "{value}: {args:?} have {flag}");
    }
    Ok(())
}

fn wrong_values_are_refused_by_name() -> anyhow::Result<()> {
    for (value, name) in [
        ("settings.log_monitors=builtin", "log_monitors"),
        ("settings.prometheus_port=99999", "prometheus_port"),
        ("image.digest=latest", "digest"),
        ("updateStrategy=Recreate", "updateStrategy"),
        ("settings.stateDir=state", "stateDir"),
    ] {
        let Err(error) = rendered(&["--set", value]) else {
            anyhow::bail!("{value} was taken");
        };
        let text = format!("{error:#}");
        ensure!(text.contains(name), "{value}: {text}");
    }
    Ok(())
}

fn alert_rules_can_be_left_out_and_added() -> anyhow::Result<()> {
    let enabled = "metrics.prometheusRule.enabled=true";
    let all = alerts(&["--set", enabled])?;
    let shipped = fs::read_to_string(file("../deploy/prometheus/alerts.yaml"))?;
    let expected = shipped.matches("- alert: ").count();
    ensure!(all.len() == expected, "{all:?} instead of {expected}");
    let fewer = alerts(&[
        "--set",
        enabled,
        "--set",
        "metrics.prometheusRule.defaultRules.disabled={NodeOOMKills}",
        "--set",
        "metrics.prometheusRule.additionalRules[0].alert=Mine",
        "--set",
        "metrics.prometheusRule.additionalRules[0].expr=up == 0",
    ])?;
    ensure!(
        !fewer.contains("NodeOOMKills") && fewer.contains("Mine") && fewer.len() == all.len(),
        "{fewer:?}"
    );
    Ok(())
}

fn the_dashboard_is_the_shipped_one() -> anyhow::Result<()> {
    let objects = rendered(&["--set", "metrics.dashboard.enabled=true"])?;
    let data = objects
        .iter()
        .find_map(|object| object["data"]["node-problem-detector.json"].as_str());
    let ours: Value = serde_json::from_str(data.context("no dashboard")?)?;
    let shipped = fs::read_to_string(file("../deploy/grafana/node-problem-detector.json"))?;
    ensure!(
        ours == serde_json::from_str::<Value>(&shipped)?,
        "the chart's dashboard is not the shipped one"
    );
    Ok(())
}

/// The names of the alerts of the chart's `PrometheusRule`.
fn alerts(args: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let objects = rendered(args)?;
    let rule = objects
        .iter()
        .find(|object| object["kind"] == "PrometheusRule");
    let groups = rule.context("no PrometheusRule")?["spec"]["groups"].clone();
    let groups = groups.as_array().context("no groups")?;
    let rules = groups
        .iter()
        .filter_map(|group| group["rules"].as_array())
        .flatten();
    rules
        .map(|rule| Ok(rule["alert"].as_str().context("no name")?.to_owned()))
        .collect()
}

/// The objects of a release that is called as the public chart's are.
fn rendered(args: &[&str]) -> anyhow::Result<Vec<Value>> {
    let release = ["template", "node-problem-detector", CHART];
    let namespace = ["--namespace", "kube-system"];
    let text = Helm::find()?.run(&[&release[..], &namespace, args].concat())?;
    objects(&text)
}

fn objects(text: &str) -> anyhow::Result<Vec<Value>> {
    Ok(serde_saphyr::from_multiple(text)?)
}

/// The pod of the `DaemonSet`.
fn pod(objects: &[Value]) -> anyhow::Result<Value> {
    let daemon_set = objects.iter().find(|object| object["kind"] == "DaemonSet");
    Ok(daemon_set.context("no DaemonSet")?["spec"]["template"]["spec"].clone())
}

fn words(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|word| Some(word.as_str()?.to_owned()))
        .collect()
}

/// A file, seen from this package's folder.
fn file(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}
