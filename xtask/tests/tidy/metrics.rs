//! `docs/metrics.md` lists the metrics that the agent has.

use std::collections::BTreeSet;

use regex::Regex;

use crate::markdown::{quoted, rows};
use crate::{File, assert_none, files, root};

/// A metric's name, or its key in the config of the system stats, and its type.
type Metric = (String, String);

const PAGE: &str = "docs/metrics.md";

#[test]
fn metrics_are_listed_with_their_types() {
    let code = defined(&sources().unwrap()).unwrap();
    let page = root().unwrap().read_file(PAGE).unwrap();
    let page = listed(&page);
    let show = |(name, kind): &Metric| format!("{name}: {kind}");
    assert_none(
        "a metric stands in docs/metrics.md with its type",
        code.difference(&page).map(show),
    );
    assert_none(
        "a metric in docs/metrics.md exists, with this type",
        page.difference(&code).map(show),
    );
}

#[test]
fn alerts_are_about_metrics_that_are_listed() {
    let root = root().unwrap();
    let listed = listed(&root.read_file(PAGE).unwrap());
    let alerts = root.read_file("deploy/prometheus/alerts.yaml").unwrap();
    let ours = Regex::new("(?:npd|problem)_[a-z_]+").unwrap();
    let used = alerts.lines().filter(|line| line.contains("expr:"));
    let used = used.flat_map(|line| ours.find_iter(line).map(|name| name.as_str().to_owned()));
    assert_none(
        "a metric in deploy/prometheus/alerts.yaml stands in docs/metrics.md",
        used.filter(|used| !listed.iter().any(|(name, _)| name == used)),
    );
}

#[test]
fn metrics_are_defined_by_name_and_type() {
    let sources = sources().unwrap();
    let defined: BTreeSet<_> = defined(&sources)
        .unwrap()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let ours = Regex::new(r#""(npd_[a-z_]+)""#).unwrap();
    let names = sources.iter().flat_map(|file| {
        let names = ours.captures_iter(&file.text);
        names.map(|name| name[1].to_owned())
    });
    assert_none(
        "the call that defines a metric names its type, and then the metric",
        names.filter(|name| !defined.contains(name)),
    );
}

/// The agent's source files without those of tests.
fn sources() -> anyhow::Result<Vec<File>> {
    let mut files = files()?;
    files.retain(|file| {
        let is_agent = file.path.starts_with("npd-agent/src/");
        file.is_rust() && is_agent && !file.path.contains("/tests")
    });
    Ok(files)
}

/// The metrics that the code defines, as in `int_counter("npd_records_lost_total", …)` and
/// `Metric::gauge("cpu/load_1m", …)`.
fn defined(sources: &[File]) -> anyhow::Result<BTreeSet<Metric>> {
    let definition = Regex::new(
        r#"(?i)(counter|gauge|histogram)(?:vec|opts)?(?:::new)?\(\s*(?:opts::new\(\s*)?"([^"]+)""#,
    )?;
    let metrics = sources.iter().flat_map(|file| {
        let found = definition.captures_iter(&file.text);
        found.map(|found| (found[2].to_owned(), found[1].to_ascii_lowercase()))
    });
    let has_name =
        |name: &str| name.contains('/') || name.starts_with("npd_") || name.starts_with("problem_");
    Ok(metrics.filter(|(name, _)| has_name(name)).collect())
}

/// The metrics of the page. A metric of the system stats has a key in the config, and a name that
/// follows from it.
fn listed(page: &str) -> BTreeSet<Metric> {
    let mut metrics = BTreeSet::new();
    for row in rows(page) {
        let Some(name) = quoted(row.cell("metric")).next() else {
            continue;
        };
        let key = quoted(row.cell("key")).next();
        if let Some(key) = key {
            assert_eq!(key.replace('/', "_"), name, "{PAGE}: name and key differ");
        }
        let metric = key.unwrap_or(name).to_owned();
        let is_new = metrics.insert((metric, row.cell("type").to_owned()));
        assert!(is_new, "{PAGE}: {name} is there twice");
    }
    metrics
}
