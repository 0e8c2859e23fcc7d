//! `cargo xtask build-ebpf`

use anyhow::bail;
use xshell::Shell;

use crate::{Command, ebpf};

pub(crate) const COMMAND: Command = Command {
    name: "build-ebpf",
    args: "",
    help: "Builds the eBPF programs into npd-ebpf/prebuilt, from where the agent embeds them. Commit that\n\
           folder with your change. Installs what is missing (a compiler with a core library for BPF,\n\
           bpf-linker) if it may, else prints the commands. You need this only if you change a program.",
    run,
};

fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask build-ebpf");
    }
    ebpf::build(shell)
}
