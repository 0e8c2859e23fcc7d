//! File systems that break.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::faults::disk::{Disk, Type};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::{count_events, settle, start, wait_for_condition, watching};

const COUNTER: &str = r#"problem_counter{reason="FilesystemError"}"#;
const GAUGE: &str = r#"problem_gauge{reason="FilesystemIsReadOnly",type="ReadonlyFilesystem"}"#;

/// What ext4 does with `errors=remount-ro`, seen from the error to the repaired file system.
pub(crate) fn an_ext4_error_makes_the_file_system_read_only_until_unmounted() -> anyhow::Result<()>
{
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("errors=remount-ro")?;
    let (agent, _config) = start_for(mount.point())?;
    mount.ext4_error()?;
    agent.wait_for("the error", PATIENCE, |line| {
        line.is_event("FilesystemError", disk.name())
    })?;
    wait_for_condition(&agent, "ReadonlyFilesystem", "True")?;
    ensure!(agent.metric(GAUGE)? == 1);
    ensure!(agent.metric(COUNTER)? == 1);
    drop(mount);
    wait_for_condition(&agent, "ReadonlyFilesystem", "False")?;
    ensure!(agent.metric(GAUGE)? == 0);
    disk.repair()?;
    let _mount = disk.mount("errors=remount-ro")?;
    std::thread::sleep(Duration::from_secs(2));
    wait_for_condition(&agent, "ReadonlyFilesystem", "False")?;
    ensure!(count_events(&agent, "FilesystemError", "")? == 1);
    Ok(())
}

/// `mount -o remount,ro` of a file system that matters.
pub(crate) fn an_operators_remount_lasts_until_the_next() -> anyhow::Result<()> {
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("rw")?;
    let (agent, _config) = start_for(mount.point())?;
    for _ in 0..2 {
        mount.remount("ro")?;
        wait_for_condition(&agent, "ReadonlyFilesystem", "True")?;
        let message = agent.condition("ReadonlyFilesystem")?["message"].to_string();
        ensure!(message.contains("operator"), "it says {message}");
        ensure!(agent.metric(GAUGE)? == 1);
        mount.remount("rw")?;
        wait_for_condition(&agent, "ReadonlyFilesystem", "False")?;
    }
    ensure!(count_events(&agent, "FilesystemError", "")? == 0);
    Ok(())
}

/// The mount table says that all is well, and every access fails.
pub(crate) fn a_shut_down_xfs_is_at_fault_until_unmounted() -> anyhow::Result<()> {
    let disk = Disk::new(Type::Xfs)?;
    let mount_point = disk.mount_point();
    let (agent, _config) = start_for(&mount_point)?;
    let mount = disk.mount("rw")?;
    mount.xfs_shutdown()?;
    agent.wait_for("the shutdown", PATIENCE, |line| {
        line.is_event("FilesystemError", disk.name())
    })?;
    wait_for_condition(&agent, "ReadonlyFilesystem", "True")?;
    std::thread::sleep(Duration::from_secs(3));
    wait_for_condition(&agent, "ReadonlyFilesystem", "True")?;
    ensure!(agent.metric(GAUGE)? == 1);
    ensure!(agent.metric(COUNTER)? == 1);
    drop(mount);
    let _mount = disk.mount("rw")?;
    wait_for_condition(&agent, "ReadonlyFilesystem", "False")?;
    ensure!(count_events(&agent, "FilesystemError", "")? == 1);
    Ok(())
}

/// If a volume is broken, the node is not, even if the kernel's log has a line about it.
pub(crate) fn a_fault_of_an_unimportant_file_system_is_an_event_only() -> anyhow::Result<()> {
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("errors=remount-ro")?;
    let agent = start()?;
    let about_disk = || {
        let lines = agent.lines().into_iter();
        let lines = lines.filter(|line| line.report.to_string().contains(disk.name()));
        lines.count()
    };
    // An earlier disk may have had the same name.
    let before = about_disk();
    mount.ext4_error()?;
    let place = mount.point().display().to_string();
    agent.wait_for("the error", PATIENCE, |line| {
        line.is_event("FilesystemError", &place)
    })?;
    settle(&agent)?;
    ensure!(about_disk() == before + 1);
    ensure!(agent.condition("ReadonlyFilesystem")?["status"] == "False");
    Ok(())
}

/// Starts the agent with the ebpf-monitor alone, for which this file system matters.
fn start_for(mount_point: &Path) -> anyhow::Result<(Agent, NamedTempFile)> {
    let config = json!({
        "plugin": "ebpf",
        "source": "ebpf-monitor",
        "conditions": [{
            "type": "ReadonlyFilesystem",
            "reason": "FilesystemIsNotReadOnly",
            "message": "Filesystem is not read-only",
        }],
        "rules": [
            {"type": "temporary", "reason": "FilesystemError", "probe": "filesystem"},
            {
                "type": "permanent",
                "condition": "ReadonlyFilesystem",
                "reason": "FilesystemIsReadOnly",
                "probe": "filesystem",
                "mountPoints": [mount_point],
            },
        ],
    });
    let mut file = NamedTempFile::new().context("making a config file")?;
    write!(file, "{config}").context("writing a config file")?;
    let flag = format!("--config.ebpf-monitor={}", file.path().display());
    Ok((watching(Agent::start(Path::new("/"), &[&flag])?)?, file))
}
