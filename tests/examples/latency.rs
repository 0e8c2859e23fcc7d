//! How long until the API server has what happens on the node, as a watching client sees it:
//! `NPD_AGENT=target/release/npd-agent cargo run -p npd-tests --example latency`, as root.

#![expect(clippy::print_stdout, reason = "it prints for people what it measures")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::cluster::{ApiServer, Client};
use npd_tests::faults::cgroup::MemoryCgroup;
use serde_json::json;
use tempfile::TempDir;

const NODE: &str = "npd-latency";
const RUNS: usize = 20;

fn main() -> anyhow::Result<()> {
    let dir = TempDir::new()?;
    let server = ApiServer::start(dir.path())?;
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": NODE } });
    server.client.apply(&node.to_string())?;
    let token = server.client.token_for(NODE)?;
    let access = server.client.with_token(NODE, &token)?.kubeconfig;
    let agent = Agent::start(
        dir.path(),
        &[
            &format!("--config.system-log-monitor={}", log_config(&dir)?),
            &format!("--config.ebpf-monitor={}", ebpf_config(&dir)?),
            &format!("--hostname-override={NODE}"),
            &format!(
                "--apiserver-override=?inClusterConfig=false&auth={}",
                access.display()
            ),
        ],
    )?;
    let conditions = Watch::start(&server.client, "/api/v1/nodes")?;
    conditions.wait_for("all is well")?;
    condition_from_log_line(&conditions)?;
    let events = Watch::start(&server.client, "/api/v1/events")?;
    event_from_oom_kill(&agent, &events)
}

fn condition_from_log_line(conditions: &Watch) -> anyhow::Result<()> {
    let mut log = File::options().write(true).open("/dev/kmsg")?;
    let mut delays = Vec::new();
    for run in 0..RUNS {
        pause(run);
        let text = format!("npd-latency {run} is {}", ["odd", "even"][run % 2]);
        let start = Timestamp::now();
        // Without the newline, the kernel keeps the record open for more.
        log.write_all(format!("{text}\n").as_bytes())?;
        delays.push(delay(start, conditions.wait_for(&text)?));
    }
    print("kernel log line → condition", delays);
    Ok(())
}

fn event_from_oom_kill(agent: &Agent, events: &Watch) -> anyhow::Result<()> {
    let cgroup = MemoryCgroup::new(NODE)?;
    let mut delays = Vec::new();
    for run in 0..RUNS {
        pause(run);
        let text = format!("process {} ", cgroup.kill_one()?);
        let seen = events.wait_for(&text)?;
        // The kernel's own time of the kill, as the probe reports it.
        let page = agent.page("/events")?;
        let mut listed = page.as_array().into_iter().flatten();
        let event =
            listed.find(|event| event["message"].as_str().is_some_and(|m| m.contains(&text)));
        let start = event
            .and_then(|event| event["timestamp"].as_str())
            .context("no such event")?;
        delays.push(delay(start.parse()?, seen));
    }
    print("OOM kill → Event", delays);
    Ok(())
}

/// Waits until the agent is at rest, and never in step with anything.
fn pause(run: usize) {
    let odd = u64::try_from(run * 137 % 500).unwrap_or_default();
    sleep(Duration::from_millis(2500 + odd));
}

fn delay(start: Timestamp, seen: Timestamp) -> f64 {
    seen.duration_since(start).as_secs_f64() * 1000.0
}

fn print(what: &str, mut delays: Vec<f64>) {
    delays.sort_by(f64::total_cmp);
    let last = delays.len() - 1;
    println!(
        "{what}: {RUNS} runs, min {:.1} ms, p50 {:.1} ms, p90 {:.1} ms, max {:.1} ms",
        delays[0],
        delays[last / 2],
        delays[last * 9 / 10],
        delays[last]
    );
}

fn log_config(dir: &TempDir) -> anyhow::Result<String> {
    let rules = ["odd", "even"].map(|word| {
        json!({ "type": "permanent", "condition": "Latency", "reason": word,
                "pattern": format!("npd-latency \\d+ is {word}") })
    });
    let config = json!({
        "plugin": "kmsg", "source": "latency",
        "conditions": [{ "type": "Latency", "reason": "IsWell", "message": "all is well" }],
        "rules": rules,
    });
    write(dir, "log.json", &config.to_string())
}

fn ebpf_config(dir: &TempDir) -> anyhow::Result<String> {
    let rule = json!({ "type": "temporary", "reason": "OOMKilling", "probe": "oom" });
    let config = json!({ "plugin": "ebpf", "source": "ebpf", "rules": [rule] });
    write(dir, "ebpf.json", &config.to_string())
}

fn write(dir: &TempDir, name: &str, text: &str) -> anyhow::Result<String> {
    let path = dir.path().join(name);
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// A client that watches every change.
struct Watch {
    child: Child,
    lines: Receiver<(Timestamp, String)>,
}

impl Watch {
    fn start(client: &Client, path: &str) -> anyhow::Result<Self> {
        let mut child = client
            .command()
            .args(["get", &format!("--raw={path}?watch=1")])
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("reading what kubectl prints")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send((Timestamp::now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// When a change came that has this in it: each is a line of JSON.
    fn wait_for(&self, text: &str) -> anyhow::Result<Timestamp> {
        loop {
            let (when, line) = self
                .lines
                .recv_timeout(PATIENCE)
                .with_context(|| format!("waiting for {text}"))?;
            if line.contains(text) {
                return Ok(when);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
