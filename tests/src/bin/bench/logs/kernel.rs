//! The kernel's own log, to which a program writes lines.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::faults::sysctl::Sysctl;
use serde_json::json;

use super::readers::{Reading, rule};

/// So many records fit into the log of any kernel.
const BURST: usize = 500;
const BURSTS: usize = 200;

/// The agent. It has read a burst when it reports the last record.
pub(super) fn agent(folder: &Path, patterns: &[String]) -> anyhow::Result<Reading> {
    let end = "npd-bench: burst .*".to_owned();
    let config = json!({
        "plugin": "kmsg",
        // What is written before the agent has opened the log counts, too.
        "lookback": "1m",
        "rules": patterns.iter().chain([&end]).map(rule).collect::<Vec<_>>(),
    });
    let file = folder.join("kmsg.json");
    fs::write(&file, config.to_string()).context("writing a config")?;
    let flag = format!("--config.system-log-monitor={}", file.display());
    let agent = Agent::start(folder, &[&flag])?;

    let _unlimited = Sysctl::set("kernel/printk_devkmsg", "on")?;
    let log = File::options().write(true).open("/dev/kmsg");
    let mut log = log.context("opening /dev/kmsg")?;
    // Facility 1 is users', level 7 is kept off consoles. One write is one record, which waits for
    // more without a newline.
    let mut write = |text: &str| log.write_all(format!("<15>{text}\n").as_bytes());
    let mut burst = |number: usize| {
        for line in 1..BURST {
            write(&format!(
                "npd-bench: cni0: port {line}(veth{number}) entered blocking state, and so on"
            ))?;
        }
        let end = format!("npd-bench: burst {number} for {}", agent.id());
        write(&end)?;
        agent.wait_for("the end of a burst", PATIENCE, |line| {
            line.report["event"]["message"] == end.as_str()
        })
    };
    burst(0)?;
    let process = PathBuf::from(format!("/proc/{}", agent.id()));
    let before = crate::cpu_time(&process)?;
    for number in 1..=BURSTS {
        burst(number)?;
    }
    let spent = crate::cpu_time(&process)?.saturating_sub(before);
    let counted = r#"npd_records_lost_total{source="kmsg"}"#;
    let missed = agent.metric(counted).unwrap_or_default();
    ensure!(missed == 0, "the agent has missed {missed} records");
    Ok(Reading {
        lines: BURSTS * BURST,
        spent,
        resident: None,
    })
}
