//! `cargo xtask build-ebpf`

use anyhow::bail;
use xshell::Shell;

use crate::{Command, ebpf};

pub(crate) const COMMAND: Command = Command {
    name: "build-ebpf",
    args: "[--ebpf-log]",
    help: "Builds the eBPF programs into target/bpf/npd-ebpf, which the agent embeds. Installs what is\n\
           missing (a compiler with the source of its core library, bpf-linker) if it may, else says how.\n\
           --ebpf-log: the programs log through aya-log; for debugging them.",
    run,
};

fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    let log = match args {
        [] => false,
        [flag] if flag == ebpf::LOG_FLAG => true,
        _ => bail!("usage: cargo xtask build-ebpf [--ebpf-log]"),
    };
    ebpf::build(shell, log)
}
