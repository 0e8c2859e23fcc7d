//! Reaps processes that plugins leave behind.
//!
//! A descendant of a plugin whose parent has ended becomes our child: always when the agent is the
//! first process of its container, and elsewhere because we ask for it. Somebody has to wait for it
//! when it ends, or it stays in the process table as a zombie (NPD's #726).

use anyhow::Context;
use nix::sys::prctl;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use tokio::signal::unix::{SignalKind, signal};

use crate::problem::Forever;

/// Reaps orphans. Must run on the process's first thread.
///
/// The kernel gives orphans to the first thread (`find_new_reaper` in kernel/exit.c), and what
/// [`super::Spawner`] starts are children of its threads. `__WNOTHREAD` keeps the two apart, so
/// nobody's exit status is taken away from who waits for it.
pub async fn reap() -> Forever {
    prctl::set_child_subreaper(true).context("asking for orphans")?;
    let mut ended = signal(SignalKind::child()).context("listening for SIGCHLD")?;
    loop {
        while reap_one() {}
        ended.recv().await.context("listening for SIGCHLD")?;
    }
}

fn reap_one() -> bool {
    let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WNOTHREAD;
    // ECHILD says that there are none.
    matches!(
        waitpid(None, Some(flags)),
        Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..))
    )
}
