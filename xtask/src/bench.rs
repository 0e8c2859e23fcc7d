//! `cargo xtask bench`

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

use crate::debian::{self, package};
use crate::{Command, agent, workspace};

pub(crate) const COMMAND: Command = Command {
    name: "bench",
    args: "[logs | plugins]",
    help: "Builds the agent as it is shipped and measures it, on faults of this machine's kernel and in\n\
           peace. Prints the table in docs/benchmarks.md. Takes four minutes and root; nothing else should\n\
           run meanwhile.\n\
           With `logs`, measures how fast it reads a log, against ripgrep and a simple reader; with\n\
           `plugins`, only what two hundred plugins a second cost.",
    run,
};

fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    match args {
        [] => {}
        [what] if what == "plugins" => {}
        [what] if what == "logs" => {
            let ripgrep = package("ripgrep", "a reader to compare with");
            debian::install(shell, &debian::missing(shell, vec![ripgrep]))?;
        }
        _ => bail!("usage: cargo xtask bench [logs | plugins]"),
    }
    let agent = agent::release(shell)?;
    let cargo = workspace::cargo_path();
    cmd!(
        shell,
        "{cargo} run --locked --quiet --release --package npd-tests --bin bench {args...}"
    )
    .env("NPD_AGENT", agent)
    .quiet()
    .run()
    .context("measuring")
}
