//! The collectors on recorded and on composed trees.

mod configs;
mod links;
mod machines;
mod npd;
mod ours;
mod sick;

use std::fs;
use std::path::Path;

use expect_test::Expect;
use prometheus::Registry;
use tempfile::TempDir;

use super::*;
use crate::node::Roots;
use crate::rendered::{self, RenderedFamilies};
use crate::threads::ThreadPool;

const SHIPPED: &str = include_str!("../../../../../deploy/config/system-stats-monitor.json");
const SHIPPED_NET: &str =
    include_str!("../../../../../deploy/config/net-cgroup-system-stats-monitor.json");

/// A recorded tree.
fn recorded(machine: &str) -> Roots {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/stats");
    roots(&fixtures.join(machine))
}

fn roots(tree: &Path) -> Roots {
    Roots::from_env(|name| {
        let folder = name.strip_prefix("HOST_")?.to_lowercase();
        Some(tree.join(folder).display().to_string())
    })
}

/// A tree that a test writes.
pub(super) struct Tree(TempDir);

impl Tree {
    pub(super) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(super) fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(super) fn roots(&self) -> Roots {
        roots(self.0.path())
    }
}

fn config(name: &str, text: &str) -> ConfigFile {
    ConfigFile {
        name: Arc::from(name),
        dir: None,
        bytes: text.as_bytes().to_vec(),
    }
}

/// A config that exports these metrics of a section under their own ids.
fn section(name: &str, ids: &[&str]) -> String {
    let metrics: Vec<_> = ids
        .iter()
        .map(|id| format!("{id:?}: {{\"displayName\": {id:?}}}"))
        .collect();
    let metrics = metrics.join(",");
    format!("{{{name:?}: {{\"metricsConfigs\": {{{metrics}}}}}}}")
}

/// A config that exports all of these.
fn whole(name: &str, metrics: &[Metric]) -> String {
    let ids: Vec<_> = metrics.iter().map(|metric| metric.id).collect();
    section(name, &ids)
}

/// Running monitors, without an agent.
struct Running {
    monitors: Vec<StatsMonitor>,
    rendered: RenderedFamilies,
    runtime: tokio::runtime::Runtime,
}

impl Running {
    fn new(configs: &[&str]) -> Self {
        let mut names = Names::new();
        let mut load = |text: &&str| {
            config::load(&config("stats.json", text), &mut Vec::new(), &mut names).unwrap()
        };
        Self {
            monitors: configs.iter().map(&mut load).collect(),
            rendered: RenderedFamilies::default(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap(),
        }
    }

    /// The page after one more collection, and what could not be read.
    fn sample(&mut self, roots: &Roots) -> (String, Vec<String>) {
        let mut errors = Vec::new();
        let threads = ThreadPool::new("test", 1);
        for collector in self.monitors.iter_mut().flat_map(|one| &mut one.collectors) {
            let collected = collector.collect(roots, &threads);
            let sample = self.runtime.block_on(collected).unwrap();
            exported::publish(&sample, &collector.wanted, &self.rendered);
            errors.extend(sample.error.map(|error| format!("{error:#}")));
        }
        let page = rendered::render(&Registry::new(), &self.rendered).unwrap();
        (page, errors)
    }
}

/// The page after one collection.
fn page(roots: &Roots, configs: &[&str]) -> String {
    Running::new(configs).sample(roots).0
}

/// The series whose names start with `prefix`.
#[track_caller]
fn check(page: &str, prefix: &str, expect: &Expect) {
    let lines = page.lines().filter(|line| line.starts_with(prefix));
    expect.assert_eq(&lines.fold(String::new(), |all, line| all + line + "\n"));
}

/// Every series.
#[track_caller]
fn check_all(page: &str, expect: &Expect) {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    expect.assert_eq(&lines.fold(String::new(), |all, line| all + line + "\n"));
}
