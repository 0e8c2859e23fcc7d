//! `scan`: looks at this node once, now, and says whether it is well.
//!
//! A disk that is broken is what this is for. A process whose thread waits for such a disk cannot end, and
//! whoever waits for the process waits as well. So another process looks, and this one waits for it only
//! until the deadline.

mod look;
#[cfg(test)]
mod tests;
mod text;
mod verdict;

use std::ffi::OsString;
use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;

use self::verdict::{ScanState, ScanVerdict};
use crate::exec::{self, ExternalProgram, Spawner};
use crate::go::duration::GoDuration;
use crate::go::pflag::{Flag, Program, boolean, duration};
use crate::program::{Tool, block_on, complain, print, read_only_flags};

/// The program.
pub const TOOL: Tool = Tool {
    name: NAME,
    help: || program().help(),
    run,
};

const NAME: &str = "scan";

/// What the process does that looks.
const LOOK: &str = "--look";

/// The exit codes of a node that is sick, and of one of which nobody can tell.
const SICK: u8 = 1;
const UNKNOWN: u8 = 2;

/// How much longer the process that looks may take to print what it has seen.
const GRACE: Duration = Duration::from_secs(5);

/// How much it may print, in bytes.
const LONGEST: usize = 4 << 20;

#[derive(Debug, Default)]
struct ScanArgs {
    json: bool,
    timeout: GoDuration,
    /// Looks itself, and prints a verdict for the process that has started it.
    looks: bool,
}

fn program() -> Program<ScanArgs> {
    let flags = [
        Flag::boolean(
            "--json",
            "false",
            "Print JSON",
            |args: &mut ScanArgs, _, value| boolean(&mut args.json, value),
        ),
        Flag::new(
            "--timeout",
            "DURATION",
            "10s",
            "How long to wait for what does not answer",
            |args, _, value| duration(&mut args.timeout, value),
        ),
        Flag::boolean(
            LOOK,
            "false",
            "Look in this process",
            |args: &mut ScanArgs, _, value| boolean(&mut args.looks, value),
        )
        .hidden(),
    ];
    Program {
        name: NAME,
        about: "Looks at this node once, and says whether it is well: the kernel's log since boot, hung tasks, file
systems, the disk's space, process ids, tracked connections, and the kernel's probes for a moment.
It needs neither a cluster nor a config file, and no agent that runs. As root it sees more.
Exit code: 0 if the node is well, 1 if it is sick, 2 if nobody can tell.",
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
    let limit = args.timeout.to_std().unwrap_or_default();
    if args.looks {
        let verdict = block_on(look::look(limit)).flatten();
        let printed = verdict.and_then(|verdict| {
            let json = serde_json::to_string(&verdict)?;
            Ok(writeln!(stdout(), "{json}")?)
        });
        return match printed {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(NAME, format_args!("{error:#}"));
                ExitCode::from(UNKNOWN)
            }
        };
    }
    match block_on(ask(limit)).flatten() {
        Ok(verdict) => {
            print(args.json, &verdict, || {
                text::shown(&verdict, Timestamp::now())
            });
            ExitCode::from(match verdict.state {
                ScanState::Well => 0,
                ScanState::Sick => SICK,
                ScanState::Unknown => UNKNOWN,
            })
        }
        Err(error) => {
            complain(NAME, format_args!("nobody can tell: {error:#}"));
            ExitCode::from(UNKNOWN)
        }
    }
}

/// Lets another process look.
async fn ask(limit: Duration) -> anyhow::Result<ScanVerdict> {
    let program = ExternalProgram {
        path: "/proc/self/exe".to_owned(),
        args: vec![
            NAME.to_owned(),
            LOOK.to_owned(),
            format!("--timeout={}ms", limit.as_millis()),
        ],
        ..ExternalProgram::default()
    };
    let spawner = Spawner::default();
    let finished = exec::run(&spawner, program, limit + GRACE, LONGEST).await;
    let finished = finished.context("starting the process that looks")?;
    // It may hang after it has printed.
    if let Ok(verdict) = serde_json::from_slice(&finished.stdout) {
        return Ok(verdict);
    }
    let said = String::from_utf8_lossy(&finished.stderr);
    let said = said.lines().last().unwrap_or_default();
    if finished.timed_out {
        bail!("the process that looks does not answer: a disk or the kernel hangs");
    }
    bail!("the process that looks has failed: {said}")
}
