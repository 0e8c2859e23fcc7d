//! Runs a program until a deadline.

use std::io;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, copy, sink};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::time::{Instant, timeout, timeout_at};

use super::abandoned::Abandoned;
use super::spawn::{ProcessGroup, Spawner};
use super::{ExternalProgram, LimitReached};

/// How long a killed program may take to end. It takes longer only if the kernel cannot kill it, or if a
/// descendant that has left the group holds a pipe.
const GRACE: Duration = Duration::from_secs(1);

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The program could not be started.
    #[error("starting the program: {0}")]
    NotStarted(io::Error),
    /// It was started, but waiting for it failed.
    #[error("waiting for the program: {0}")]
    Lost(io::Error),
}

/// A program that was run.
#[derive(Debug)]
pub struct Finished {
    /// How it ended; `None` if it is still being started, or has survived SIGKILL.
    pub status: Option<ExitStatus>,
    /// Whether the deadline passed before it had ended and its pipes were closed. Its group was then
    /// killed.
    pub timed_out: bool,
    /// The beginning of its standard output.
    pub stdout: Vec<u8>,
    /// The beginning of its standard error.
    pub stderr: Vec<u8>,
    /// The limit that it has reached.
    pub limit: Option<LimitReached>,
    /// What still exists of it and its descendants after that.
    pub rest: Option<Abandoned>,
}

/// Runs `program` for at most `limit` plus [`GRACE`]. Returns the first `keep` bytes of each output. The
/// rest is read and dropped, so a program that prints much is not blocked.
pub async fn run(
    spawner: &Spawner,
    program: ExternalProgram,
    limit: Duration,
    keep: usize,
) -> Result<Finished, RunError> {
    let deadline = Instant::now() + limit;
    let mut started = spawner.spawn(program);
    let Ok(answer) = timeout_at(deadline, &mut started).await else {
        return Ok(Finished {
            status: None,
            timed_out: true,
            stdout: Vec::new(),
            stderr: Vec::new(),
            limit: None,
            rest: Some(Abandoned::starting(started)),
        });
    };
    let answer = answer.unwrap_or_else(|_| Err(io::Error::other("its thread is gone")));
    let mut group = answer.map_err(RunError::NotStarted)?;
    let mut pipes = Pipes::of(&mut group, keep);
    let Followed {
        timed_out,
        waited,
        limit,
    } = follow(&mut group, &mut pipes, deadline).await;
    let status = match waited {
        Some(waited) => waited.map(Some),
        // A descendant holds a pipe, or the program cannot be killed.
        None => group.try_wait(),
    };
    let status = status.map_err(RunError::Lost)?;
    let Pipes { out, err } = pipes;
    Ok(Finished {
        status,
        timed_out,
        stdout: out.kept,
        stderr: err.kept,
        limit,
        rest: if timed_out {
            Abandoned::of(group, out.end, err.end)
        } else {
            None
        },
    })
}

struct Followed {
    timed_out: bool,
    waited: Option<io::Result<ExitStatus>>,
    limit: Option<LimitReached>,
}

/// Reads the pipes to their ends and then waits for the program; at the deadline kills it.
async fn follow(group: &mut ProcessGroup, pipes: &mut Pipes, deadline: Instant) -> Followed {
    let kill = group.killer();
    let limit_reached = group.limit_reached();
    let mut ending = pin!(async {
        tokio::join!(pipes.out.read(), pipes.err.read());
        group.wait().await
    });
    if let Ok(waited) = timeout_at(deadline, &mut ending).await {
        return Followed {
            timed_out: false,
            waited: Some(waited),
            limit: limit_reached(),
        };
    }
    // `ending` has not ended, so the first process has not been waited for: see `ProcessGroup::kill`.
    // To kill a cgroup, its limit of processes may be lowered: what it has reached is asked before.
    let limit = limit_reached();
    kill();
    Followed {
        timed_out: true,
        limit,
        waited: timeout(GRACE, ending).await.ok(),
    }
}

struct Pipes {
    out: Pipe<ChildStdout>,
    err: Pipe<ChildStderr>,
}

impl Pipes {
    fn of(group: &mut ProcessGroup, keep: usize) -> Self {
        let (out, err) = group.pipes();
        Self {
            out: Pipe::new(out, keep),
            err: Pipe::new(err, keep),
        }
    }
}

/// Our end of a pipe until the other end is closed, and the beginning of its data.
struct Pipe<R> {
    end: Option<R>,
    keep: usize,
    kept: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    fn new(end: Option<R>, keep: usize) -> Self {
        Self {
            end,
            keep,
            kept: Vec::new(),
        }
    }

    /// Reads to the end and closes the pipe. One that cannot be read has ended.
    async fn read(&mut self) {
        let Some(pipe) = &mut self.end else { return };
        let first = pipe
            .take(self.keep as u64)
            .read_to_end(&mut self.kept)
            .await;
        if first.is_ok() && self.kept.len() == self.keep {
            drop(copy(pipe, &mut sink()).await);
        }
        self.end = None;
    }
}
