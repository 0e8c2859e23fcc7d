//! `status`: asks the agent that runs on this node, and says what it sees in a form for people.

mod report;

use std::ffi::OsString;
use std::process::ExitCode;

use jiff::Timestamp;

use crate::go::pflag::{Flag, Program, boolean, integer, string};
use crate::program::{Tool, block_on, complain, print, read_only_flags};

use self::report::StatusReport;
use super::pages::{AgentPages, host};

/// The program.
pub const TOOL: Tool = Tool {
    name: NAME,
    help: || program().help(),
    run,
};

const NAME: &str = "status";

/// The exit code if the agent does not answer.
const UNKNOWN: u8 = 2;

#[derive(Debug, Default)]
struct StatusArgs {
    address: String,
    port: i64,
    json: bool,
}

fn program() -> Program<StatusArgs> {
    let flags = [
        Flag::new(
            "--address",
            "ADDRESS",
            "127.0.0.1",
            "The address of the agent: its own --address",
            |args: &mut StatusArgs, _, value| string(&mut args.address, value),
        ),
        Flag::new(
            "--port",
            "PORT",
            "20256",
            "The port of the agent: its own --port",
            |args, _, value| integer(&mut args.port, value),
        ),
        Flag::boolean(
            "--json",
            "false",
            "Print everything that the agent shows, as JSON",
            |args: &mut StatusArgs, _, value| boolean(&mut args.json, value),
        ),
    ];
    Program {
        name: NAME,
        about: "Asks the running agent, and prints the conditions of the node, the last events, and what
the agent itself lacks.
Exit code: 0 if the node and the agent are well, 1 if not, 2 if the agent does not answer.",
        words: "",
        after: "",
        sections: vec![("Flags", flags.to_vec())],
    }
}

fn run(line: Vec<OsString>) -> ExitCode {
    let args = match read_only_flags(&program(), line) {
        Ok(args) => args,
        Err(code) => return code,
    };
    let pages = block_on(AgentPages::get(&host(&args.address, args.port))).flatten();
    let report = pages.and_then(|pages| Ok((StatusReport::new(&pages, Timestamp::now())?, pages)));
    match report {
        Ok((report, pages)) => {
            let is_well = report.is_well;
            print(args.json, &pages.joined(), || report.text);
            ExitCode::from(u8::from(!is_well))
        }
        Err(error) => {
            complain(NAME, format_args!("{error:#}"));
            ExitCode::from(UNKNOWN)
        }
    }
}
