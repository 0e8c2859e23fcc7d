//! `npd-agent replay`: what would have been reported about a saved log.

use std::fs::{self, File};
use std::process::{Output, Stdio};

use anyhow::ensure;
use tempfile::TempDir;

use super::command;

const CONFIG: &str = r#"{"plugin": "kmsg", "source": "kernel",
    "conditions": [{"type": "Broken", "reason": "Works", "message": "it works"}],
    "rules": [{"type": "permanent", "condition": "Broken", "reason": "Broke", "pattern": "disk broke"}]}"#;

const LOG: &str = "[   10.000000] all is quiet\n[   20.500000] disk broke\n";

pub(crate) fn replay_reports_what_the_agent_would_have_reported() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
    write("rules.json", CONFIG)?;
    write("log", LOG)?;
    let replay = |words: &[&str]| -> anyhow::Result<Output> {
        let mut command = command(folder.path())?;
        let log = File::open(folder.path().join("log"))?;
        Ok(command
            .arg("replay")
            .args(words)
            .stdin(Stdio::from(log))
            .output()?)
    };
    for (words, code) in [
        (&["--config=rules.json", "log"][..], 1),
        (&["--config=rules.json", "-"], 1),
        (&["--config=rules.json", "--since=1m", "log"], 0),
        (&["log"], 0),
        (&["--config=rules.json", "missing"], 2),
        (&["--config=missing.json", "log"], 2),
        (&["--config=rules.json"], 2),
    ] {
        let output = replay(words)?;
        ensure!(
            output.status.code() == Some(code),
            "{words:?}: {output:?}, expected exit code {code}"
        );
    }
    let printed = String::from_utf8(replay(&["--config=rules.json", "log"])?.stdout)?;
    ensure!(
        printed
            .starts_with("[   20.500000] WARN Broke [kernel] Node condition Broken is now: True"),
        "{printed}"
    );
    let printed = replay(&["--config=rules.json", "--json", "log", "log"])?.stdout;
    let lines: Result<Vec<serde_json::Value>, _> = printed
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(serde_json::from_slice)
        .collect();
    let lines = lines?;
    // The log that begins again is that of another boot.
    ensure!(lines.len() == 2, "{lines:?}");
    for line in lines {
        ensure!(line["event"]["reason"] == "Broke", "{line}");
        ensure!(line["conditions"][0]["status"] == "True", "{line}");
    }
    Ok(())
}
