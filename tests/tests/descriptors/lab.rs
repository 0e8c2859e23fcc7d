//! An agent with any standard streams, and streams that fail.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe};
use npd_tests::agent::{PATIENCE, get};
use npd_tests::harness;
use npd_tests::metrics::Page;
use npd_tests::port::{FreePort, free_port};
use tempfile::TempDir;

/// What a standard stream leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Hostile {
    /// A pipe that is full and that nobody reads.
    FullPipe,
    /// A full pipe that must not block.
    FullPipeWithoutBlocking,
    /// A pipe that nobody can read any more.
    ClosedPipe,
    /// A device without room.
    FullDevice,
    /// A full pipe that is read later.
    ReadLater,
}

/// The reader's end of a stream, if there is one, and the end for the agent.
pub(crate) fn open(stream: Hostile) -> anyhow::Result<(Option<File>, Stdio)> {
    if stream == Hostile::FullDevice {
        let device = File::options().write(true).open("/dev/full")?;
        return Ok((None, device.into()));
    }
    let (reader, writer) = pipe()?;
    if stream == Hostile::ClosedPipe {
        return Ok((None, writer.into()));
    }
    fill(&writer)?;
    if stream == Hostile::FullPipeWithoutBlocking {
        set_nonblocking(&writer, true)?;
    }
    Ok((Some(File::from(reader)), writer.into()))
}

/// Fills a pipe with empty lines.
fn fill(writer: &OwnedFd) -> anyhow::Result<()> {
    set_nonblocking(writer, true)?;
    while nix::unistd::write(writer, &[b'\n'; 4096]).is_ok() {}
    set_nonblocking(writer, false)
}

fn set_nonblocking(fd: &OwnedFd, yes: bool) -> anyhow::Result<()> {
    let flags = if yes {
        OFlag::O_NONBLOCK
    } else {
        OFlag::empty()
    };
    fcntl(fd, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// Waits until something is so.
pub(crate) fn wait_until(
    what: &str,
    mut is_so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        ensure!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A running agent that watches a log file. Dropping it kills it.
pub(crate) struct Agent {
    process: Child,
    folder: TempDir,
    pub(crate) port: FreePort,
    prometheus_port: FreePort,
}

const CONFIG: &str = r#"{"plugin": "filelog", "logPath": "app.log", "source": "app", "lookback": "1h",
    "pluginConfig": {"timestamp": "^.{20}", "message": "^.{20} (.*)",
                     "timestampFormat": "2006-01-02T15:04:05Z07:00"},
    "rules": [{"type": "temporary", "reason": "Bad", "pattern": "bad .*"}]}"#;

impl Agent {
    pub(crate) fn start(stdout: Stdio, stderr: Stdio) -> anyhow::Result<Self> {
        Self::with_monitors(&[], stdout, stderr)
    }

    /// The same with more monitors: of each the flag, and the config.
    pub(crate) fn with_monitors(
        monitors: &[(&str, &str)],
        stdout: Stdio,
        stderr: Stdio,
    ) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let mut flags = Vec::new();
        for (flag, config) in monitors {
            fs::write(folder.path().join(format!("{flag}.json")), config)?;
            flags.push(format!("--config.{flag}={flag}.json"));
        }
        fs::write(folder.path().join("app.json"), CONFIG)?;
        fs::write(folder.path().join("app.log"), "")?;
        let (port, prometheus_port) = (free_port()?, free_port()?);
        let process = Command::new(harness::agent()?)
            .arg("--config.system-log-monitor=app.json")
            .args(flags)
            .arg("--exporter.terminal=json")
            .arg(format!("--port={}", port.number))
            .arg(format!("--prometheus-port={}", prometheus_port.number))
            .current_dir(folder.path())
            .env_remove("KUBERNETES_SERVICE_HOST")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .context("starting the agent")?;
        Ok(Self {
            process,
            folder,
            port,
            prometheus_port,
        })
    }

    /// Has it find so many problems, each with a text of so many bytes.
    pub(crate) fn find(&self, problems: u64, bytes: usize) -> anyhow::Result<()> {
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let text = "x".repeat(bytes);
        let path = self.folder.path().join("app.log");
        let mut log = io::BufWriter::new(File::options().append(true).open(path)?);
        for number in 0..problems {
            writeln!(log, "{time} bad {number} {text}")?;
        }
        log.flush()?;
        wait_until("the problems are found", || {
            Ok(self.counter("problem_counter", "reason", "Bad")? >= problems)
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn counter(&self, name: &str, label: &str, value: &str) -> anyhow::Result<u64> {
        let page = get(self.prometheus_port.number, "/metrics")?;
        let series = format!("{name}{{{label}=\"{value}\"}} ");
        let mut lines = page.lines();
        let value = lines.find_map(|line| line.strip_prefix(&*series));
        value.map_or(Ok(0), |value| Ok(value.parse()?))
    }

    pub(crate) fn dropped(&self) -> anyhow::Result<u64> {
        self.counter("npd_exporter_dropped_total", "exporter", "terminal")
    }

    pub(crate) fn log_lines_lost(&self) -> anyhow::Result<f64> {
        let page = Page::read(get(self.prometheus_port.number, "/metrics")?)?;
        page.value("npd_log_lines_lost_total")
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let process = Pid::from_raw(self.process.id().cast_signed());
        kill(process, signal).context("sending a signal")
    }

    /// Asks it to stop, and expects the exit code 0.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "it ended with {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("it did not stop on SIGTERM")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What a pipe has given so far.
#[derive(Clone, Default)]
pub(crate) struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    /// Reads from a pipe until nobody writes to it any more.
    pub(crate) fn read(reader: Option<File>) -> anyhow::Result<Self> {
        let mut reader = reader.context("there is no reader")?;
        let output = Self::default();
        let to = output.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                to.bytes().extend(&buffer[..length]);
            }
        });
        Ok(output)
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn text(&self) -> anyhow::Result<String> {
        Ok(String::from_utf8(self.bytes().clone())?)
    }

    /// How many lines were printed; those that filled the pipe are empty.
    pub(crate) fn lines(&self) -> anyhow::Result<u64> {
        let text = self.text()?;
        let lines = text.split_inclusive('\n');
        Ok(lines
            .filter(|line| line.len() > 1 && line.ends_with('\n'))
            .count() as u64)
    }
}

/// A small file system of its own. Dropping it unmounts it.
pub(crate) struct SmallDisk(pub(crate) TempDir);

impl SmallDisk {
    pub(crate) fn mount() -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=128k", "npd-test"])
            .arg(folder.path())
            .status()?;
        ensure!(status.success(), "mount: {status}");
        Ok(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(
            Command::new("umount")
                .arg("--lazy")
                .arg(self.0.path())
                .status(),
        );
    }
}
