//! `cargo xtask build`

use std::io::Write as _;

use anyhow::bail;
use xshell::Shell;

use crate::Command;
use crate::agent::{self, Build};

pub(crate) const COMMAND: Command = Command {
    name: "build",
    args: "[--static]",
    help: "Builds the agent in release, the eBPF programs inside, and prints the path of the binary.\n\
           --static: needs no library on the machine that it runs on.",
    run,
};

fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    let build = match args {
        [] => Build::Host,
        [flag] if flag == "--static" => Build::Static,
        _ => bail!("usage: cargo xtask build [--static]"),
    };
    let agent = agent::build(shell, build)?;
    writeln!(std::io::stdout(), "{}", agent.display())?;
    Ok(())
}
