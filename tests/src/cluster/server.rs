//! A child process that serves until it is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// A running component. Dropping it kills it with SIGKILL.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command` with its output in `log`, which an earlier run of the same component shares.
    pub(super) fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let child = command
            .env("CLUSTER_LEASH", "stdin") // See tests/cluster/main.go.
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// An error with the end of the log if the process is gone.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let log = fs::read_to_string(&self.log)?;
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(20)..];
        bail!(
            "{} ended with {status}:\n{}",
            self.log.display(),
            tail.join("\n")
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that the process has been waited for already.
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

/// How long [`eventually`] waits before the next attempt, at first and at last.
const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(1);

/// Calls `attempt` until it succeeds; after `timeout`, its last error is the result.
pub fn eventually<T>(
    timeout: Duration,
    mut attempt: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if start.elapsed() > timeout => {
                return Err(error.context(format!("still failing after {timeout:?}")));
            }
            // Asking costs the time of a kubectl; what takes long need not be asked for often.
            Err(_) => sleep((start.elapsed() / 10).clamp(SHORT, LONG)),
        }
    }
}

/// Bytes that no other test has.
pub(super) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    use std::io::Read as _;
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Runs `command` to its end.
///
/// # Errors
/// Its standard error, if it fails.
pub(super) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("running {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}
