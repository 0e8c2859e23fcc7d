//! `builtin`: runs one of the agent's own checks of a node, as a plugin.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use crate::checks::{self, CHECKS, Check, CheckResult};
use crate::node::Roots;
use crate::program::{BAD_COMMAND_LINE, Tool, complain, read, read_flags};

/// The program.
pub const TOOL: Tool = Tool {
    name: checks::PROGRAM,
    help,
    run,
};

fn run(mut line: Vec<OsString>) -> ExitCode {
    let name = line.get(1).map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    if matches!(&*name, "-h" | "--help") {
        drop(write!(std::io::stdout(), "{}", help()));
        return ExitCode::SUCCESS;
    }
    let Some(check) = CHECKS.iter().find(|check| check.name == name) else {
        complain(
            TOOL.name,
            format_args!("there is no check {name:?}; see builtin --help"),
        );
        return ExitCode::from(BAD_COMMAND_LINE);
    };
    line.remove(0);
    let program = check.program();
    let read = if check.words.is_empty() {
        read_flags(&program, line)
    } else {
        read(&program, line).map(|(mut options, words)| {
            options.words = words.words;
            options
        })
    };
    let options = match read {
        Ok(options) => options,
        Err(code) => return code,
    };
    let roots = Roots::from_env(|name| std::env::var(name).ok());
    let (message, code) = match (check.run)(&options, &roots) {
        Ok(CheckResult { problem, message }) => (message, u8::from(problem)),
        Err(error) => (format!("{error:#}"), 2),
    };
    // Ignore an error: if nobody reads the output, the exit code is enough.
    drop(writeln!(std::io::stdout(), "{message}"));
    ExitCode::from(code)
}

fn help() -> String {
    let line = |check: &Check| format!("  {:12}  {}\n", check.name, check.about);
    let checks: String = CHECKS.iter().map(line).collect();
    format!(
        "Checks this node. Exit codes: 0 all is well, 1 there is a problem, 2 cannot tell.\n\n\
         Usage: builtin CHECK [FLAGS]\n\nChecks, each with a --help of its own:\n{checks}"
    )
}
