//! The Grafana dashboard: each of its queries, asked of a real Prometheus that scrapes the agent.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, ensure};
use npd_tests::agent::{self, Agent, PATIENCE};
use npd_tests::harness::{self, Need, Test};
use npd_tests::port::{FreePort, free_port};
use regex::Regex;
use serde_json::Value;

const TESTS: &[Test] = &[Test {
    name: "every_query_of_the_dashboard_has_an_answer",
    needs: &[Need::Agent, Need::Tool("prometheus")],
    run: every_query_of_the_dashboard_has_an_answer,
}];

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const DASHBOARD: &str = "deploy/grafana/node-problem-detector.json";
/// A plugin with a condition.
const EXAMPLE: &str = "deploy/examples/file-exists";

fn main() -> ExitCode {
    harness::parallel(TESTS)
}

fn every_query_of_the_dashboard_has_an_answer() -> anyhow::Result<()> {
    let agent = Agent::start(
        &Path::new(REPOSITORY).join(EXAMPLE),
        &["--config.custom-plugin-monitor=file-exists.json"],
    )?;
    let prometheus = Prometheus::start(agent.prometheus_port())?;
    agent.wait_until("the first scrape", PATIENCE, || {
        let found = prometheus.query("problem_gauge")?;
        Ok((!found.is_empty()).then_some(()))
    })?;
    let documented = fs::read_to_string(Path::new(REPOSITORY).join("docs/metrics.md"))?;
    let metric = Regex::new(r"\b(?:npd|problem)_[a-z_]+")?;
    let queries = queries()?;
    ensure!(queries.len() > 10, "only {} queries", queries.len());
    for query in queries {
        let answer = prometheus.query(&query);
        let answer = answer.with_context(|| format!("asking for {query}"))?;
        // A number of what is wrong is 0 when nothing is, and not missing.
        ensure!(
            !query.contains("or vector(0)") || answer.len() == 1,
            "{query} has {} answers",
            answer.len()
        );
        for name in metric.find_iter(&query) {
            let name = format!("`{}`", name.as_str());
            ensure!(documented.contains(&name), "{query}: there is no {name}");
        }
    }
    Ok(())
}

/// The queries of all panels, for all jobs and nodes.
fn queries() -> anyhow::Result<BTreeSet<String>> {
    let text = fs::read_to_string(Path::new(REPOSITORY).join(DASHBOARD))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let query = |target: &Value| {
        let query = target["expr"].as_str().context("a target without expr")?;
        Ok(query.replace("$job", ".*").replace("$node", ".*"))
    };
    targets.map(query).collect()
}

/// A Prometheus that scrapes one agent every second. It is killed when this is dropped.
struct Prometheus {
    process: Child,
    port: FreePort,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(target: u16) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("prometheus.yaml");
        let job =
            format!("{{job_name: npd, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}");
        let text = format!("global: {{scrape_interval: 1s}}\nscrape_configs: [{job}]\n");
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
    fn query(&self, query: &str) -> anyhow::Result<Vec<Value>> {
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
