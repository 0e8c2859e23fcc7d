//! Arrays that lose a disk.

use anyhow::ensure;
use npd_tests::agent::PATIENCE;
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::faults::raid::Mirror;

use crate::{count_events, settle, start, wait_for_events};

/// A disk dies, and the array works on.
pub(crate) fn a_failed_member_is_reported_once() -> anyhow::Result<()> {
    let host = Disk::new(Type::Xfs)?;
    let host_mount = host.mount("rw")?;
    let (good, bad) = (Disk::empty()?, Disk::inside(&host_mount)?);
    let array = Mirror::new("md99", [&good, &bad])?;
    let agent = start()?;
    let about = format!(":{}: ", array.name());
    let count = |reason: &str, text: &str| count_events(&agent, reason, text);
    let disk = format!("dev {}, ", bad.name());
    let disk_before = count("IOError", &disk)?;
    host_mount.xfs_shutdown()?;
    array.write()?;
    wait_for_events(&agent, "RaidDegraded", &about, 1)?;
    agent.wait_for("the disk's error", PATIENCE, |line| {
        line.is_event("IOError", &disk)
    })?;
    settle(&agent)?;
    ensure!(count("RaidDegraded", &about)? == 1);
    ensure!(count("RaidFailed", &about)? == 0);
    ensure!(count("IOError", &disk)? == disk_before + 1);
    Ok(())
}
