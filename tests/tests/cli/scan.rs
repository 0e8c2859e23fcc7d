//! `npd-agent scan` and `npd-agent probes`: they need no agent that runs, and no configuration.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::{command, end};

/// The states of a scan, in the order of its exit codes.
const STATES: &[&str] = &["well", "sick", "unknown"];

/// Other tests break things on this machine at the same time, and it may not be root's: each state is right.
pub(crate) fn scan_ends_with_the_code_of_its_verdict() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let output = end(
        folder.path(),
        &["scan", "--json", "--timeout=20s"].map(str::to_owned),
    )?;
    let verdict: Value = serde_json::from_slice(&output.stdout)?;
    let state = verdict["state"].as_str().context("it has no state")?;
    let code = STATES.iter().position(|known| *known == state);
    let code = code.with_context(|| format!("{verdict}"))?;
    ensure!(
        output.status.code() == i32::try_from(code).ok(),
        "{output:?}"
    );
    let all = verdict.to_string();
    for condition in ["DiskFull", "KernelDeadlock"] {
        ensure!(all.contains(condition), "no word of {condition}: {all}");
    }
    let text = end(folder.path(), &["scan".to_owned()])?;
    ensure!(text.stdout.contains(&b'\n'), "{text:?}");
    let refused = command(folder.path())?.args(["scan", "word"]).output()?;
    ensure!(refused.status.code() == Some(2), "{refused:?}");
    Ok(())
}

pub(crate) fn probes_names_a_backend_of_each_probe() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let output = end(folder.path(), &["probes", "--json"].map(str::to_owned))?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let probes = report["probes"].as_object().context("it has no probes")?;
    for name in ["oom", "hung_task", "filesystem", "block_error"] {
        ensure!(probes[name]["backend"].is_string(), "{name}: {report}");
    }
    let is_blind = probes.values().any(|probe| probe["backend"] == "none");
    ensure!(
        output.status.code() == Some(i32::from(is_blind)),
        "{output:?}"
    );
    Ok(())
}
