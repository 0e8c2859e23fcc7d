//! journald itself, in a namespace of its own.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyhow::{Context as _, ensure};

use crate::agent::PATIENCE;
use crate::faults::retry;

/// The program.
pub const JOURNALD: &str = "/lib/systemd/systemd-journald";

/// A journal in a namespace of its own, which goes when dropped.
#[derive(Debug)]
pub struct Journal {
    journald: Child,
    namespace: String,
}

impl Journal {
    /// Starts journald, and waits until it takes entries.
    pub fn start() -> anyhow::Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Relaxed);
        let namespace = format!("npd{}-{number}", std::process::id());
        let journald = Command::new(JOURNALD)
            .arg(&namespace)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting journald")?;
        let journal = Self {
            journald,
            namespace,
        };
        retry(PATIENCE, || {
            ensure!(journal.socket().exists(), "journald has no socket");
            journal.folder()
        })?;
        Ok(journal)
    }

    fn run_folder(&self) -> PathBuf {
        PathBuf::from(format!("/run/systemd/journal.{}", self.namespace))
    }

    fn socket(&self) -> PathBuf {
        self.run_folder().join("dev-log")
    }

    /// Where its files are: one of two places, as journald is configured.
    pub fn folder(&self) -> anyhow::Result<PathBuf> {
        for root in ["/run/log/journal", "/var/log/journal"] {
            for entry in std::fs::read_dir(root).into_iter().flatten() {
                let path = entry?.path();
                if path
                    .extension()
                    .is_some_and(|extension| *extension == *self.namespace)
                {
                    return Ok(path);
                }
            }
        }
        anyhow::bail!("journald has made no folder for {}", self.namespace)
    }

    /// Gives journald an entry by its own protocol.
    pub fn send(&self, identifier: &str, message: &[u8]) -> anyhow::Result<()> {
        let mut entry = format!("SYSLOG_IDENTIFIER={identifier}\nMESSAGE\n").into_bytes();
        entry.extend((message.len() as u64).to_le_bytes());
        entry.extend(message);
        entry.push(b'\n');
        let socket = UnixDatagram::unbound()?;
        let sent = socket.send_to(&entry, self.run_folder().join("socket"));
        sent.context("writing to journald")?;
        Ok(())
    }

    /// Writes lines for the agent, and others.
    pub fn write(&self, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
        for number in numbers {
            for tag in ["kubelet", "other"] {
                let mut logger = Command::new("logger");
                logger
                    .arg("--socket")
                    .arg(self.socket())
                    .args(["--tag", tag]);
                let status = logger.arg(format!("bad line {number}")).status()?;
                ensure!(status.success(), "logger ended with {status}");
            }
        }
        Ok(())
    }

    /// Begins a new file.
    pub fn rotate(&self) -> anyhow::Result<()> {
        self.control("--rotate")
    }

    /// Lets `journalctl` tell it something, for example `--sync`.
    pub fn control(&self, how: &str) -> anyhow::Result<()> {
        let mut journalctl = Command::new("journalctl");
        let namespace = format!("--namespace={}", self.namespace);
        let status = journalctl
            .args([&*namespace, how])
            .stdin(Stdio::null())
            .status()?;
        ensure!(status.success(), "journalctl ended with {status}");
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.journald.kill());
        drop(self.journald.wait());
        if let Ok(folder) = self.folder() {
            drop(std::fs::remove_dir_all(folder));
        }
        drop(std::fs::remove_dir_all(self.run_folder()));
    }
}
