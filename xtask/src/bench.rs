//! `cargo xtask bench`

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

use crate::debian::{self, package};
use crate::{Command, agent, workspace};

pub(crate) const COMMAND: Command = Command {
    name: "bench",
    args: "[logs | plugins]",
    help: "Builds the release build of the agent and measures it, idle and with faults of this machine's\n\
           kernel. Prints the tables of docs/benchmarks.md. Needs root and four minutes; nothing else\n\
           should run meanwhile.\n\
           logs: only how fast it reads a log, compared with ripgrep and a simple reader.\n\
           plugins: only what two hundred plugins a second cost.",
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
