//! A part of the machine that only one test sees.

use std::thread;

use anyhow::{Context as _, anyhow};
use nix::sched::{CloneFlags, unshare};

use super::run;

/// Does `work` on a thread with a network of its own, in which there is only loopback. Programs that it
/// starts are there, too.
pub fn with_own_network(work: impl FnOnce() -> anyhow::Result<()> + Send) -> anyhow::Result<()> {
    apart(CloneFlags::CLONE_NEWNET, || {
        run("ip", &["link", "set", "lo", "up"])?;
        work()
    })
}

/// Does `work` on a thread whose mounts nobody else sees. They are gone when it has ended, and the programs
/// that it has started.
pub fn with_own_mounts(work: impl FnOnce() -> anyhow::Result<()> + Send) -> anyhow::Result<()> {
    apart(CloneFlags::CLONE_NEWNS, || {
        run("mount", &["--make-rprivate", "/"])?;
        work()
    })
}

fn apart(
    namespaces: CloneFlags,
    work: impl FnOnce() -> anyhow::Result<()> + Send,
) -> anyhow::Result<()> {
    let work = || {
        unshare(namespaces).context("making a namespace")?;
        work()
    };
    let ended = thread::scope(|scope| scope.spawn(work).join());
    ended.unwrap_or_else(|_panic| Err(anyhow!("it panicked")))
}
