//! `cargo xtask bench`

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

use crate::{Command, agent, workspace};

pub(crate) const COMMAND: Command = Command {
    name: "bench",
    args: "",
    help: "Builds the agent and measures it, on faults of this machine's kernel and in peace. Prints the\n\
           table in docs/benchmarks.md. Takes four minutes and root; nothing else should run meanwhile.",
    run,
};

fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask bench");
    }
    let agent = agent::build(shell, false)?;
    let cargo = workspace::cargo_path();
    cmd!(
        shell,
        "{cargo} run --locked --quiet --package npd-tests --bin bench"
    )
    .env("NPD_AGENT", agent)
    .quiet()
    .run()
    .context("measuring")
}
