//! `uninstall`: removes from Nodes the conditions that this agent has written, which would stay
//! there for ever otherwise. For use when no agent runs any more.

use std::ffi::OsString;
use std::io::{Write as _, stdout};
use std::process::ExitCode;

use anyhow::ensure;

use crate::exporter::kubernetes::remove_conditions;
use crate::go::pflag::{Flag, Program, string};
use crate::node;
use crate::program::{Tool, block_on, complain, read};

/// The program.
pub const TOOL: Tool = Tool {
    name: NAME,
    help: || program().help(),
    run,
};

const NAME: &str = "uninstall";

#[derive(Debug, Default)]
struct UninstallArgs {
    apiserver_override: String,
    hostname_override: String,
}

fn program() -> Program<UninstallArgs> {
    let flags = [
        Flag::new(
            "--apiserver-override",
            "URI",
            "",
            "Where the API server is: a URI, with parameters inClusterConfig, insecure, auth, useServiceAccount",
            |args: &mut UninstallArgs, _, value| string(&mut args.apiserver_override, value),
        ),
        Flag::new(
            "--hostname-override",
            "NAME",
            "",
            "The name of the Node [default: the environment's NODE_NAME, else the host name]",
            |args, _, value| string(&mut args.hostname_override, value),
        ),
    ];
    Program {
        name: NAME,
        about: "Removes from Nodes the conditions that this agent was the last to write.
Stop the agents first: one that runs would write them again.
It needs the agent's rights: get nodes, patch nodes/status.",
        words: " [NODE...]",
        after: "",
        sections: vec![("Flags", flags.to_vec())],
    }
}

fn run(line: Vec<OsString>) -> ExitCode {
    let (args, words) = match read(&program(), line) {
        Ok(line) => line,
        Err(code) => return code,
    };
    match block_on(uninstall(args, words.words)).flatten() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(NAME, format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Handles all Nodes, also if one fails. Returns whether all succeeded.
async fn uninstall(args: UninstallArgs, mut nodes: Vec<String>) -> anyhow::Result<bool> {
    let name = &args.hostname_override;
    ensure!(
        nodes.is_empty() || name.is_empty(),
        "--hostname-override and names of Nodes: give one of them"
    );
    if nodes.is_empty() {
        nodes.push(node::name(name, |name| std::env::var(name).ok())?);
    }
    let mut succeeded = true;
    for node in nodes {
        match remove_conditions(&args.apiserver_override, &node).await {
            Ok(removed) if removed.is_empty() => {
                writeln!(stdout(), "{node}: this agent has written no condition")?;
            }
            Ok(removed) => writeln!(stdout(), "{node}: removed {}", removed.join(", "))?,
            Err(error) => {
                complain(NAME, format_args!("{node}: {error:#}"));
                succeeded = false;
            }
        }
    }
    Ok(succeeded)
}
