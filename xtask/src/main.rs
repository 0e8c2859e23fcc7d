//! The task runner: `cargo xtask COMMAND`.
//!
//! A command is one file and one line in [`COMMANDS`].

mod agent;
mod bench;
mod build;
mod build_ebpf;
mod debian;
mod e2e;
mod ebpf;
mod fuzz;
mod image;
mod lint;
mod rules;
mod run;
mod test;
mod userland;
mod vm;
mod workspace;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::bail;
use xshell::Shell;

/// A command: `cargo xtask NAME ARGS`.
struct Command {
    name: &'static str,
    /// The arguments, for the help.
    args: &'static str,
    help: &'static str,
    run: fn(&Shell, &[String]) -> anyhow::Result<()>,
}

/// Every command, in the order of the help.
const COMMANDS: &[Command] = &[
    build_ebpf::COMMAND,
    build::COMMAND,
    run::COMMAND,
    test::COMMAND,
    vm::COMMAND,
    bench::COMMAND,
    fuzz::COMMAND,
    e2e::COMMAND,
    image::COMMAND,
    lint::COMMAND,
    rules::COMMAND,
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> anyhow::Result<()> {
    let Some((name, rest)) = args.split_first() else {
        return help();
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        return help();
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        bail!("there is no command `{name}`; `cargo xtask help` lists them");
    };
    (command.run)(&workspace::shell()?, rest)
}

fn help() -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "Usage: cargo xtask COMMAND")?;
    for Command {
        name, args, help, ..
    } in COMMANDS
    {
        let title = format!("{name} {args}");
        let help = help.replace('\n', "\n    ");
        writeln!(out, "\n{}\n    {help}", title.trim_end())?;
    }
    Ok(())
}
