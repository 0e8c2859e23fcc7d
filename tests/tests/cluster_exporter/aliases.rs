//! A condition under the name that a consumer knows, on the Node.

use std::fs::File;
use std::io::Write as _;

use anyhow::ensure;
use jiff::{SignedDuration, Timestamp};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::cluster::{Lab, eventually};
use serde_json::{Value, json};

use crate::shared::lab;

pub(crate) fn an_alias_follows_its_sources_over_a_restart() -> anyhow::Result<()> {
    let lab = lab()?;
    let logs = lab.write("log.json", &logs(&lab))?;
    let aliases = lab.write("aliases.json", &aliases())?;
    let logs = format!("--config.system-log-monitor={}", logs.display());
    let aliases = format!("--config.condition-aliases={}", aliases.display());
    let often = "--k8s-exporter-heartbeat-period=1s";
    let start = || lab.start_with(&[&logs, &aliases]);
    let mut agent = start()?;
    lab.expect("AppReady", "True", "AppIsReady", PATIENCE)?;

    say(&lab, 300, "Second is Broken")?;
    let began = lab.expect("AppReady", "False", "SecondBroken", PATIENCE)?;
    let since = &began["lastTransitionTime"];
    ensure!(began["message"] == "Second is Broken", "{began:#}");
    ensure!(lab.condition("Second")?["lastTransitionTime"] == *since);
    let shown = agent.condition("AppReady")?;
    ensure!(
        shown["status"] == "False" && shown["healthy"] == "True",
        "{shown:#}"
    );

    // Another source takes over: the node is as sick as before.
    say(&lab, 200, "First is Broken")?;
    say(&lab, 100, "Second is well")?;
    lab.expect("Second", "False", "IsWell", PATIENCE)?;
    let later = lab.expect("AppReady", "False", "FirstBroken", PATIENCE)?;
    ensure!(later["lastTransitionTime"] == *since, "{later:#}");

    agent.stop()?;
    let mut agent = start()?;
    await_alias(&agent, "False")?;
    let restarted = lab.condition("AppReady")?;
    ensure!(
        restarted["status"] == "False" && restarted["lastTransitionTime"] == *since,
        "{restarted:#}"
    );
    say(&lab, 50, "First is well")?;
    let ended = lab.expect("AppReady", "True", "AppIsReady", PATIENCE)?;
    ensure!(ended["lastTransitionTime"] != *since, "{ended:#}");

    // An alias that is no longer configured goes.
    agent.stop()?;
    let mut agent = lab.start_with(&[&logs, often])?;
    eventually(PATIENCE, || {
        ensure!(lab.condition("AppReady").is_err(), "it is still there");
        Ok(())
    })?;
    ensure!(lab.condition("First")?["status"] == "False");

    agent.stop()?;
    let mut agent = start()?;
    lab.expect("AppReady", "True", "AppIsReady", PATIENCE)?;
    agent.stop()?;
    let (said, succeeded) = lab.uninstall(&[&lab.node])?;
    ensure!(succeeded && said.contains("AppReady"), "{said}");
    ensure!(lab.condition("AppReady").is_err(), "{said}");
    Ok(())
}

fn await_alias(agent: &Agent, status: &str) -> anyhow::Result<()> {
    agent.wait_until("the alias", PATIENCE, || {
        Ok((agent.condition("AppReady")?["status"] == status).then_some(()))
    })
}

/// Writes a line to the log that is this many seconds old.
fn say(lab: &Lab, ago: i64, line: &str) -> anyhow::Result<()> {
    let time = Timestamp::now() - SignedDuration::from_secs(ago);
    let time = time.strftime("%Y-%m-%dT%H:%M:%SZ");
    let mut log = File::options().append(true).open(lab.log())?;
    writeln!(log, "{time} {line}")?;
    Ok(())
}

fn logs(lab: &Lab) -> String {
    let types = ["First", "Second"];
    let conditions: Vec<Value> = types
        .iter()
        .map(|t| json!({"type": t, "reason": "IsWell", "message": "all is well"}))
        .collect();
    let rules: Vec<Value> = types
        .iter()
        .map(|t| {
            json!({
                "type": "permanent", "condition": t, "reason": format!("{t}Broken"),
                "pattern": format!("{t} is Broken"), "clearPattern": format!("{t} is well"),
            })
        })
        .collect();
    json!({
        "plugin": "filelog",
        "pluginConfig": {
            "timestamp": "^\\S+",
            "message": "^\\S+ (.*)",
            "timestampFormat": "2006-01-02T15:04:05Z07:00",
        },
        "logPath": lab.log(),
        "lookback": "1h",
        "bufferSize": 1,
        "source": "app-monitor",
        "conditions": conditions,
        "rules": rules,
    })
    .to_string()
}

fn aliases() -> String {
    let alias = json!({
        "type": "AppReady", "healthy": "True", "reason": "AppIsReady", "message": "all is well",
        "sources": ["First", "Second"],
    });
    json!({ "aliases": [alias] }).to_string()
}
