//! `uninstall`: removes from Nodes the conditions that this agent has written, which would stay
//! there for ever otherwise. For use when no agent runs any more.

use std::ffi::OsString;
use std::io::{Write as _, stdout};
use std::process::ExitCode;

use clap::Parser;

use super::{Tool, block_on};
use crate::exporter::kubernetes::remove_conditions;
use crate::node;

/// The program.
pub const TOOL: Tool = Tool {
    name: "uninstall",
    run,
};

/// Removes from Nodes the conditions that this agent was the last to write. Stop the agents first:
/// one that runs would write them again. It takes the agent's own rights: get nodes, patch nodes/status
#[derive(Parser, Debug)]
#[command(name = "uninstall")]
struct UninstallArgs {
    /// The Nodes' names [default: the environment's `NODE_NAME`, else the host name]
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,

    /// Where the API server is: a URI, with parameters inClusterConfig, insecure, auth, useServiceAccount
    #[arg(
        long,
        default_value = "",
        value_name = "URI",
        hide_default_value = true
    )]
    apiserver_override: String,

    /// The name of the Node, as the agent takes it
    #[arg(long, value_name = "NAME", conflicts_with = "nodes")]
    hostname_override: Option<String>,
}

fn run(line: Vec<OsString>) -> ExitCode {
    match block_on(uninstall(UninstallArgs::parse_from(line))) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(error)) | Err(error) => {
            eprintln!("uninstall: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Goes through all Nodes, also if one fails. Whether none did.
async fn uninstall(line: UninstallArgs) -> anyhow::Result<bool> {
    let mut nodes = line.nodes;
    if nodes.is_empty() {
        let name = line.hostname_override.unwrap_or_default();
        nodes.push(node::name(&name, |name| std::env::var(name).ok())?);
    }
    let mut succeeded = true;
    for node in nodes {
        match remove_conditions(&line.apiserver_override, &node).await {
            Ok(removed) if removed.is_empty() => {
                writeln!(stdout(), "{node}: no condition of this agent's")?;
            }
            Ok(removed) => writeln!(stdout(), "{node}: removed {}", removed.join(", "))?,
            Err(error) => {
                eprintln!("uninstall: {node}: {error:#}");
                succeeded = false;
            }
        }
    }
    Ok(succeeded)
}
