//! `log-counter` as NPD's configs call it, and by itself.

use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::ensure;
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::harness;

use npd_tests::journald::Journal;

/// NPD's config with other paths and another interval.
pub(crate) fn shipped_config() -> anyhow::Result<()> {
    let journal = Journal::start()?;
    let folder = tempfile::tempdir()?;
    let counter = folder.path().join("log-counter");
    symlink(harness::agent()?, &counter)?;
    let config = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/config/kernel-monitor-counter.json"
    );
    let config = std::fs::read_to_string(config)?
        .replace(
            "/home/kubernetes/bin/log-counter",
            &counter.to_string_lossy(),
        )
        .replace("/var/log/journal", &journal.folder()?.to_string_lossy())
        .replace("\"5m\"", "\"1s\"");
    std::fs::write(folder.path().join("config.json"), config)?;
    let write = |count| {
        (0..count).try_for_each(|_| {
            let text = "unregister_netdevice: waiting for eth0 to become free. Usage count = 1";
            journal.send("kernel", text.as_bytes())
        })
    };
    write(2)?;
    let agent = Agent::start(
        folder.path(),
        &["--config.custom-plugin-monitor=config.json"],
    )?;
    let condition = |status: &str| {
        agent.wait_until(status, PATIENCE, || {
            let condition = agent.condition("FrequentUnregisterNetDevice")?;
            Ok((condition["status"] == status).then_some(condition))
        })
    };
    condition("False")?;
    write(1)?;
    let message = condition("True")?["message"].clone();
    ensure!(
        message == "Found 3 matching logs, which meets the threshold of 3",
        "it says {message}"
    );
    Ok(())
}

/// The kernel's log always has some entries.
pub(crate) fn kernel_log() -> anyhow::Result<()> {
    let count = |pattern: &str| -> anyhow::Result<(Option<i32>, String)> {
        let output = Command::new(harness::agent()?)
            .args(["log-counter", "--kmsg", "--lookback=200000h"])
            .arg(format!("--pattern={pattern}"))
            .output()?;
        Ok((output.status.code(), String::from_utf8(output.stdout)?))
    };
    let (code, said) = count(".*")?;
    ensure!(
        code == Some(1) && said.starts_with("Found "),
        "{code:?}: {said}"
    );
    let nothing = count("no kernel ever says this, \\d+")?;
    ensure!(nothing == (Some(0), String::new()), "{nothing:?}");
    Ok(())
}
