//! The built agent, running.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness;

/// How long the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running agent, which is killed when this is dropped.
pub struct Agent {
    child: Child,
    lines: Receiver<Line>,
    /// The lines that have been received.
    seen: Vec<Line>,
    port: u16,
    prometheus_port: u16,
    /// Holds what the agent logs.
    folder: TempDir,
}

/// A line that the agent printed.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it came.
    pub at: Instant,
    /// What it says.
    pub json: Value,
}

impl Agent {
    /// Starts the agent, on ports of its own, and waits until it answers.
    pub fn start(args: &[&str]) -> anyhow::Result<Self> {
        Self::start_through(&[], args)
    }

    /// Starts the agent through a program that starts programs, like `setpriv`.
    pub fn start_through(prefix: &[&str], args: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let log = std::fs::File::create(folder.path().join("log")).context("making a log")?;
        let (port, prometheus_port) = (free_port()?, free_port()?);
        let program = harness::agent()?;
        let mut words = prefix.iter().map(PathBuf::from).chain([program]);
        let first = words.next().unwrap_or_default();
        let mut child = Command::new(&first)
            .args(words)
            .arg("--exporter.terminal=json")
            .arg(format!("--port={port}"))
            .arg(format!("--prometheus-port={prometheus_port}"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", first.display()))?;
        let output = child.stdout.take().context("taking the agent's output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || read_lines(output, &sender));
        let mut agent = Self {
            child,
            lines,
            seen: Vec::new(),
            port,
            prometheus_port,
            folder,
        };
        agent.wait("the agent to answer", PATIENCE, |agent| {
            Ok(agent.status().ok())
        })?;
        Ok(agent)
    }

    /// The agent's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the agent has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits for a line that is as wanted, and returns the first such line.
    pub fn wait_for(
        &mut self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Line) -> bool,
    ) -> anyhow::Result<Line> {
        let deadline = Instant::now() + patience;
        let mut checked = 0;
        loop {
            while let Some(line) = self.seen.get(checked) {
                if wanted(line) {
                    return Ok(line.clone());
                }
                checked += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Timeout) => bail!("{}", self.missing(what)),
                Err(RecvTimeoutError::Disconnected) => bail!("the agent has ended: {}", self.log()),
            }
        }
    }

    /// Every line so far.
    pub fn lines(&mut self) -> &[Line] {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }

    /// Waits until `look` finds something.
    pub fn wait<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut look: impl FnMut(&mut Self) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            let ended = self.child.try_wait().context("looking after the agent")?;
            if let Some(status) = ended {
                bail!("the agent has ended with {status}: {}", self.log());
            }
            if Instant::now() > deadline {
                bail!("{}", self.missing(what));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn missing(&mut self, what: &str) -> String {
        let lines = self.lines().iter().map(|line| line.json.to_string());
        let lines = lines.collect::<Vec<_>>().join("\n");
        format!(
            "waited in vain for {what}\nit printed:\n{lines}\nit logged:\n{}",
            self.log()
        )
    }

    /// `/status`.
    pub fn status(&self) -> anyhow::Result<Value> {
        self.get("/status")
    }

    /// `/events`.
    pub fn events(&self) -> anyhow::Result<Vec<Value>> {
        let events = self.get("/events")?;
        events.as_array().cloned().context("/events is no list")
    }

    /// A condition in `/conditions`.
    pub fn condition(&self, r#type: &str) -> anyhow::Result<Value> {
        let conditions = self.get("/conditions")?;
        let mut conditions = conditions.as_array().into_iter().flatten();
        let found = conditions.find(|condition| condition["type"] == r#type);
        found
            .cloned()
            .with_context(|| format!("there is no condition {type}"))
    }

    /// A sample in `/metrics`, written as there: `problem_counter{reason="OOMKilling"}`; 0 if there
    /// is none.
    pub fn metric(&self, sample: &str) -> anyhow::Result<f64> {
        let page = get(self.prometheus_port, "/metrics")?;
        let mut values = page.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            (name == sample).then_some(value)
        });
        let value = values.next().unwrap_or("0");
        value.parse().with_context(|| format!("reading {sample}"))
    }

    fn get(&self, path: &str) -> anyhow::Result<Value> {
        let body = get(self.port, path)?;
        serde_json::from_str(&body).with_context(|| format!("reading {path}: {body}"))
    }
}

impl Line {
    /// Whether it tells of an event with this reason whose message contains `text`.
    pub fn is_event(&self, reason: &str, text: &str) -> bool {
        is_event(&self.json["event"], reason, text)
    }

    /// Whether it says that the condition has this status.
    pub fn is_condition(&self, r#type: &str, status: &str) -> bool {
        let conditions = self.json["conditions"].as_array();
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == r#type && condition["status"] == status)
    }
}

/// Whether an event has this reason and a message that contains `text`.
pub fn is_event(event: &Value, reason: &str, text: &str) -> bool {
    let message = event["message"].as_str();
    event["reason"] == reason && message.is_some_and(|message| message.contains(text))
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let killed = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = killed {
            eprintln!("LEFT BEHIND: the agent: {error}");
        }
    }
}

fn read_lines(output: ChildStdout, lines: &Sender<Line>) {
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { return };
        let at = Instant::now();
        let json = serde_json::from_str(&line).unwrap_or(Value::String(line));
        if lines.send(Line { at, json }).is_err() {
            return;
        }
    }
}

/// A port that nobody listened on a moment ago.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a port")?;
    Ok(listener.local_addr().context("looking for a port")?.port())
}

/// Gets a page from a local server.
fn get(port: u16, path: &str) -> anyhow::Result<String> {
    let page = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = page().with_context(|| format!("getting {path}"))?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .with_context(|| format!("{path}: no answer"))?;
    ensure!(head.contains(" 200 "), "{path}: {head}\n{body}");
    Ok(body.to_owned())
}
