//! `status`: asks the agent that runs on this node, and says what it sees in a form for people.

mod report;

use std::ffi::OsString;
use std::io::{Write as _, stdout};
use std::process::ExitCode;

use jiff::Timestamp;

use crate::go::pflag::{Flag, Program, boolean, integer, string};
use crate::program::{BAD_COMMAND_LINE, Tool, block_on, complain, read};

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
    let (args, words) = match read(&program(), line) {
        Ok(line) => line,
        Err(code) => return code,
    };
    if let Some(word) = words.words.first() {
        complain(
            NAME,
            format_args!("{word:?} is not a flag; see status --help"),
        );
        return ExitCode::from(BAD_COMMAND_LINE);
    }
    let pages = block_on(AgentPages::get(&host(&args.address, args.port))).flatten();
    let report = pages.and_then(|pages| Ok((StatusReport::new(&pages, Timestamp::now())?, pages)));
    match report {
        Ok((report, pages)) => {
            // Who does not read the report still gets the exit code.
            drop(if args.json {
                writeln!(stdout(), "{:#}", pages.joined())
            } else {
                write!(stdout(), "{}", report.text)
            });
            ExitCode::from(u8::from(!report.is_well))
        }
        Err(error) => {
            complain(NAME, format_args!("{error:#}"));
            ExitCode::from(UNKNOWN)
        }
    }
}
