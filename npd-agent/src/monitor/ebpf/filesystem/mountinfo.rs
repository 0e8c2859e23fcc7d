//! Watches the mount table of the node's first process, which is the node's own.

use std::fs::File;
use std::io::{BufReader, Seek as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::mounts::{MountReading, MountTable};
use crate::fd;

/// How many lines are read before others get their turn: 10,000 take the kernel 20 ms to print.
const LINES_AT_ONCE: usize = 256;

/// An open mount table.
pub struct Mountinfo {
    file: File,
    /// The same file, if the kernel lets us wait for it.
    wakes: Option<AsyncFd<OwnedFd>>,
}

impl Mountinfo {
    /// Opens the table: the first process's, or our own where that one is out of sight.
    pub fn open(proc: &Path) -> anyhow::Result<Self> {
        let of = |process: &str| File::open(proc.join(process).join("mountinfo"));
        let file = of("1")
            .or_else(|_| of("self"))
            .context("opening the mount table")?;
        let waited_for = file.try_clone().context("opening the mount table twice")?;
        let wakes = fd::exceptional(waited_for.into()).ok();
        Ok(Self { file, wakes })
    }

    /// Waits until something is mounted, unmounted or remounted. What the kernel does by itself,
    /// after an error, does not end the wait (`touch_mnt_namespace` in the kernel's `fs/namespace.c`).
    pub async fn changed(&self) {
        let Some(wakes) = &self.wakes else {
            return std::future::pending().await;
        };
        match wakes.ready(Interest::PRIORITY).await {
            Ok(mut guard) => guard.clear_ready(),
            // The runtime is going away.
            Err(_) => std::future::pending().await,
        }
    }

    /// Reads the table; see [`MountReading::new`] for `paths`.
    pub async fn read(&mut self, paths: &[PathBuf]) -> anyhow::Result<MountTable> {
        self.file.rewind().context("rewinding the mount table")?;
        let mut reader = BufReader::new(&self.file);
        let mut reading = MountReading::new(paths);
        while reading
            .lines(&mut reader, LINES_AT_ONCE)
            .context("reading the mount table")?
        {
            tokio::task::yield_now().await;
        }
        Ok(reading.finish())
    }
}
