//! The other programs in the agent's file: NPD's plugins with NPD's names, and ours.
//!
//! A program runs when the file is called by the program's name, for example through a link, or as
//! `npd-agent NAME …`. A new program is one file here and one line in [`TOOLS`].

pub mod builtin;
pub mod health_checker;
mod klog;
pub mod log_counter;
pub mod uninstall;

use std::ffi::OsString;
use std::fmt;
use std::io::{Write as _, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::exec::enter;
use crate::go::pflag::{ParsedLine, Program, Words};

/// A program in the agent's file.
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Runs it with its command line; the first word is ignored.
    pub run: fn(Vec<OsString>) -> ExitCode,
}

/// Every program in the agent's file.
pub const TOOLS: &[Tool] = &[
    health_checker::TOOL,
    log_counter::TOOL,
    builtin::TOOL,
    uninstall::TOOL,
    ENTER,
];

/// pflag's exit code for a command line that it refuses.
const BAD_COMMAND_LINE: u8 = 2;

/// The program that the agent runs to start a plugin in a cgroup.
const ENTER: Tool = Tool {
    name: enter::NAME,
    run: enter::run,
};

/// The program that a command line names, with its own command line; `None` if it is the agent.
pub fn called(line: impl IntoIterator<Item = OsString>) -> Option<(&'static Tool, Vec<OsString>)> {
    let mut words = Vec::from_iter(line);
    let named = |word: &OsString| {
        let name = Path::new(word).file_name()?;
        TOOLS.iter().find(|tool| *tool.name == *name)
    };
    if let Some(tool) = named(words.first()?) {
        return Some((tool, words));
    }
    let second = words.get(1)?;
    let tool = TOOLS.iter().find(|tool| *tool.name == **second)?;
    words.remove(0);
    Some((tool, words))
}

/// Reads a program's command line, whose first word is its name. If there is nothing to run, prints
/// what there is to say, and gives the exit code.
fn read<T: Default>(program: &Program<T>, line: Vec<OsString>) -> Result<(T, Words), ExitCode> {
    match program.parse(line.into_iter().skip(1)) {
        Ok(ParsedLine::Run(values, words)) => Ok((values, words)),
        Ok(ParsedLine::Help(help)) => {
            // If nobody reads the output, there is nobody to help.
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
fn read_flags<T: Default>(program: &Program<T>, line: Vec<OsString>) -> Result<T, ExitCode> {
    let (values, words) = read(program, line)?;
    if let Some(ignored) = words.ignored() {
        complain(program.name, ignored);
    }
    Ok(values)
}

/// Writes a line to standard error. If nobody reads it, the exit code is enough.
fn complain(program: &str, what: impl fmt::Display) {
    drop(writeln!(stderr(), "{program}: {what}"));
}

/// Runs a task to its end, and does not wait for threads that it leaves behind.
fn block_on<T>(task: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let result = runtime.block_on(task);
    runtime.shutdown_background();
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &[&str], expect: Option<(&str, &[&str])>) {
        let called = called(line.iter().map(OsString::from));
        let called = called.map(|(tool, line)| (tool.name, line));
        let expect = expect.map(|(name, line)| (name, line.iter().map(OsString::from).collect()));
        assert_eq!(called, expect);
    }

    #[test]
    fn a_link_or_the_first_word_names_a_program() {
        check(&[], None);
        check(&["/node-problem-detector", "--v=2"], None);
        check(&["npd-agent", "--v=2", "health-checker"], None);
        let line = &["/home/kubernetes/bin/health-checker", "--component=cri"];
        check(line, Some(("health-checker", line)));
        check(
            &["npd-agent", "health-checker", "--help"],
            Some(("health-checker", &["health-checker", "--help"])),
        );
    }
}
