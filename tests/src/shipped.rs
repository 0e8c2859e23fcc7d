//! The config files of system stats that NPD ships, and so do we.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

const FILES: [&str; 2] = [
    "system-stats-monitor.json",
    "net-cgroup-system-stats-monitor.json",
];

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/config");

/// The flag that names both.
pub fn stats() -> String {
    let [system, net] = FILES.map(|file| format!("{FOLDER}/{file}"));
    format!("--config.system-stats-monitor={system},{net}")
}

/// The flag that names copies of both in `folder`, which collect every second.
pub fn stats_every_second(folder: &Path) -> anyhow::Result<String> {
    for file in FILES {
        let from = Path::new(FOLDER).join(file);
        let text = fs::read_to_string(&from).with_context(|| format!("reading {file}"))?;
        let periods = [r#""60s""#, r#""120s""#, r#""5s""#];
        let text = periods
            .iter()
            .fold(text, |text, period| text.replace(period, r#""1s""#));
        fs::write(folder.join(file), text).with_context(|| format!("writing {file}"))?;
    }
    Ok(format!("--config.system-stats-monitor={}", FILES.join(",")))
}
