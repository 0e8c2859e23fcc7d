//! `cargo xtask lint`

use anyhow::{Context as _, bail};
use xshell::{Cmd, Shell, cmd};

use crate::workspace::{cargo_path, say};
use crate::{Command, ebpf};

pub(crate) const COMMAND: Command = Command {
    name: "lint",
    args: "[--ebpf]",
    help: "Checks everything that needs no running agent: formatting, the tidy tests (xtask/tests/tidy),\n\
           clippy, documentation.\n\
           --ebpf: also the eBPF programs: clippy, and that the object under version control is what they\n\
           build, byte by byte.",
    run,
};

fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    let ebpf = match args {
        [] => false,
        [flag] if flag == "--ebpf" => true,
        _ => bail!("usage: cargo xtask lint [--ebpf]"),
    };
    let cargo = cargo_path();
    step("formatting", cmd!(shell, "{cargo} fmt --all --check"))?;
    let fuzz = ["--manifest-path", "fuzz/Cargo.toml"];
    step(
        "formatting of fuzz",
        cmd!(shell, "{cargo} fmt {fuzz...} --check"),
    )?;
    step(
        "tidiness",
        cmd!(
            shell,
            "{cargo} test --locked --quiet --package xtask --test tidy"
        ),
    )?;
    if ebpf {
        say("the eBPF object");
        ebpf::verify(shell)?;
        say("clippy for the eBPF programs");
        ebpf::clippy(shell)?;
    }
    step(
        "clippy",
        cmd!(
            shell,
            "{cargo} clippy --locked --workspace --all-targets -- -Dwarnings"
        ),
    )?;
    step(
        "clippy for fuzz",
        cmd!(
            shell,
            "{cargo} clippy --locked {fuzz...} --target-dir target/fuzz -- -Dwarnings"
        )
        .env("RUSTFLAGS", "--cfg fuzzing")
        // Nothing is linked here, so nobody needs a C++ compiler to build it.
        .env("CUSTOM_LIBFUZZER_PATH", "/nowhere/libfuzzer.a"),
    )?;
    step(
        "documentation",
        cmd!(
            shell,
            "{cargo} doc --locked --workspace --no-deps --document-private-items"
        )
        // Nothing is published: who reads it has the source, private items and all.
        .env(
            "RUSTDOCFLAGS",
            "-Dwarnings -Arustdoc::private-intra-doc-links",
        ),
    )
}

fn step(name: &'static str, command: Cmd<'_>) -> anyhow::Result<()> {
    say(name);
    command.quiet().run().context(name)
}
