//! `completion`: completes command lines in a shell. The scripts ask `--help`, so they are always right.

use std::ffi::OsString;
use std::io::{Write as _, stdout};
use std::process::ExitCode;

use crate::go::pflag::Program;
use crate::program::{BAD_COMMAND_LINE, Tool, complain, read};

/// The program.
pub const TOOL: Tool = Tool {
    name: NAME,
    help: || program().help(),
    run,
};

const NAME: &str = "completion";

const BASH: &str = include_str!("npd-agent.bash");
const FISH: &str = include_str!("npd-agent.fish");

fn program() -> Program<()> {
    Program {
        name: NAME,
        about: "Prints a script that completes the command lines of npd-agent:
  bash:  source <(npd-agent completion bash)
  zsh:   source <(npd-agent completion zsh)
  fish:  npd-agent completion fish | source",
        words: " bash|zsh|fish",
        after: "",
        sections: Vec::new(),
    }
}

fn run(line: Vec<OsString>) -> ExitCode {
    let words = match read(&program(), line) {
        Ok(((), words)) => words.words,
        Err(code) => return code,
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let script = match *words {
        ["bash"] => BASH.to_owned(),
        // zsh runs bash's.
        ["zsh"] => format!("autoload -U +X bashcompinit && bashcompinit\n{BASH}"),
        ["fish"] => FISH.to_owned(),
        _ => {
            complain(NAME, "name the shell: bash, zsh or fish");
            return ExitCode::from(BAD_COMMAND_LINE);
        }
    };
    let printed = write!(stdout(), "{script}");
    ExitCode::from(u8::from(printed.is_err()))
}
