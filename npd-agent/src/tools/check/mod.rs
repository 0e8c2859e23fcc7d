//! `check`: finds mistakes in config files, before a rollout.
//!
//! The agent starts with whatever NPD starts with, so at the start a mistake is only a warning. Here it
//! is an error. A rule that may not do what its author wants is a warning.

mod lint;
mod npd;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::io::{Write as _, stdout};
use std::path::Path;
use std::process::ExitCode;

use crate::config;
use crate::go::json::ConfigProblem;
use crate::go::pflag::{Flag, Program, boolean};
use crate::monitor::{ConfigFile, MonitorKind};
use crate::program::{BAD_COMMAND_LINE, Tool, complain, plural, read};

use self::lint::Outline;

/// The program.
pub const TOOL: Tool = Tool {
    name: NAME,
    help: || program().help(),
    run,
};

const NAME: &str = "check";

#[derive(Debug, Default)]
struct CheckArgs {
    npd: bool,
}

fn program() -> Program<CheckArgs> {
    let flags = [Flag::boolean(
        "--npd",
        "false",
        "Also say what node-problem-detector does with each file",
        |args: &mut CheckArgs, _, value| boolean(&mut args.npd, value),
    )];
    Program {
        name: NAME,
        about: "Checks config files of monitors, of every kind, and of aliases, without starting anything.
An error is what the agent refuses, or what has no effect although the agent starts.
A warning is a rule that does something else than it seems to.
FILE is a path, or as for a flag builtin or builtin:NAME.
Exit code: 0 if there is no error, 1 if there is one, 2 if a file cannot be read.",
        words: " FILE...",
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
        complain(NAME, "name the files to check; see check --help");
        return ExitCode::from(BAD_COMMAND_LINE);
    }
    let mut code = 0;
    for name in &words.words {
        match config::named(None, Path::new(name)) {
            Ok(files) => {
                for report in files.iter().map(FileReport::new) {
                    code = code.max(u8::from(report.errors().count() > 0));
                    // Ignore an error: if nobody reads the report, the exit code is enough.
                    drop(write!(stdout(), "{}", report.shown(args.npd)));
                }
            }
            Err(error) => {
                complain(NAME, format_args!("{error:#}"));
                code = BAD_COMMAND_LINE;
            }
        }
    }
    ExitCode::from(code)
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Complaint {
    /// Something has no effect, or the agent refuses the file.
    Error,
    /// A rule does something else than it seems to.
    Warning,
    /// NPD does something else than the agent.
    Difference,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Difference => "NPD",
        })
    }
}

/// Why the agent refuses a monitor's file, if it does.
fn refused(
    kind: &MonitorKind,
    file: &ConfigFile,
    ineffective: &mut Vec<ConfigProblem>,
) -> Option<ConfigProblem> {
    let loaded = (kind.load)(std::slice::from_ref(file), ineffective);
    loaded.err().map(|error| match error.downcast() {
        Ok(problem) => problem,
        Err(error) => file.problem("", format_args!("{error:#}")),
    })
}

/// The mistakes in one file.
struct FileReport {
    name: String,
    /// In the order of the file.
    problems: Vec<(Complaint, ConfigProblem)>,
    /// What NPD does with the file as a whole.
    npd: &'static str,
}

impl FileReport {
    fn new(file: &ConfigFile) -> Self {
        let outline = Outline::of(file);
        let mut ineffective = Vec::new();
        let (refused, ignored) = if outline.is_of_aliases() {
            (config::aliases::check(file, &mut ineffective).err(), None)
        } else {
            let kind = outline.kind();
            let refused = refused(&kind, file, &mut ineffective);
            (refused, npd::ignored_keys(kind.flag, file))
        };
        let npd = match (&ignored, &refused) {
            (None, _) if outline.is_of_aliases() => "NPD has no aliases",
            (None, _) => "NPD has no such monitor",
            (Some(_), Some(_)) => "NPD does not start with this file",
            (Some(_), None) => "NPD starts with this file",
        };
        let errors: Vec<_> = refused.into_iter().chain(ineffective).collect();
        // Keys that neither NPD nor the agent knows are errors already.
        let is_known = |key: &ConfigProblem| !errors.iter().any(|error| error.path == key.path);
        let ignored = ignored.into_iter().flatten().filter(is_known);
        let mut problems = Vec::new();
        let warnings = outline.warnings(file).into_iter();
        problems.extend(warnings.map(|problem| (Complaint::Warning, problem)));
        problems.extend(ignored.map(|problem| (Complaint::Difference, problem)));
        problems.extend(
            errors
                .into_iter()
                .map(|problem| (Complaint::Error, problem)),
        );
        problems.sort_by_key(|(severity, problem)| (problem.line, problem.column, *severity));
        Self {
            name: file.name.to_string(),
            problems,
            npd,
        }
    }

    fn errors(&self) -> impl Iterator<Item = &ConfigProblem> {
        let errors = self.problems.iter();
        let errors = errors.filter(|(severity, _)| *severity == Complaint::Error);
        errors.map(|(_, problem)| problem)
    }

    /// As text, with what NPD does or without it.
    fn shown(&self, npd: bool) -> String {
        let count = |of| self.problems.iter().filter(|(is, _)| *is == of).count();
        let result = match (count(Complaint::Error), count(Complaint::Warning)) {
            (0, 0) => "ok".to_owned(),
            (errors, warnings) => {
                let errors = plural(errors, "error");
                format!("{errors}, {}", plural(warnings, "warning"))
            }
        };
        let npd_result = if npd {
            format!("; {}", self.npd)
        } else {
            String::new()
        };
        let problems = self.problems.iter();
        let problems = problems.filter(|(severity, _)| npd || *severity != Complaint::Difference);
        let lines = problems.map(|(severity, problem)| {
            let ConfigProblem {
                file,
                line,
                column,
                path,
                message,
            } = problem;
            let colon = if path.is_empty() { "" } else { ": " };
            format!("{file}:{line}:{column}: {severity}: {path}{colon}{message}\n")
        });
        let lines: String = lines.collect();
        format!("{lines}{}: {result}{npd_result}\n", self.name)
    }
}
