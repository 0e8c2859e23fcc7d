//! File systems that break.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::faults::run;
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
    let (agent, _config) = start_for(&[mount.point()], &[])?;
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
    let (agent, _config) = start_for(&[mount.point()], &[])?;
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
    let (agent, _config) = start_for(&[&mount_point], &[])?;
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
    // An earlier disk may have had the same name.
    let before = count_reports(&agent, disk.name());
    mount.ext4_error()?;
    let place = mount.point().display().to_string();
    agent.wait_for("the error", PATIENCE, |line| {
        line.is_event("FilesystemError", &place)
    })?;
    settle(&agent)?;
    ensure!(count_reports(&agent, disk.name()) == before + 1);
    ensure!(agent.condition("ReadonlyFilesystem")?["status"] == "False");
    Ok(())
}

/// The kernel has no tracepoint for btrfs: its log says what is wrong, and the mount table that nothing
/// can be written.
pub(crate) fn a_broken_btrfs_is_reported_once_until_unmounted() -> anyhow::Result<()> {
    const LOG: &str = "--config.system-log-monitor=builtin:kernel/filesystems.json";
    let host = Disk::new(Type::Xfs)?;
    let host_mount = host.mount("rw")?;
    let disk = Disk::formatted_inside(&host_mount, Type::Btrfs)?;
    // Below the other one, it would leave the path to that.
    let place = tempfile::tempdir().context("making a mount point")?;
    let mount = disk.mount_at(place.path().to_owned(), "rw")?;
    let (agent, _config) = start_for(&[mount.point()], &[LOG])?;
    settle(&agent)?;
    // An earlier disk may have had the same name.
    let before = count_reports(&agent, disk.name());
    File::create(mount.point().join("file")).context("making a file")?;
    host_mount.xfs_shutdown()?;
    run("sync", &[])?;
    wait_for_condition(&agent, "ReadonlyFilesystem", "True")?;
    settle(&agent)?;
    let reports = count_reports(&agent, disk.name()) - before;
    ensure!(
        reports == 1,
        "{reports} reports: {:?}",
        agent.page("/events")?
    );
    ensure!(agent.metric(GAUGE)? == 1);
    drop(mount);
    wait_for_condition(&agent, "ReadonlyFilesystem", "False")
}

/// While the condition is True already, a second file system does not change it.
pub(crate) fn the_second_read_only_file_system_is_reported_too() -> anyhow::Result<()> {
    let disks = [Disk::new(Type::Ext4)?, Disk::new(Type::Ext4)?];
    let [first, second] = [disks[0].mount("rw")?, disks[1].mount("rw")?];
    let (agent, _config) = start_for(&[first.point(), second.point()], &[])?;
    first.remount("ro")?;
    wait_for_condition(&agent, "ReadonlyFilesystem", "True")?;
    second.remount("ro")?;
    let place = second.point().display().to_string();
    agent.wait_for("the second one", PATIENCE, |line| {
        line.is_event("FilesystemError", &place)
    })?;
    first.remount("rw")?;
    agent.wait_until("the second one to be shown", PATIENCE, || {
        let condition = agent.condition("ReadonlyFilesystem")?;
        ensure!(condition["status"] == "True", "it ended too early");
        let message = condition["message"].to_string();
        Ok(message.contains(&place).then_some(()))
    })?;
    second.remount("rw")?;
    wait_for_condition(&agent, "ReadonlyFilesystem", "False")?;
    ensure!(count_events(&agent, "FilesystemError", "")? == 1);
    Ok(())
}

/// How many lines of the agent name a device.
fn count_reports(agent: &Agent, device: &str) -> usize {
    let lines = agent.lines().into_iter();
    lines
        .filter(|line| line.report.to_string().contains(device))
        .count()
}

/// Starts the agent with the ebpf-monitor, for which these file systems matter, and with `flags`.
pub(crate) fn start_for(
    mount_points: &[&Path],
    flags: &[&str],
) -> anyhow::Result<(Agent, NamedTempFile)> {
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
                "mountPoints": mount_points,
            },
        ],
    });
    let mut file = NamedTempFile::new().context("making a config file")?;
    write!(file, "{config}").context("writing a config file")?;
    let flag = format!("--config.ebpf-monitor={}", file.path().display());
    let flags = [&[&*flag], flags].concat();
    Ok((watching(Agent::start(Path::new("/"), &flags)?)?, file))
}
