//! Devices of the device mapper that fail or are full.

use anyhow::ensure;
use npd_tests::agent::PATIENCE;
use npd_tests::faults::disk::Disk;
use npd_tests::faults::mapper::{Mapped, ThinPool};
use npd_tests::faults::run;

use crate::{FLAPPING, count_events, settle, start, wait_for_events};

/// A pool is extended, and fills again.
pub(crate) fn a_full_thin_pool_is_reported_once_and_again_when_it_fills_again() -> anyhow::Result<()>
{
    let (metadata, data) = (Disk::empty()?, Disk::empty()?);
    let pool = ThinPool::new([&metadata, &data], 8 << 11)?;
    let agent = start()?;
    let about = format!("thin: {}: ", pool.number()?);
    let before = agent.lines().len();
    pool.fill()?;
    wait_for_events(&agent, "ThinPoolFull", &about, 1)?;
    settle(&agent)?;
    ensure!(count_events(&agent, "ThinPoolFull", &about)? == 1);
    // It had warned before.
    ensure!(count_events(&agent, "ThinPoolLow", &about)? == 1);
    let lines = agent.lines();
    ensure!(lines.len() == before + 2, "{:?}", &lines[before..]);
    pool.extend(16 << 11)?;
    std::thread::sleep(FLAPPING);
    pool.fill()?;
    wait_for_events(&agent, "ThinPoolFull", &about, 2)
}

/// A disk that works, fails, works and fails is one Event.
pub(crate) fn a_disk_that_fails_for_a_while_is_reported_once() -> anyhow::Result<()> {
    let disk = Disk::empty()?;
    let mapped = Mapped::linear("npd-test-flaky", &disk)?;
    let name = mapped.kernel_name()?;
    let agent = start()?;
    let about = format!("dev {name}, ");
    let before = count_events(&agent, "IOError", &about)?;
    let lines_before = agent.lines().len();
    let read = || {
        let from = format!("if={}", mapped.path());
        run("dd", &[&from, "of=/dev/null", "bs=4k", "count=16"])
    };
    read()?;
    for _ in 0..2 {
        mapped.fail(&disk)?;
        run("sh", &["-c", "echo 3 > /proc/sys/vm/drop_caches"])?;
        ensure!(read().is_err(), "it works");
        agent.wait_for("the error", PATIENCE, |line| {
            line.is_event("IOError", &about)
        })?;
        mapped.mend(&disk)?;
        read()?;
    }
    settle(&agent)?;
    ensure!(count_events(&agent, "IOError", &about)? == before + 1);
    let lines = agent.lines();
    ensure!(
        lines.len() == lines_before + 1,
        "{:?}",
        &lines[lines_before..]
    );
    Ok(())
}
