//! journald itself, in a namespace of its own.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::faults::retry;
use serde_json::json;

use crate::comparison::{IDENTIFIERS, compare, message};
use crate::rotation::{check_once, numbers};

pub(crate) const JOURNALD: &str = "/lib/systemd/systemd-journald";

/// How many entries are compared.
const ENTRIES: u64 = 10_000;

pub(crate) fn rotation() -> anyhow::Result<()> {
    let journal = Journal::start()?;
    let folder = tempfile::tempdir()?;
    let config = json!({
        "plugin": "journald", "logPath": journal.folder()?, "lookback": "1h", "source": "test",
        "pluginConfig": {"source": "kubelet"},
        "rules": [{"type": "temporary", "reason": "Bad", "pattern": "bad line \\d+"}],
    });
    std::fs::write(folder.path().join("config.json"), config.to_string())?;
    let start = || {
        let arguments = [
            "--config.system-log-monitor=config.json",
            "--state-dir=state",
        ];
        Agent::start(folder.path(), &arguments)
    };
    let reported = |agent: &Agent, number: u64| {
        agent.wait_for("the last line", PATIENCE, |line| {
            numbers(vec![line.clone()]) == [number]
        })
    };
    journal.write(0..20)?;
    let first = start()?;
    journal.write(20..40)?;
    journal.rotate()?;
    journal.write(40..60)?;
    reported(&first, 59)?;
    let mut lives = vec![numbers(first.kill()?)];
    journal.write(60..80)?;
    journal.rotate()?;
    journal.write(80..90)?;
    let second = start()?;
    journal.write(90..100)?;
    reported(&second, 99)?;
    lives.push(numbers(second.kill()?));
    check_once(&lives)?;
    let mut all = lives.concat();
    all.sort_unstable();
    all.dedup();
    ensure!(
        all == (0..100).collect::<Vec<_>>(),
        "only these are reported: {all:?}"
    );
    Ok(())
}

/// Every kind of message, given to journald by its own protocol, rotated away a few times.
pub(crate) fn comparison() -> anyhow::Result<()> {
    let journal = Journal::start()?;
    for number in 0..ENTRIES {
        let identifier = IDENTIFIERS[usize::try_from(number % 6)?];
        journal.send(identifier, &message(number))?;
        if number % 3000 == 2999 {
            journal.rotate()?;
        }
    }
    journal.control("--sync")?;
    let compared = compare(&journal.folder()?, &IDENTIFIERS)?;
    ensure!(compared == ENTRIES, "journalctl has {compared} entries");
    compare(&journal.folder()?, &["kernel", "sshd"])?;
    eprintln!("{compared} entries are equal");
    Ok(())
}

/// A journal in a namespace of its own, which goes when dropped.
pub(crate) struct Journal {
    journald: Child,
    namespace: String,
}

impl Journal {
    pub(crate) fn start() -> anyhow::Result<Self> {
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
    pub(crate) fn folder(&self) -> anyhow::Result<PathBuf> {
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
    pub(crate) fn send(&self, identifier: &str, message: &[u8]) -> anyhow::Result<()> {
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
    fn write(&self, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
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

    fn rotate(&self) -> anyhow::Result<()> {
        self.control("--rotate")
    }

    fn control(&self, how: &str) -> anyhow::Result<()> {
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
