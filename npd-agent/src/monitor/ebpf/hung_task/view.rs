//! What `/proc` shows about a task that hangs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;

use super::target::{WaitTarget, target};
use super::wait_point::{WaitPoint, wait_point};
use crate::node::cgroup;
use crate::node::files::read;
use crate::node::roots::Roots;
use crate::threads::ThreadPool;

/// How long the kernel may take to answer.
const PATIENCE: Duration = Duration::from_millis(250);

/// Reads about tasks on another thread. Some answers need a lock of the kernel, which may be part of the
/// deadlock that is reported.
pub(super) struct TaskReader {
    roots: Roots,
    threads: ThreadPool,
    /// Held until the kernel has answered.
    turn: Arc<Mutex<()>>,
}

/// Where a task waits, and for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) point: Option<WaitPoint>,
    pub(super) on: Option<WaitTarget>,
}

impl Wait {
    /// Tells waits for different things apart; `None` if it is not known what it waits for. A task that works
    /// on the same file system waits for the same thing, at least for a lock of another one.
    pub(super) fn cause(&self) -> Option<String> {
        let what = || self.point.as_ref()?.what.clone();
        self.on.as_ref().map(|on| on.key.clone()).or_else(what)
    }
}

impl TaskReader {
    pub(super) fn new(roots: &Roots, threads: ThreadPool) -> Self {
        Self {
            roots: roots.clone(),
            threads,
            turn: Arc::default(),
        }
    }

    /// The path of the task's cgroup; empty if it is unknown.
    pub(super) async fn cgroup(&self, pid: u32) -> String {
        let read = move |roots: &Roots| cgroup::path_of(&roots.proc, pid);
        self.ask(read).await.unwrap_or_default()
    }

    /// What the task waits for. Only privileged processes see it.
    pub(super) async fn wait(&self, pid: u32) -> Wait {
        let point = self.ask(move |roots| point(roots, pid)).await.flatten();
        let on = self.ask(move |roots| target(roots, pid)).await.flatten();
        Wait { point, on }
    }

    /// What `read` returns; `None` if the kernel does not answer soon, or still has to answer an earlier
    /// question.
    async fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Roots) -> T + Send + 'static,
    ) -> Option<T> {
        let turn = Arc::clone(&self.turn).try_lock_owned().ok()?;
        let threads = self.threads.ready().ok()?;
        let roots = self.roots.clone();
        let reading = threads.run(move || {
            let answer = read(&roots);
            drop(turn);
            answer
        });
        timeout(PATIENCE, reading).await.ok()?.ok()
    }
}

fn point(roots: &Roots, pid: u32) -> Option<WaitPoint> {
    let task = roots.proc.join(pid.to_string());
    let stack = read(&task.join("stack")).unwrap_or_default();
    wait_point(&stack).or_else(|| {
        // This takes fewer privileges, and has only the innermost function.
        let function = read(&task.join("wchan")).ok()?;
        let known = !function.is_empty() && function != "0";
        known
            .then(|| wait_point(&format!("[<0>] {function}+0x0/0x0")))
            .flatten()
    })
}
