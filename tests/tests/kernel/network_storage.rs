//! Servers and targets that go away and come back.

use anyhow::ensure;
use npd_tests::agent::PATIENCE;
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::faults::nfs::NfsServer;
use npd_tests::faults::nvme::NvmeTarget;
use npd_tests::faults::retry;

use crate::{FLAPPING, count_events, settle, start, wait_for_events};

/// Whoever reads waits until the server is back.
pub(crate) fn an_nfs_server_that_is_gone_is_reported_once_and_again_the_next_time()
-> anyhow::Result<()> {
    const ABOUT: &str = "server 127.0.0.1 not responding";
    let disk = Disk::new(Type::Ext4)?;
    let mounted = disk.mount("rw")?;
    let server = NfsServer::new(&mounted)?;
    let mount = server.mount()?;
    mount.read()?.finish()?;
    let agent = start()?;
    for times in 1..=2 {
        server.stop()?;
        let mut reader = mount.read()?;
        wait_for_events(&agent, "NFSNotResponding", ABOUT, times)?;
        server.start()?;
        reader.finish()?;
        settle(&agent)?;
        ensure!(count_events(&agent, "NFSNotResponding", ABOUT)? == times);
        std::thread::sleep(FLAPPING);
    }
    Ok(())
}

/// The controller tries again and again until the target is back.
pub(crate) fn an_nvme_target_that_is_gone_is_reported_once_and_again_the_next_time()
-> anyhow::Result<()> {
    let disk = Disk::empty()?;
    let target = NvmeTarget::new(&disk)?;
    let controller = target.connect()?;
    let is = |wanted: &str| {
        retry(PATIENCE, || {
            let state = controller.state()?;
            ensure!(state == wanted, "it is {state}");
            Ok(())
        })
    };
    is("live")?;
    let agent = start()?;
    let about = format!("nvme {}: ", controller.name());
    for times in 1..=2 {
        target.close()?;
        wait_for_events(&agent, "NVMeControllerDown", &about, times)?;
        settle(&agent)?;
        target.open()?;
        is("live")?;
        settle(&agent)?;
        ensure!(count_events(&agent, "NVMeControllerDown", &about)? == times);
        std::thread::sleep(FLAPPING);
    }
    Ok(())
}
