//! Debian's Prometheus.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::agent;
use crate::port::{FreePort, free_port};

/// A Prometheus that scrapes one agent every second. It is killed when this is dropped.
#[derive(Debug)]
pub struct Prometheus {
    process: Child,
    port: FreePort,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one that scrapes the page of metrics on this port, and evaluates these rules.
    pub fn start(target: u16, rules: Option<&Path>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("prometheus.yaml");
        let job =
            format!("{{job_name: npd, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}");
        let rules = rules.map_or_else(String::new, |rules| format!("'{}'", rules.display()));
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{rules}]\nscrape_configs: [{job}]\n"
        );
        fs::write(&config, text)?;
        let port = free_port()?;
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", port.number))
            .arg(format!("--storage.tsdb.path={}", folder.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting prometheus")?;
        Ok(Self {
            process,
            port,
            _folder: folder,
        })
    }

    /// The series that a query finds now.
    pub fn query(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("/api/v1/query?query={}", encoded(query));
        let answer: Value = serde_json::from_str(&agent::get(self.port.number, &path)?)?;
        ensure!(answer["status"] == "success", "{answer}");
        let result = answer["data"]["result"].as_array();
        Ok(result.context("no result")?.clone())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Percent-encodes every byte, as RFC 3986 allows.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02X}").ok();
        encoded
    })
}
