//! `cargo xtask build`

use std::io::Write as _;

use anyhow::bail;
use xshell::Shell;

use crate::{Command, agent};

pub(crate) const COMMAND: Command = Command {
    name: "build",
    args: "",
    help: "Builds the agent as it is shipped, the eBPF programs inside, and prints the path of the binary,\n\
           which needs no library on the machine that it runs on.",
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
