//! The Grafana dashboard: each of its queries, asked of a real Prometheus that scrapes the agent.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::harness::{self, Need, Test};
use npd_tests::prometheus::Prometheus;
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
    let prometheus = Prometheus::start(agent.prometheus_port(), None)?;
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
