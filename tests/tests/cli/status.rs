//! `npd-agent status`, while an agent runs and after it.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Output;

use anyhow::ensure;
use npd_tests::agent::{Agent, PATIENCE};
use tempfile::TempDir;

use super::command;

const CONFIG: &str = r#"{"plugin": "filelog", "logPath": "app.log", "source": "app", "lookback": "1h",
    "pluginConfig": {"timestamp": "^.{20}", "message": "^.{20} (.*)",
                     "timestampFormat": "2006-01-02T15:04:05Z07:00"},
    "conditions": [{"type": "AppDead", "reason": "AppLives", "message": "the app lives"}],
    "rules": [{"type": "permanent", "condition": "AppDead", "reason": "AppDied", "pattern": "app died"}]}"#;

pub(crate) fn status_says_whether_the_running_agent_sees_a_well_node() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    fs::write(folder.path().join("app.json"), CONFIG)?;
    fs::write(folder.path().join("app.log"), "")?;
    let mut agent = Agent::start(folder.path(), &["--config.system-log-monitor=app.json"])?;
    let port = format!("--port={}", agent.port());
    let status = |words: &[&str]| -> anyhow::Result<Output> {
        let mut command = command(folder.path())?;
        Ok(command.arg("status").arg(&port).args(words).output()?)
    };
    let until = |code: i32, words: &[&str]| {
        agent.wait_until("the exit code of status", PATIENCE, || {
            let output = status(words)?;
            ensure!(output.status.code() == Some(code), "{output:?}");
            Ok(Some(String::from_utf8(output.stdout)?))
        })
    };
    let well = until(0, &[])?;
    ensure!(
        well.contains(": well\n") && well.contains("✔ AppDead"),
        "{well}"
    );
    let mut log = File::options()
        .append(true)
        .open(folder.path().join("app.log"))?;
    let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    writeln!(log, "{time} app died")?;
    let sick = until(1, &[])?;
    ensure!(sick.contains(": SICK\n  ✘ AppDead"), "{sick}");
    let json: serde_json::Value = serde_json::from_str(&until(1, &["--json"])?)?;
    ensure!(json["conditions"][0]["status"] == "True", "{json}");
    ensure!(agent.stop()?.success(), "{}", agent.log());
    let output = status(&[])?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    Ok(())
}
