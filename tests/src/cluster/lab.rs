//! A Node that an agent reports about, and a log with what the agent must report.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::Client;
use super::server::eventually;
use crate::agent::Agent;
use crate::harness;

/// A Node object, and an agent's config that reads a log file.
#[derive(Debug)]
pub struct Lab {
    /// Who may do everything.
    pub admin: Client,
    /// The user with the agent's rights.
    pub agent: Client,
    /// The name of the Node.
    pub node: String,
    dir: TempDir,
    now: String,
}

impl Lab {
    /// Creates a Node.
    pub fn new(admin: &Client) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let lab = Self::on(admin, &format!("npd-test-{}-{number}", std::process::id()))?;
        lab.create_node()?;
        Ok(lab)
    }

    /// The same for a Node that another program creates.
    pub fn on(admin: &Client, node: &str) -> anyhow::Result<Self> {
        let token = admin.token_for("npd-test")?;
        let now = Command::new("date").args(["-u", "+%FT%TZ"]).output()?;
        let lab = Self {
            admin: admin.clone(),
            agent: admin.with_token(node, &token)?,
            node: node.to_owned(),
            dir: TempDir::new()?,
            now: String::from_utf8(now.stdout)?.trim().to_owned(),
        };
        File::create(lab.log())?;
        Ok(lab)
    }

    /// A Node that a kubelet has written a condition to.
    pub fn create_node(&self) -> anyhow::Result<()> {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": self.node } });
        self.admin.apply(&node.to_string())?;
        self.write_condition("kubelet", "Ready", "KubeletReady")
    }

    /// Writes a condition that is True.
    pub fn write_condition(&self, manager: &str, r#type: &str, reason: &str) -> anyhow::Result<()> {
        self.write_status(manager, r#type, "True", reason)
    }

    /// Writes a condition as another program would.
    pub fn write_status(
        &self,
        manager: &str,
        r#type: &str,
        status: &str,
        reason: &str,
    ) -> anyhow::Result<()> {
        let condition = json!({
            "type": r#type, "status": status, "reason": reason, "message": "as ever",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let patch = json!({ "status": { "conditions": [condition] } });
        self.admin.kubectl(&[
            "patch",
            "node",
            &self.node,
            "--subresource=status",
            "--type=strategic",
            &format!("--field-manager={manager}"),
            &format!("--patch={patch}"),
        ])?;
        Ok(())
    }

    /// The folder in which the agent is started.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// The log file.
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("app.log")
    }

    /// Writes lines to the log, all at once.
    pub fn say(&self, lines: impl IntoIterator<Item = impl AsRef<str>>) -> anyhow::Result<()> {
        let lines = lines.into_iter();
        let text: Vec<String> = lines
            .map(|line| format!("{} {}\n", self.now, line.as_ref()))
            .collect();
        let mut log = File::options().append(true).open(self.log())?;
        log.write_all(text.concat().as_bytes())?;
        Ok(())
    }

    /// A config whose rules make Events of `oops N …`, by the reason `OopsN`, and conditions of
    /// `TYPE is broken by …`.
    pub fn config(
        &self,
        name: &str,
        conditions: &[&str],
        reasons: usize,
    ) -> anyhow::Result<PathBuf> {
        let healthy = conditions.iter().map(
            |condition| json!({ "type": condition, "reason": "IsWell", "message": "all is well" }),
        );
        let lasting = conditions.iter().flat_map(|condition| {
            ["Broken", "Burnt"].map(|reason| {
                let pattern = format!("{condition} is {reason} .*");
                json!({ "type": "permanent", "condition": condition, "reason": reason, "pattern": pattern })
            })
        });
        let events = (0..reasons).map(|number| {
            json!({ "type": "temporary", "reason": format!("Oops{number}"), "pattern": format!("oops {number} .*") })
        });
        let config = json!({
            "plugin": "filelog",
            "pluginConfig": {
                "timestamp": "^\\S+",
                "message": "^\\S+ (.*)",
                "timestampFormat": "2006-01-02T15:04:05Z07:00",
            },
            "logPath": self.log(),
            "lookback": "1h",
            "source": "app-monitor",
            "conditions": healthy.collect::<Vec<_>>(),
            "rules": lasting.chain(events).collect::<Vec<_>>(),
        });
        self.write(name, &config.to_string())
    }

    /// Writes a file that a flag can name.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.dir.path().join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts the agent on a log config.
    pub fn start(&self, config: &Path) -> anyhow::Result<Agent> {
        self.start_as(&self.agent, config, "5m")
    }

    /// Starts the agent with other rights and another heartbeat period.
    pub fn start_as(&self, who: &Client, config: &Path, heartbeat: &str) -> anyhow::Result<Agent> {
        Agent::start(
            self.dir.path(),
            &[
                &format!("--k8s-exporter-heartbeat-period={heartbeat}"),
                &format!("--config.system-log-monitor={}", config.display()),
                &format!("--hostname-override={}", self.node),
                &server(who),
            ],
        )
    }

    /// Starts the agent with other monitors.
    pub fn start_with(&self, monitors: &[&str]) -> anyhow::Result<Agent> {
        let node = format!("--hostname-override={}", self.node);
        let server = server(&self.agent);
        let flags = [&[node.as_str(), &server], monitors].concat();
        Agent::start(self.dir.path(), &flags)
    }

    /// What `npd-agent uninstall` prints for these Nodes, and whether it succeeded.
    pub fn uninstall(&self, nodes: &[&str]) -> anyhow::Result<(String, bool)> {
        let output = Command::new(harness::agent()?)
            .args(["uninstall", &server(&self.agent)])
            .args(nodes)
            .output()?;
        let said = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
        Ok((said, output.status.success()))
    }

    /// The Node.
    pub fn object(&self) -> anyhow::Result<Value> {
        let json = self.admin.kubectl(&[
            "get",
            "node",
            &self.node,
            "-o=json",
            "--show-managed-fields",
        ])?;
        Ok(serde_json::from_str(&json)?)
    }

    /// A condition of the Node.
    pub fn condition(&self, r#type: &str) -> anyhow::Result<Value> {
        let node = self.object()?;
        let mut conditions = node["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten();
        let found = conditions.find(|condition| condition["type"] == r#type);
        found
            .cloned()
            .with_context(|| format!("there is no condition {type}: {node:#}"))
    }

    /// Waits until the condition is there and says so.
    pub fn expect(
        &self,
        r#type: &str,
        status: &str,
        reason: &str,
        patience: Duration,
    ) -> anyhow::Result<Value> {
        eventually(patience, || {
            let condition = self.condition(r#type)?;
            ensure!(
                condition["status"] == status && condition["reason"] == reason,
                "expected {status} {reason}: {condition:#}"
            );
            Ok(condition)
        })
    }

    /// The Events about the Node.
    pub fn events(&self) -> anyhow::Result<Vec<Value>> {
        let json = self.admin.kubectl(&[
            "get",
            "events",
            "-o=json",
            &format!("--field-selector=involvedObject.name={}", self.node),
        ])?;
        let list: Value = serde_json::from_str(&json)?;
        list["items"]
            .as_array()
            .cloned()
            .context("no list of Events")
    }

    /// Waits until the Events whose reason begins so have happened that often, all together.
    pub fn expect_events(
        &self,
        reason: &str,
        total: u64,
        patience: Duration,
    ) -> anyhow::Result<Vec<Value>> {
        eventually(patience, || {
            let mut events = self.events()?;
            events.retain(|event| {
                event["reason"]
                    .as_str()
                    .is_some_and(|r| r.starts_with(reason))
            });
            let counts = events.iter().filter_map(|event| event["count"].as_u64());
            let sum: u64 = counts.sum();
            ensure!(sum == total, "{sum} of {total} in {} Events", events.len());
            Ok(events)
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The server may be gone, and the Node with it.
        self.admin.kubectl(&["delete", "node", &self.node]).ok();
    }
}

/// The agent's flag for a server and who asks it.
fn server(who: &Client) -> String {
    let kubeconfig = who.kubeconfig.display();
    format!("--apiserver-override=?inClusterConfig=false&auth={kubeconfig}")
}
