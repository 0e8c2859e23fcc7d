//! The Helm chart on a real kubelet.

use anyhow::ensure;
use npd_tests::agent::{self, PATIENCE};
use npd_tests::cluster::{Helm, eventually};

use crate::BASE;
use crate::lab::{Lab, lab, repository};
use crate::swap::{self, known};

const RELEASE: &str = "node-problem-detector";
const NAMESPACE: &str = "--namespace=kube-system";
/// Values as people have them for the public chart.
const VALUES: &str = "tests/fixtures/kubernetes/helm-values.yaml";

/// A release takes over what the public chart has made, is upgraded, goes back, and is taken away.
pub(crate) fn the_chart_replaces_the_public_one_and_goes_through_its_life() -> anyhow::Result<()> {
    let lab = lab()?;
    lab.remove(BASE)?;
    lab.deploy(swap::CHART)?;
    let values = format!("--values={}", repository(VALUES).display());
    upgrade(&lab, &["--install", "--take-ownership", &values])?;
    lab.condition("HostsFileMissing", "False")?;
    known(&lab, &["KernelDeadlock", "ReadonlyFilesystem"])?;
    ensure!(
        agent::get(20257, "/metrics")?.contains("problem_gauge{"),
        "no metrics"
    );

    upgrade(&lab, &["--reset-values"])?;
    known(&lab, &crate::OURS)?;
    let args = args(&lab)?;
    ensure!(args.contains("--config.ebpf-monitor=builtin"), "{args}");

    helm(&lab, &["rollback", RELEASE, "1", "--wait"])?;
    let args = self::args(&lab)?;
    ensure!(args.contains("/custom-config/hosts-monitor.json"), "{args}");
    lab.condition("HostsFileMissing", "False")?;

    helm(
        &lab,
        &["uninstall", RELEASE, "--wait", "--cascade=foreground"],
    )?;
    eventually(PATIENCE, || {
        let left = lab.kubectl(&[
            "get",
            "daemonsets,pods,configmaps,services,serviceaccounts,clusterroles,clusterrolebindings",
            "--all-namespaces",
            "--selector=app.kubernetes.io/instance=node-problem-detector",
            "--output=name",
        ])?;
        ensure!(left.is_empty(), "the release has left {left}");
        Ok(())
    })
}

fn upgrade(lab: &Lab, args: &[&str]) -> anyhow::Result<()> {
    let chart = repository("deploy/helm").display().to_string();
    let fixed = ["upgrade", RELEASE, &chart, "--wait", "--timeout=5m"];
    helm(lab, &[&fixed, args].concat())
}

fn helm(lab: &Lab, args: &[&str]) -> anyhow::Result<()> {
    let args = [args, &[NAMESPACE]].concat();
    let helm = Helm::find()?;
    let done = helm.run_in(&lab.node.client, &args).map(drop);
    done.map_err(|error| {
        let pods = lab.kubectl(&["describe", "pods", NAMESPACE]);
        error.context(format!("helm {args:?}: {pods:?}"))
    })
}

/// The agent's arguments.
fn args(lab: &Lab) -> anyhow::Result<String> {
    let daemon_set = lab.json(&["get", "daemonset", RELEASE, NAMESPACE])?;
    let containers = &daemon_set["spec"]["template"]["spec"]["containers"];
    Ok(containers[0]["args"].to_string())
}
