//! Reaps processes that plugins leave behind.
//!
//! When the parent of a plugin's descendant ends, the descendant becomes our child: always if the agent is
//! process 1 of its container, and elsewhere because the agent is a subreaper. If nobody waits for it
//! when it ends, it stays in the process table as a zombie (NPD's #726).

use anyhow::Context;
use nix::sys::prctl;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use tokio::signal::unix::{SignalKind, signal};

use crate::problem::Forever;

/// Reaps orphans. Must run on the process's first thread.
///
/// The kernel makes orphans children of the first thread (`find_new_reaper` in kernel/exit.c). What
/// [`super::Spawner`] starts are children of its own threads. `__WNOTHREAD` separates the two, so no exit
/// status is taken from someone who waits for it.
pub async fn reap() -> Forever {
    prctl::set_child_subreaper(true).context("becoming a subreaper")?;
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
