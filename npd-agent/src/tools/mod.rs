//! The other programs in the agent's file: NPD's plugins with NPD's names, and ours.
//!
//! A program runs when the file is called by the program's name, for example through a link, or as
//! `npd-agent NAME …`. A new program is one file here and one line in [`TOOLS`].

pub mod builtin;
pub mod check;
pub mod completion;
pub mod drill;
pub mod health_checker;
mod klog;
pub mod log_counter;
mod manual;
mod moment;
mod pages;
pub mod probes;
pub mod replay;
pub mod scan;
pub mod status;
pub mod uninstall;
mod words;

use std::ffi::OsString;
use std::path::Path;

use crate::exec::enter_cgroup;
use crate::program::Tool;

/// Every program in the agent's file.
pub const TOOLS: &[Tool] = &[
    health_checker::TOOL,
    log_counter::TOOL,
    builtin::TOOL,
    scan::TOOL,
    check::TOOL,
    replay::TOOL,
    status::TOOL,
    probes::TOOL,
    drill::TOOL,
    uninstall::TOOL,
    completion::TOOL,
    MANUAL,
    ENTER,
];

/// The program that the agent runs to start a plugin in a cgroup.
const ENTER: Tool = Tool {
    name: enter_cgroup::NAME,
    help: String::new,
    run: enter_cgroup::run,
};

/// The program that prints the manual page, which has the help of all others.
const MANUAL: Tool = Tool {
    name: manual::NAME,
    help: manual::help,
    run: |_| manual::print(TOOLS.iter().map(|tool| (tool.name, (tool.help)()))),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::CommandLine;

    #[track_caller]
    fn check(line: &[&str], expect: Option<(&str, &[&str])>) {
        let called = called(line.iter().map(OsString::from));
        let called = called.map(|(tool, line)| (tool.name, line));
        let expect = expect.map(|(name, line)| (name, line.iter().map(OsString::from).collect()));
        assert_eq!(called, expect);
    }

    #[test]
    fn every_program_is_in_the_help() {
        let line = ["--help".into()];
        let Ok(CommandLine::Print(help)) = CommandLine::parse(line) else {
            panic!("no help");
        };
        for tool in TOOLS.iter().filter(|tool| tool.name != ENTER.name) {
            let line = format!("\n  npd-agent {} ", tool.name);
            assert!(help.contains(&line), "{}", tool.name);
            assert!((tool.help)().contains("Usage: "), "{}", tool.name);
        }
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
