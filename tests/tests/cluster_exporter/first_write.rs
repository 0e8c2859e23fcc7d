//! A sick node on which NPD is replaced by this agent, and the other way round.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use npd_tests::agent::PATIENCE;
use npd_tests::cluster::Lab;
use serde_json::json;

use crate::shared::lab;

/// How NPD has left the conditions: of a log, of a plugin that is slow, of one that never answers, and
/// of a log that is well.
const STANDING: [(&str, &str); 4] = [
    ("LogSick", "True"),
    ("PluginSick", "True"),
    ("PluginHung", "Unknown"),
    ("LogWell", "False"),
];

/// No version of the Node ever says that something sick is well, whoever writes.
pub(crate) fn a_sick_node_stays_sick_when_npd_is_replaced() -> anyhow::Result<()> {
    let lab = lab()?;
    for (r#type, status) in STANDING {
        let reason = if status == "False" {
            "IsWell"
        } else {
            "Broken"
        };
        lab.write_status("node-problem-detector", r#type, status, reason)?;
    }
    let mut watch = Watch::start(&lab)?;
    lab.say(["LogSick is Broken by age"])?;
    let logs = lab.config("log.json", &["LogSick", "LogWell"], 0)?;
    let plugins = lab.write("plugin.json", &plugins())?;
    let start = || {
        lab.start_with(&[
            &format!("--config.system-log-monitor={}", logs.display()),
            &format!("--config.custom-plugin-monitor={}", plugins.display()),
        ])
    };

    let mut agent = start()?;
    // That is its last first result; the plugin that hangs has none.
    agent.wait_until("the slow plugin's result", PATIENCE, || {
        Ok((agent.condition("PluginSick")?["status"] == "True").then_some(()))
    })?;
    sleep(Duration::from_secs(2));
    for (r#type, status) in STANDING {
        let condition = lab.condition(r#type)?;
        ensure!(
            condition["status"] == status,
            "with the agent: {condition:#}"
        );
        // Nothing has changed since NPD wrote it.
        let since = &condition["lastTransitionTime"];
        ensure!(since == "2026-01-01T00:00:00Z", "{condition:#}");
    }

    // Back to NPD, which finds what it needs, writes over it, and is replaced once more.
    agent.stop()?;
    lab.write_status("node-problem-detector", "LogSick", "True", "Broken")?;
    let _agent = start()?;
    sleep(Duration::from_secs(4));
    for (r#type, status) in STANDING {
        let condition = lab.condition(r#type)?;
        ensure!(
            condition["status"] == status,
            "the second time: {condition:#}"
        );
    }

    let seen = watch.stop()?;
    for (r#type, status) in STANDING {
        let of_this: BTreeSet<_> = seen.iter().filter(|(of, _)| of == r#type).collect();
        ensure!(
            of_this.iter().all(|(_, seen)| seen == status),
            "the watch has seen {of_this:?}"
        );
        ensure!(!of_this.is_empty(), "the watch has not seen {type}");
    }
    Ok(())
}

fn plugins() -> String {
    let healthy = |r#type: &str| json!({"type": r#type, "reason": "IsWell", "message": "is well"});
    let rule = |r#type: &str, script: &str| {
        json!({
            "type": "permanent", "condition": r#type, "reason": "Broken",
            "path": "/bin/sh", "args": ["-c", script],
        })
    };
    json!({
        "plugin": "custom",
        "pluginConfig": {"timeout": "30s"},
        "source": "plugins",
        "conditions": [healthy("PluginSick"), healthy("PluginHung")],
        "rules": [
            rule("PluginSick", "sleep 2; echo still sick; exit 1"),
            rule("PluginHung", "exec sleep 1000"),
        ],
    })
    .to_string()
}

/// Every version of a Node, as a controller sees it.
struct Watch {
    process: Child,
    /// Its first line, which came before the agent was started.
    first: String,
    lines: Receiver<String>,
}

impl Watch {
    fn start(lab: &Lab) -> anyhow::Result<Self> {
        let each = "jsonpath={range .status.conditions[*]}{.type}={.status}{\"\\n\"}{end}";
        let mut process = lab
            .admin
            .command()
            .args(["get", "node", &lab.node, "--watch", "--output", each])
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a watch")?;
        let output = process.stdout.take().context("reading the watch")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let first = lines.recv_timeout(PATIENCE);
        Ok(Self {
            process,
            first: first.context("waiting for the watch")?,
            lines,
        })
    }

    /// Ends it: the types and statuses that it has seen.
    fn stop(&mut self) -> anyhow::Result<Vec<(String, String)>> {
        self.process.kill()?;
        self.process.wait()?;
        let lines = std::iter::once(self.first.clone()).chain(self.lines.iter());
        let pairs = lines.filter_map(|line| {
            let (r#type, status) = line.split_once('=')?;
            Some((r#type.to_owned(), status.to_owned()))
        });
        Ok(pairs.collect())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have been ended before.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
