//! A program that could not be killed.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::spawn::ProcessGroup;

/// How often it is checked. Its output is read at the same pace, so a program that prints without end
/// must wait for us.
const PERIOD: Duration = Duration::from_secs(1);

/// What is left of a program. When dropped, it kills the program's group once more.
#[derive(Debug)]
pub struct Abandoned(Left);

#[derive(Debug)]
enum Left {
    /// The program hangs while the kernel reads its file.
    Starting(oneshot::Receiver<io::Result<ProcessGroup>>),
    /// A process of its group survives SIGKILL, or one that has left the group holds a pipe.
    Killed(Box<Killed>),
}

#[derive(Debug)]
struct Killed {
    group: ProcessGroup,
    out: Option<ChildStdout>,
    err: Option<ChildStderr>,
}

impl Abandoned {
    pub(super) fn starting(started: oneshot::Receiver<io::Result<ProcessGroup>>) -> Self {
        Self(Left::Starting(started))
    }

    /// What is left of a group that was killed, if anything.
    pub(super) fn of(
        group: ProcessGroup,
        out: Option<ChildStdout>,
        err: Option<ChildStderr>,
    ) -> Option<Self> {
        let is_left = group.lives() || out.is_some() || err.is_some() || has_children(group.id());
        is_left.then(|| Self(Left::Killed(Box::new(Killed { group, out, err }))))
    }

    /// Waits until every process is gone, as far as this can be known: a process that has left the group and
    /// holds no pipe is not found.
    pub async fn gone(self) {
        let Killed {
            mut group,
            out,
            err,
        } = match self.0 {
            Left::Killed(killed) => *killed,
            Left::Starting(started) => match started.await {
                Ok(Ok(mut group)) => {
                    group.kill();
                    let (out, err) = group.pipes();
                    Killed { group, out, err }
                }
                Ok(Err(_)) | Err(_) => return,
            },
        };
        end_of(out).await;
        end_of(err).await;
        // A child that cannot be waited for is gone too.
        drop(group.wait().await);
        while has_children(group.id()) {
            sleep(PERIOD).await;
        }
    }
}

/// Whether processes of the group are our children now that their parents are gone: see
/// [`super::orphans`]. As long as there are any, no other group can have the number.
fn has_children(group: Pid) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::PGid(group), flags) != Err(Errno::ECHILD)
}

async fn end_of(pipe: Option<impl AsyncRead + Unpin>) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = [0; 512];
    while pipe.read(&mut chunk).await.is_ok_and(|read| read > 0) {
        sleep(PERIOD).await;
    }
}
