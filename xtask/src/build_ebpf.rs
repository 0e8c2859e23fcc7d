//! `cargo xtask build-ebpf`

use anyhow::bail;
use xshell::Shell;

use crate::{Command, ebpf};

pub(crate) const COMMAND: Command = Command {
    name: "build-ebpf",
    args: "",
    help: "Builds the eBPF programs anew into npd-ebpf/prebuilt, from where the agent embeds them. Commit\n\
           that folder with the change. Installs what is missing (a compiler with a core library for BPF,\n\
           bpf-linker) if it may, else says how. Who changes no program needs none of that.",
    run,
};

fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask build-ebpf");
    }
    ebpf::build(shell)
}
