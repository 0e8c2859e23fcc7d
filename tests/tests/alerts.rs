//! The alert rules for Prometheus, as its own tool tests them.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use npd_tests::harness::{self, Need, Test};

const TESTS: &[Test] = &[Test {
    name: "alerts_fire_when_they_have_to",
    needs: &[Need::Tool("promtool")],
    run: alerts_fire_when_they_have_to,
}];

fn main() -> ExitCode {
    harness::parallel(TESTS)
}

fn alerts_fire_when_they_have_to() -> anyhow::Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus");
    for words in [
        ["check", "rules", "alerts.yaml"],
        ["test", "rules", "alerts.test.yaml"],
    ] {
        let output = Command::new("promtool")
            .args(words)
            .current_dir(folder)
            .output()
            .context("running promtool")?;
        ensure!(output.status.success(), "{words:?}: {output:?}");
    }
    Ok(())
}
