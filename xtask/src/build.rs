//! `cargo xtask build`

use std::io::Write as _;

use anyhow::bail;
use xshell::Shell;

use crate::{Command, agent};

pub(crate) const COMMAND: Command = Command {
    name: "build",
    args: "",
    help: "Builds the release build of the agent, and prints the path of the binary. It contains the eBPF\n\
           programs, and needs no library on the machine that it runs on.",
    run,
};

fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask build");
    }
    let agent = agent::release(shell)?;
    writeln!(std::io::stdout(), "{}", agent.display())?;
    Ok(())
}
