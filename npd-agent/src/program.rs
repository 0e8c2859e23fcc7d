//! What the programs in the agent's file share: a command line, standard error, a runtime.

use std::ffi::OsString;
use std::fmt;
use std::io::{Write as _, stderr, stdout};
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use crate::go::pflag::{ParsedLine, Program, Words};

/// A program in the agent's file.
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// What its `--help` prints; empty if it is not for people.
    pub help: fn() -> String,
    /// Runs it with its command line; the first word is ignored.
    pub run: fn(Vec<OsString>) -> ExitCode,
}

/// pflag's exit code for a command line that it refuses.
pub const BAD_COMMAND_LINE: u8 = 2;

/// Reads a program's command line, whose first word is its name. If there is nothing to run, prints the
/// help or the error, and returns the exit code.
pub fn read<T: Default>(program: &Program<T>, line: Vec<OsString>) -> Result<(T, Words), ExitCode> {
    match program.parse(line.into_iter().skip(1)) {
        Ok(ParsedLine::Run(values, words)) => Ok((values, words)),
        Ok(ParsedLine::Help(help)) => {
            // Ignore an error: nobody reads the output.
            drop(write!(stdout(), "{help}"));
            Err(ExitCode::SUCCESS)
        }
        Err(error) => {
            let name = program.name;
            complain(name, format_args!("{error}; see {name} --help"));
            Err(ExitCode::from(BAD_COMMAND_LINE))
        }
    }
}

/// Reads the command line of one of NPD's programs, which ignore words that are no flags.
pub fn read_flags<T: Default>(program: &Program<T>, line: Vec<OsString>) -> Result<T, ExitCode> {
    let (values, words) = read(program, line)?;
    if let Some(ignored) = words.ignored() {
        complain(program.name, ignored);
    }
    Ok(values)
}

/// Reads the command line of one of our programs that takes flags only.
pub fn read_only_flags<T: Default>(
    program: &Program<T>,
    line: Vec<OsString>,
) -> Result<T, ExitCode> {
    let (values, words) = read(program, line)?;
    let Some(word) = words.words.first() else {
        return Ok(values);
    };
    let name = program.name;
    complain(
        name,
        format_args!("{word:?} is not a flag; see {name} --help"),
    );
    Err(ExitCode::from(BAD_COMMAND_LINE))
}

/// Prints what was asked for: as JSON, or as a text. If nobody reads it, the exit code is enough.
pub fn print(json: bool, value: &impl Serialize, text: impl FnOnce() -> String) {
    drop(if json {
        let json = serde_json::to_string_pretty(value).unwrap_or_default();
        writeln!(stdout(), "{json}")
    } else {
        write!(stdout(), "{}", text())
    });
}

/// Writes a line to standard error. If nobody reads it, the exit code is enough.
pub fn complain(program: &str, what: impl fmt::Display) {
    drop(writeln!(stderr(), "{program}: {what}"));
}

/// A number of things, in words.
pub fn plural(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

/// Runs a task to its end, and does not wait for threads that it leaves behind.
pub fn block_on<T>(task: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let result = runtime.block_on(task);
    runtime.shutdown_background();
    Ok(result)
}
