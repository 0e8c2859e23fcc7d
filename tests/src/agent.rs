//! The built agent, started and watched as a user would.

use std::cell::{Cell, RefCell};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::harness;
use crate::metrics::Page;
use crate::port::{FreePort, free_port};

/// How long anything that should happen may take on a busy machine. It costs nothing where all is well.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// A running agent. It is killed when this is dropped.
#[derive(Debug)]
pub struct Agent {
    process: Child,
    lines: Receiver<Line>,
    /// The lines that have been received, and how many of them [`Agent::report`] has passed.
    seen: RefCell<Vec<Line>>,
    passed: Cell<usize>,
    port: FreePort,
    prometheus_port: FreePort,
    /// What the agent logs.
    log: NamedTempFile,
}

/// A report of the agent: a line of its terminal exporter.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it came.
    pub time: SystemTime,
    /// What it says.
    pub report: Value,
}

impl Agent {
    /// Starts the agent in `folder`. What it reports is taken from its terminal exporter.
    pub fn start(folder: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_as(Command::new(harness::agent()?), folder, arguments)
    }

    /// Starts the agent with `command`, which becomes the agent with `exec`.
    pub fn start_as(
        mut command: Command,
        folder: &Path,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let log = NamedTempFile::new().context("making a file for its log")?;
        let (port, prometheus_port) = (free_port()?, free_port()?);
        let mut process = command
            .arg("--exporter.terminal=json")
            .arg(format!("--port={}", port.number))
            .arg(format!("--prometheus-port={}", prometheus_port.number))
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.reopen().context("opening its log")?)
            .spawn()
            .context("starting the agent")?;
        let output = process.stdout.take().context("reading its output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || read_lines(output, &sender));
        Ok(Self {
            process,
            lines,
            seen: RefCell::default(),
            passed: Cell::new(0),
            port,
            prometheus_port,
            log,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for a report that `wanted` accepts, and skips all others.
    pub fn report(&self, mut wanted: impl FnMut(&Value) -> bool) -> anyhow::Result<Value> {
        let found = self.wait_from(self.passed.get(), "a report", PATIENCE, |line| {
            wanted(&line.report)
        });
        let (place, line) = found?;
        self.passed.set(place + 1);
        Ok(line.report)
    }

    /// Waits for an event, and returns its reason and message.
    pub fn event(&self) -> anyhow::Result<(String, String)> {
        let report = self.report(|report| report.get("event").is_some())?;
        let text = |key: &str| report["event"][key].as_str().unwrap_or_default().to_owned();
        Ok((text("reason"), text("message")))
    }

    /// Waits for a line that `wanted` accepts, and returns the first such line since the start.
    pub fn wait_for(
        &self,
        what: &str,
        patience: Duration,
        wanted: impl FnMut(&Line) -> bool,
    ) -> anyhow::Result<Line> {
        let (_, line) = self.wait_from(0, what, patience, wanted)?;
        Ok(line)
    }

    fn wait_from(
        &self,
        mut place: usize,
        what: &str,
        patience: Duration,
        mut wanted: impl FnMut(&Line) -> bool,
    ) -> anyhow::Result<(usize, Line)> {
        let deadline = Instant::now() + patience;
        loop {
            for line in &self.seen.borrow()[place..] {
                if wanted(line) {
                    return Ok((place, line.clone()));
                }
                place += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.borrow_mut().push(line),
                Err(RecvTimeoutError::Timeout) => bail!(self.in_vain(what)),
                Err(RecvTimeoutError::Disconnected) => bail!("the agent has ended: {}", self.log()),
            }
        }
    }

    /// Every line so far.
    pub fn lines(&self) -> Vec<Line> {
        let mut seen = self.seen.borrow_mut();
        seen.extend(self.lines.try_iter());
        seen.clone()
    }

    /// Waits until `look` finds something. If `look` fails, tries again, because an agent that has just
    /// been started does not answer yet.
    pub fn wait_until<T>(
        &self,
        what: &str,
        patience: Duration,
        mut look: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + patience;
        loop {
            let failed = match look() {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => None,
                Err(error) => Some(error),
            };
            if Instant::now() >= deadline {
                let in_vain = self.in_vain(what);
                return Err(match failed {
                    Some(error) => error.context(in_vain),
                    None => anyhow!(in_vain),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn in_vain(&self, what: &str) -> String {
        let lines = self.lines();
        let lines = lines.iter().map(|line| format!("{}\n", line.report));
        let lines = lines.collect::<String>();
        let log = self.log();
        format!("waited in vain for {what}\nthe agent reported:\n{lines}and logged:\n{log}")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// Every metric.
    pub fn metrics(&self) -> anyhow::Result<Page> {
        Page::read(self.metrics_text()?)
    }

    /// The text of the page of metrics.
    pub fn metrics_text(&self) -> anyhow::Result<String> {
        get(self.prometheus_port.number, "/metrics")
    }

    /// The value of a metric that counts, given by its name and labels as they are printed.
    pub fn metric(&self, series: &str) -> anyhow::Result<u64> {
        let page = self.metrics_text()?;
        let line = page.lines().find_map(|line| line.strip_prefix(series));
        let value = line.with_context(|| format!("{series} is not in\n{page}"))?;
        value.trim().parse().context("reading a metric")
    }

    /// The port of its pages.
    pub fn port(&self) -> u16 {
        self.port.number
    }

    /// The port of its metrics.
    pub fn prometheus_port(&self) -> u16 {
        self.prometheus_port.number
    }

    /// A page, for example `/conditions`.
    pub fn page(&self, path: &str) -> anyhow::Result<Value> {
        serde_json::from_str(&get(self.port.number, path)?)
            .with_context(|| format!("reading {path}"))
    }

    /// One of the list on `/conditions`.
    pub fn condition(&self, r#type: &str) -> anyhow::Result<Value> {
        let page = self.page("/conditions")?;
        let mut conditions = page.as_array().into_iter().flatten();
        let condition = conditions.find(|condition| condition["type"] == r#type);
        condition
            .cloned()
            .with_context(|| format!("{type} is not in {page}"))
    }

    /// Kills it, and returns every line that it has written.
    pub fn kill(mut self) -> anyhow::Result<Vec<Line>> {
        self.process.kill().context("killing the agent")?;
        self.process.wait().context("waiting for the agent")?;
        // Lines that it wrote before may still arrive.
        let mut seen = self.seen.borrow_mut();
        seen.extend(self.lines.iter());
        Ok(std::mem::take(&mut *seen))
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        kill(Pid::from_raw(self.id().cast_signed()), Signal::SIGTERM)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the agent did not stop on SIGTERM")
    }
}

impl Line {
    /// Whether it reports this event; see [`is_event`].
    pub fn is_event(&self, reason: &str, text: &str) -> bool {
        is_event(&self.report["event"], reason, text)
    }
}

/// Whether an event has this reason and a message that contains `text`.
pub fn is_event(event: &Value, reason: &str, text: &str) -> bool {
    let message = event["message"].as_str();
    event["reason"] == reason && message.is_some_and(|message| message.contains(text))
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn read_lines(output: ChildStdout, lines: &Sender<Line>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let time = SystemTime::now();
        // A line that is not a report fails the test that reads it.
        let report = serde_json::from_str(&line).unwrap_or(Value::String(line));
        if lines.send(Line { time, report }).is_err() {
            return;
        }
    }
}

/// The body of a page of the agent that has this port; asks again until it listens.
pub fn get(port: u16, path: &str) -> anyhow::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer
        .split_once("\r\n\r\n")
        .context("an answer without a body")?;
    Ok(body.1.to_owned())
}
