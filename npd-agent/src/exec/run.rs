//! Runs a program until a deadline, and no longer.

use std::io;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, copy, sink};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::Program;
use super::spawn::{Group, Spawner};

/// How long a killed program may take to be gone. Longer only where the kernel cannot kill it, or
/// where a descendant that has left the group holds a pipe.
const GRACE: Duration = Duration::from_secs(1);

/// What came of a run.
#[derive(Debug)]
pub enum Outcome {
    /// The program is gone.
    Ended(Ended),
    /// It could not be started.
    NotStarted(io::Error),
    /// It cannot be waited for.
    Lost(io::Error),
    /// It has outlived its deadline and SIGKILL.
    Abandoned {
        /// What is left of it.
        rest: Abandoned,
        /// The beginning of its standard output until now.
        stdout: Vec<u8>,
    },
}

/// A program that is gone.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Whether the deadline passed before it had ended and its pipes were closed. What was left of
    /// its group has been killed.
    pub timed_out: bool,
    /// The beginning of its standard output.
    pub stdout: Vec<u8>,
    /// The beginning of its standard error.
    pub stderr: Vec<u8>,
}

/// A program that cannot be got rid of. Dropping it kills its group once more.
#[derive(Debug)]
pub enum Abandoned {
    /// It hangs while its file is being read.
    Starting(oneshot::Receiver<io::Result<Group>>),
    /// It has been killed, and is still there.
    Killed(Group),
}

impl Abandoned {
    /// Waits until it is gone.
    pub async fn gone(self) {
        let mut group = match self {
            Self::Killed(group) => group,
            Self::Starting(started) => match started.await {
                Ok(Ok(group)) => group,
                Ok(Err(_)) | Err(_) => return,
            },
        };
        group.kill();
        // A child that cannot be waited for is gone as well.
        drop(group.wait().await);
    }
}

/// Runs `program` for at most `limit` and [`GRACE`]. Of each of its outputs `keep` bytes are kept;
/// the rest is read and thrown away, so that a program that prints much is not held up.
pub async fn run(spawner: &Spawner, program: Program, limit: Duration, keep: usize) -> Outcome {
    let deadline = Instant::now() + limit;
    let mut started = spawner.spawn(program);
    let mut group = match timeout_at(deadline, &mut started).await {
        Ok(Ok(Ok(group))) => group,
        Ok(Ok(Err(error))) => return Outcome::NotStarted(error),
        Ok(Err(_)) => return Outcome::NotStarted(io::Error::other("the thread for it is gone")),
        Err(_) => {
            return Outcome::Abandoned {
                rest: Abandoned::Starting(started),
                stdout: Vec::new(),
            };
        }
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let end = follow(&mut group, deadline, keep, &mut stdout, &mut stderr).await;
    let status = match end.waited {
        Some(waited) => waited.map(Some),
        // A descendant holds a pipe, or the program cannot be killed.
        None => group.try_wait(),
    };
    match status {
        Ok(Some(status)) => Outcome::Ended(Ended {
            status,
            timed_out: end.timed_out,
            stdout,
            stderr,
        }),
        Ok(None) => Outcome::Abandoned {
            rest: Abandoned::Killed(group),
            stdout,
        },
        Err(error) => Outcome::Lost(error),
    }
}

struct End {
    timed_out: bool,
    waited: Option<io::Result<ExitStatus>>,
}

/// Reads the pipes to their ends and then waits for the program; at the deadline kills it.
async fn follow(
    group: &mut Group,
    deadline: Instant,
    keep: usize,
    stdout: &mut Vec<u8>,
    stderr: &mut Vec<u8>,
) -> End {
    let id = group.id();
    let (out, err) = group.pipes();
    let mut ending = pin!(async {
        tokio::join!(head(out, keep, stdout), head(err, keep, stderr));
        group.wait().await
    });
    if let Ok(waited) = timeout_at(deadline, &mut ending).await {
        return End {
            timed_out: false,
            waited: Some(waited),
        };
    }
    // `ending` has not ended, so the first process has not been waited for: see `Group::kill`.
    Group::kill_id(id);
    End {
        timed_out: true,
        waited: timeout(GRACE, ending).await.ok(),
    }
}

/// Reads to the end and keeps the first `keep` bytes. A pipe that cannot be read has ended.
async fn head(pipe: Option<impl AsyncRead + Unpin>, keep: usize, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let first = (&mut pipe).take(keep as u64).read_to_end(kept).await;
    if first.is_ok() && kept.len() == keep {
        drop(copy(&mut pipe, &mut sink()).await);
    }
}
