//! Manifests written for NPD, with nothing changed but the image.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{self, PATIENCE};
use npd_tests::cluster::eventually;
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::faults::hang::{HungTask, ImpatientDetector};
use serde_json::Value;

use crate::lab::{Lab, lab};
use crate::{BASE, SETTLED, THE_NODE};

/// NPD's own.
const UPSTREAM: &str = "tests/fixtures/kubernetes/upstream-daemonset.yaml";
/// That of tutorials about custom plugins.
const CLASSIC: &str = "tests/fixtures/kubernetes/classic-daemonset.yaml";
/// The public Helm chart, rendered.
pub(crate) const CHART: &str = "tests/fixtures/kubernetes/helm-chart.yaml";
/// Gardener's.
const GARDENER: &str = "tests/fixtures/kubernetes/gardener.yaml";

/// The interval of the classic manifest's plugin is 30 s; and time to run it.
const INTERVAL: Duration = PATIENCE.saturating_add(Duration::from_secs(30));

/// With no ebpf-monitor, no pid namespace of the host's, and the patterns of NPD's manifest. The first
/// thing it tells is what the kernel's log holds of the last five minutes, for there is no state to go
/// on from; that may be a task of the same name.
pub(crate) fn the_manifests_of_npd_run_with_our_image() -> anyhow::Result<()> {
    let lab = lab()?;
    lab.remove(BASE)?;
    lab.deploy(UPSTREAM)?;
    sleep(SETTLED);
    let before = lab.count(THE_NODE, "TaskHung")?;
    let _detector = ImpatientDetector::new(10)?;
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("rw")?;
    let _task; // Dropped after `frozen`, which it waits for.
    let frozen = mount.freeze()?;
    _task = HungTask::start(&mount, "docker")?;
    let condition = lab.condition("KernelDeadlock", "True")?;
    ensure!(
        condition["reason"] == "DockerHung"
            && condition["message"].to_string().contains("task docker:"),
        "{condition:#}"
    );
    eventually(PATIENCE, || {
        let count = lab.count(THE_NODE, "TaskHung")?;
        ensure!(count > before, "{count} TaskHung, as before");
        Ok(())
    })?;
    drop(frozen);
    lab.remove(UPSTREAM)
}

/// The file goes and comes back.
pub(crate) fn the_classic_manifest_reports_the_file() -> anyhow::Result<()> {
    let lab = lab()?;
    lab.remove(BASE)?;
    lab.deploy(CLASSIC)?;
    let missing = "/data/up does not exist";
    for round in 0..2 {
        let told = lab.count(THE_NODE, "UPFileDoesNotExist")?;
        let condition = up_file(&lab, "True")?;
        ensure!(
            condition["reason"] == "UpFileDoesNotExist" && condition["message"] == missing,
            "without the file: {condition:#}"
        );
        let text = format!(
            "Node condition UpFile is now: True, reason: UpFileDoesNotExist, message: \"{missing}\""
        );
        event(&lab, "UpFileDoesNotExist", &text)?;
        event(&lab, "UPFileDoesNotExist", missing)?;
        let counted = || Ok(lab.count(THE_NODE, "UPFileDoesNotExist")? > told);
        wait(counted).with_context(|| format!("round {round}: no further Event"))?;

        on_host(&lab, "touch")?;
        let condition = up_file(&lab, "False")?;
        ensure!(
            condition["reason"] == "UpFileExists" && condition["message"] == "the up file exists",
            "with the file: {condition:#}"
        );
        let text = "Node condition UpFile is now: False, reason: UpFileExists, \
                    message: \"the up file exists\"";
        event(&lab, "UpFileExists", text)?;
        on_host(&lab, "rm")?;
    }
    let pod = lab.pod()?;
    let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
    ensure!(*restarts == 0, "{restarts} restarts");
    lab.remove(CLASSIC)
}

pub(crate) fn the_public_chart_runs_with_our_image() -> anyhow::Result<()> {
    let lab = lab()?;
    lab.remove(BASE)?;
    lab.deploy(CHART)?;
    lab.condition("HostsFileMissing", "False")?;
    known(&lab, &["KernelDeadlock", "ReadonlyFilesystem"])?;
    let metrics = agent::get(20257, "/metrics")?;
    for series in ["problem_counter{", "problem_gauge{"] {
        ensure!(metrics.contains(series), "{series} is not in:\n{metrics}");
    }
    lab.remove(CHART)
}

/// NPD takes the words that are no flags; so does the agent, and says so.
pub(crate) fn gardener_s_manifest_runs_with_our_image() -> anyhow::Result<()> {
    let lab = lab()?;
    lab.remove(BASE)?;
    lab.deploy(GARDENER)?;
    known(
        &lab,
        &[
            "KernelDeadlock",
            "ReadonlyFilesystem",
            "FrequentUnregisterNetDevice",
            "FrequentKubeletRestart",
            "FrequentDockerRestart",
            "FrequentContainerdRestart",
        ],
    )?;
    let log = lab.log()?;
    ensure!(log.contains(r#"\".."#), "the words are not named: {log}");
    let metrics = agent::get(20257, "/metrics")?;
    ensure!(metrics.contains("host_uptime{"), "no stats in:\n{metrics}");
    lab.remove(GARDENER)
}

/// Waits until the Node has these conditions. What they say is up to this machine: its kernel's log
/// may have faults of the minutes before, which other tests have made.
pub(crate) fn known(lab: &Lab, types: &[&str]) -> anyhow::Result<()> {
    eventually(PATIENCE, || {
        let found = lab.conditions(|r#type| types.contains(&r#type))?;
        ensure!(
            found.len() == types.len(),
            "not all of {types:?}: {found:#?}"
        );
        Ok(())
    })
}

/// Waits until the condition of the classic manifest says so.
fn up_file(lab: &Lab, status: &str) -> anyhow::Result<Value> {
    eventually(INTERVAL, || {
        let condition = lab.conditions(|r#type| r#type == "UpFile")?.pop();
        let condition = condition.context("there is no condition UpFile")?;
        ensure!(condition["status"] == status, "{condition:#}");
        Ok(condition)
    })
}

/// Waits until the Node has an Event with exactly this text.
fn event(lab: &Lab, reason: &str, message: &str) -> anyhow::Result<()> {
    eventually(PATIENCE, || {
        let events = lab.events(THE_NODE, reason)?;
        let is_told = events.iter().any(|event| event["message"] == message);
        ensure!(is_told, "no {message:?} in {events:#?}");
        Ok(())
    })
}

fn wait(mut is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    eventually(INTERVAL, || {
        ensure!(is_so()?, "it did not happen");
        Ok(())
    })
}

/// What the node's administrator does with the file.
fn on_host(lab: &Lab, program: &str) -> anyhow::Result<()> {
    let file = "/var/lib/npd-upfile/up";
    let status = lab.node.command(program).arg(file).status()?;
    ensure!(status.success(), "{program} {file} ended with {status}");
    Ok(())
}
