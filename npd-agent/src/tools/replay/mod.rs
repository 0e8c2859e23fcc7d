//! `replay`: what the agent would have reported about a log that was saved.

mod export;
mod input;
mod line;
mod player;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{BufWriter, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::tz::TimeZone;

use self::player::{Player, ReplayStart, Summary};
use crate::config;
use crate::go::pflag::{Flag, Program, boolean, list, string};
use crate::monitor::log;
use crate::monitor::log::replay::ReplayRules;
use crate::program::{BAD_COMMAND_LINE, Tool, complain, plural, read};

/// The program.
pub const TOOL: Tool = Tool {
    name: NAME,
    help: || program().help(),
    run,
};

const NAME: &str = "replay";

/// The exit codes if something is reported, and if a file cannot be read.
const REPORTED: u8 = 1;
const FAILED: u8 = 2;

#[derive(Debug, Default)]
struct ReplayArgs {
    configs: Vec<String>,
    since: String,
    json: bool,
}

fn program() -> Program<ReplayArgs> {
    let flags = [
        Flag::new(
            "--config",
            "FILES",
            "builtin",
            "Config files of log monitors, as for --config.system-log-monitor",
            |args: &mut ReplayArgs, _, value| list(&mut args.configs, value),
        ),
        Flag::new(
            "--since",
            "TIME",
            "",
            "Skip earlier entries: a date, or for a log without dates the time since boot, such as 1h30m",
            |args, _, value| string(&mut args.since, value),
        ),
        Flag::boolean(
            "--json",
            "false",
            "Print JSON, a line for each report",
            |args: &mut ReplayArgs, _, value| boolean(&mut args.json, value),
        ),
    ];
    Program {
        name: NAME,
        about: "Prints what the agent would have reported about a saved log.
LOG is the output of dmesg (also with -T, -r, -x or --json), records of /dev/kmsg, a log file, the output
of journalctl (also with -o export or -o json), a journal file, or a folder of journal files; - is
standard input. Several files are one log, in this order. Everything in them counts, however old.
Exit code: 0 if nothing is reported, 1 if something is, 2 if a file cannot be read.",
        words: " LOG...",
        after: "",
        sections: vec![("Flags", flags.to_vec())],
    }
}

fn run(line: Vec<OsString>) -> ExitCode {
    let (args, words) = match read(&program(), line) {
        Ok(line) => line,
        Err(code) => return code,
    };
    if words.words.is_empty() {
        complain(NAME, "name the log to read, or - ; see replay --help");
        return ExitCode::from(BAD_COMMAND_LINE);
    }
    match replay(&args, &words.words) {
        Ok(summary) => {
            complain(NAME, summary.shown());
            ExitCode::from(if summary.reports > 0 { REPORTED } else { 0 })
        }
        Err(error) => {
            complain(NAME, format_args!("{error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

fn replay(args: &ReplayArgs, logs: &[String]) -> anyhow::Result<Summary> {
    let mut files = Vec::new();
    let named = args.configs.iter().map(String::as_str);
    let default = Some("builtin").filter(|_| args.configs.is_empty());
    for name in named.chain(default) {
        files.extend(config::named(Some(log::KIND.flag), Path::new(name))?);
    }
    let mut problems = Vec::new();
    let rules = ReplayRules::load(&files, TimeZone::system(), &mut problems)?;
    for problem in problems {
        complain(NAME, problem);
    }
    let start = Some(&args.since).filter(|since| !since.is_empty());
    let start = start.map(|since| ReplayStart::parse(since, &TimeZone::system()));
    let start = start.transpose().context("--since")?;
    let output = BufWriter::new(stdout());
    let mut player = Player::new(files, rules, TimeZone::system(), args.json, start, output)?;
    for log in logs {
        input::read(log, &mut player).with_context(|| format!("reading {log}"))?;
    }
    player.finish()
}

impl Summary {
    fn shown(&self) -> String {
        let Self {
            entries,
            reports,
            untranslated,
            sick,
        } = self;
        let mut parts = vec![format!(
            "{}, {}",
            plural(*entries, "record"),
            plural(*reports, "report")
        )];
        if *untranslated > 0 {
            let lines = plural(*untranslated, "line");
            parts.push(format!("in {lines} the time or the message is not found"));
        }
        if !sick.is_empty() {
            parts.push(format!("True at the end: {}", sick.join(", ")));
        }
        parts.join("; ")
    }
}
