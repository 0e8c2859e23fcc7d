//! `cargo xtask run`

use std::os::unix::process::CommandExt as _;

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::workspace::{is_root, say};
use crate::{Command, agent, ebpf};

pub(crate) const COMMAND: Command = Command {
    name: "run",
    args: "[--ebpf-log] [-- FLAGS]",
    help: "Builds the agent, quickly and not optimized, and runs it with FLAGS.\n\
           Without FLAGS it watches this machine and reports on the terminal; --help lists its flags.\n\
           --ebpf-log: also prints what the eBPF programs log.",
    run,
};

#[expect(
    clippy::disallowed_types,
    reason = "xshell can start a program but not become it"
)]
fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    let (ebpf_log, flags) = match args {
        [log, flags @ ..] if log == ebpf::LOG_FLAG => (true, flags),
        flags => (false, flags),
    };
    let flags = match flags {
        [separator, flags @ ..] if separator == "--" => flags,
        flags => flags,
    };
    let agent = agent::quick(shell, ebpf_log)?;
    if !is_root() {
        say("not root: no eBPF program loads and the kernel log may be closed to the agent");
    }
    let command = cmd!(shell, "{agent} {flags...}");
    // exec instead of a child process, so that signals and the exit code are the agent's own.
    Err(std::process::Command::from(command).exec())
        .with_context(|| format!("starting {}", agent.display()))
}
