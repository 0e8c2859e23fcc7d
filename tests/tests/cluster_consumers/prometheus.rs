//! Prometheus with the alert rules of this repository.

use std::path::Path;

use anyhow::ensure;
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::prometheus::Prometheus;

use crate::scene;

const RULES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../deploy/prometheus/alerts.yaml"
);

const FIRING: &str =
    r#"ALERTS{alertname="NodeProblem",alertstate="firing",type="ReadonlyFilesystem"}"#;

/// The alert fires while the file system is read-only, also when the agent restarts meanwhile.
pub(crate) fn prometheus_fires_and_resolves() -> anyhow::Result<()> {
    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("errors=remount-ro")?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("ebpf.json");
    std::fs::write(&config, scene::probes(mount.point())?.to_string())?;
    let config = format!("--config.ebpf-monitor={}", config.display());
    let agent = Agent::start(folder.path(), &[&config])?;
    let prometheus = Prometheus::start(agent.prometheus_port(), Some(Path::new(RULES)))?;
    let firing = |expected: usize| {
        agent.wait_until("the alert", PATIENCE, || {
            Ok((prometheus.query(FIRING)?.len() == expected).then_some(()))
        })
    };
    agent.wait_until("a scrape", PATIENCE, || {
        Ok((!prometheus.query("problem_gauge")?.is_empty()).then_some(()))
    })?;
    ensure!(
        prometheus.query(FIRING)?.is_empty(),
        "it fires on a node that is well"
    );
    mount.ext4_error()?;
    firing(1)?;
    drop(mount);
    firing(0)
}
