//! Without programs in the kernel.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::faults::cgroup::MemoryCgroup;
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::harness;

use crate::{count_events, settle};

/// Without the right to load programs, the kernel's log and its counters show the same faults.
pub(crate) fn without_bpf_the_same_faults_are_reported_once() -> anyhow::Result<()> {
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("errors=remount-ro")?;
    let cgroup = MemoryCgroup::new("npd-test-blind")?;
    let mut setpriv = Command::new("setpriv");
    // CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN
    setpriv.arg("--bounding-set=-cap_39,-cap_38,-cap_21");
    setpriv.arg(harness::agent()?);
    let agent = Agent::start_as(setpriv, Path::new("/"), &[])?;
    blind(&agent)?;
    settle(&agent)?;
    let before = count_events(&agent, "Ext4Error", "")?;
    let pid = cgroup.kill_one()?.to_string();
    mount.ext4_error()?;
    settle(&agent)?;
    ensure!(count_events(&agent, "OOMKilling", &pid)? == 1);
    let place = mount.point().display().to_string();
    ensure!(count_events(&agent, "FilesystemError", &place)? == 1);
    ensure!(count_events(&agent, "Ext4Error", "")? == before);
    Ok(())
}

/// Nothing but `/proc` and `/sys` is left to it.
pub(crate) fn without_privileges_the_agent_runs_and_says_what_it_cannot_see() -> anyhow::Result<()>
{
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("rw")?;
    // Where the agent was built, nobody else may be able to look.
    let folder = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .context("making a folder for everybody")?;
    let copy = folder.path().join("npd-agent");
    std::fs::copy(harness::agent()?, &copy).context("copying the agent")?;
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    setpriv.arg(copy);
    let agent = Agent::start_as(setpriv, Path::new("/"), &[])?;
    blind(&agent)?;
    settle(&agent)?;
    mount.remount("ro")?;
    agent.wait_for("the remount", PATIENCE, |line| {
        line.is_event("FilesystemError", disk.name())
    })?;
    Ok(())
}

/// Waits until every probe shows why it does not use a program in the kernel.
fn blind(agent: &Agent) -> anyhow::Result<()> {
    let probes = agent.wait_until("the probes to say how they see", PATIENCE, || {
        let status = agent.page("/status")?;
        let probes = status["probes"].as_object().cloned().unwrap_or_default();
        Ok((probes.len() >= 3).then_some(probes))
    })?;
    for (name, probe) in &probes {
        ensure!(probe["backend"] != "raw_tracepoint", "{name}: {probe}");
        ensure!(probe["reason"].is_string(), "{name} does not say why");
    }
    Ok(())
}
