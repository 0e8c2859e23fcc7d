//! Written data that is lost.

use std::fs;

use anyhow::{Context as _, ensure};
use npd_tests::agent::PATIENCE;
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::faults::run;

use crate::{count_events, settle, start};

/// A program writes and ends, and the disk dies before the kernel has written the data. Nobody
/// would ever know.
pub(crate) fn a_lost_write_is_one_event_though_nobody_calls_fsync() -> anyhow::Result<()> {
    let host = Disk::new(Type::Xfs)?;
    let host_mount = host.mount("rw")?;
    let disk = Disk::formatted_inside(&host_mount, Type::Ext4)?;
    let mount = disk.mount("rw")?;
    let agent = start()?;
    let about = format!("{} (ext4), inode ", disk.name());
    let before = count_events(&agent, "WritebackError", &about)?;
    let write = |name: &str| {
        let content = vec![1; 1 << 20];
        fs::write(mount.point().join(name), content).context("writing a file")
    };
    write("written")?;
    run("sync", &[])?;
    write("lost")?;
    host_mount.xfs_shutdown()?;
    run("sync", &[])?;
    agent.wait_for("the loss", PATIENCE, |line| {
        line.is_event("WritebackError", &about)
    })?;
    settle(&agent)?;
    let reported = count_events(&agent, "WritebackError", &about)? - before;
    ensure!(
        reported == 1,
        "{reported} Events: {:?}",
        agent.page("/events")?
    );
    Ok(())
}
