//! The command line, as a user types it.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use npd_tests::harness::{self, Need, Test};

const TESTS: &[Test] = &[Test {
    name: "version_is_printed",
    needs: &[Need::Agent],
    run: version_is_printed,
}];

fn main() -> ExitCode {
    harness::parallel(TESTS)
}

fn version_is_printed() -> anyhow::Result<()> {
    let output = Command::new(harness::agent()?)
        .arg("--version")
        .output()
        .context("starting the agent")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "it ended with {}", output.status);
    ensure!(
        printed.trim() == env!("CARGO_PKG_VERSION"),
        "it printed {printed:?}"
    );
    Ok(())
}
