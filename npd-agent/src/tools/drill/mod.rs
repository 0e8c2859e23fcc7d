//! `drill`: makes real faults, each in a place of its own, and measures until the running agent reports them.
//!
//! Another process waits for the end of this one and then undoes everything, so this happens also when this
//! one is killed. If both are killed, the next drill does it.

mod agent;
mod fault;
mod place;
mod program;

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Write as _, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::unistd::geteuid;
use serde_json::json;

use self::agent::{DrilledAgent, FaultReport};
use self::fault::{DrillFault, FAULTS};
use self::place::DrillPlace;
use self::program::Guardian;
use crate::go::duration::GoDuration;
use crate::go::pflag::{Flag, Program, boolean, duration, integer, string};
use crate::node::Roots;
use crate::program::{BAD_COMMAND_LINE, Tool, block_on, complain, read};

/// The program.
pub const TOOL: Tool = Tool {
    name: NAME,
    help: || program().help(),
    run,
};

const NAME: &str = "drill";

/// Names every fault.
const ALL: &str = "all";

/// What other processes of this program do: undo everything when standard input ends, take memory in the
/// cgroup with this list of processes, and make this file.
const UNDO: &str = "--undo";
const HOG: &str = "--hog";
const TOUCH: &str = "--touch";

/// The exit codes if a fault was not reported, and if there was no drill.
const MISSED: u8 = 1;
const REFUSED: u8 = 2;

#[derive(Debug, Default)]
struct DrillArgs {
    address: String,
    port: i64,
    prometheus_port: i64,
    patience: GoDuration,
    json: bool,
    undo: bool,
    hog: String,
    touch: String,
}

fn program() -> Program<DrillArgs> {
    let flags = [
        Flag::new(
            "--address",
            "ADDRESS",
            "127.0.0.1",
            "The address of the agent: its own --address",
            |args: &mut DrillArgs, _, value| string(&mut args.address, value),
        ),
        Flag::new(
            "--port",
            "PORT",
            "20256",
            "The port of the agent: its own --port",
            |args, _, value| integer(&mut args.port, value),
        ),
        Flag::new(
            "--prometheus-port",
            "PORT",
            "20257",
            "The port of its metrics: its own --prometheus-port",
            |args, _, value| integer(&mut args.prometheus_port, value),
        ),
        Flag::new(
            "--patience",
            "DURATION",
            "2m",
            "How long to wait for the report of a fault",
            |args, _, value| duration(&mut args.patience, value),
        ),
        Flag::boolean(
            "--json",
            "false",
            "Print JSON, a line for each fault",
            |args: &mut DrillArgs, _, value| boolean(&mut args.json, value),
        ),
        Flag::boolean(
            UNDO,
            "false",
            "Undo everything",
            |args: &mut DrillArgs, _, value| boolean(&mut args.undo, value),
        )
        .hidden(),
        Flag::new(
            HOG,
            "FILE",
            "",
            "Take memory",
            |args: &mut DrillArgs, _, value| string(&mut args.hog, value),
        )
        .hidden(),
        Flag::new(
            TOUCH,
            "FILE",
            "",
            "Make a file",
            |args: &mut DrillArgs, _, value| string(&mut args.touch, value),
        )
        .hidden(),
    ];
    Program {
        name: NAME,
        about: "Makes real faults on this node, each in a place of its own, measures how long the running agent
takes to report them, and undoes them, also when it is killed. It needs root, losetup, mkfs.ext4,
mount, umount and fsfreeze, and refuses if the node is not well.
Faults: oom, io, readonly, hung (takes half a minute), all.
Exit code: 0 if each fault was reported, 1 if one was not, 2 if there was no drill.",
        words: " FAULT...",
        after: "",
        sections: vec![("Flags", flags.to_vec())],
    }
}

fn run(line: Vec<OsString>) -> ExitCode {
    let (args, words) = match read(&program(), line) {
        Ok(line) => line,
        Err(code) => return code,
    };
    let mut place = DrillPlace::new(&Roots::from_env(|name| std::env::var(name).ok()));
    let done = if args.undo {
        undo_at_the_end(&place).map(|()| true)
    } else if !args.hog.is_empty() {
        fault::hog(Path::new(&args.hog)).map(|()| true)
    } else if !args.touch.is_empty() {
        let made = File::create(&args.touch).context("making a file");
        made.map(|_| true)
    } else {
        match chosen(&words.words) {
            Ok(faults) => drill(&args, &faults, &mut place),
            Err(error) => {
                complain(NAME, format_args!("{error:#}; see drill --help"));
                return ExitCode::from(BAD_COMMAND_LINE);
            }
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(MISSED),
        Err(error) => {
            complain(NAME, format_args!("{error:#}"));
            ExitCode::from(REFUSED)
        }
    }
}

/// The faults that the command line names.
fn chosen(words: &[String]) -> anyhow::Result<Vec<&'static DrillFault>> {
    ensure!(!words.is_empty(), "name the faults to make, or all");
    if words.iter().any(|word| word == ALL) {
        return Ok(FAULTS.iter().collect());
    }
    let fault = |word: &String| {
        let known = FAULTS.iter().find(|fault| fault.name == word);
        known.with_context(|| format!("there is no fault {word:?}"))
    };
    words.iter().map(fault).collect()
}

/// Waits until whoever has started this process has ended, and undoes everything.
fn undo_at_the_end(place: &DrillPlace) -> anyhow::Result<()> {
    let mut rest = Vec::new();
    stdin()
        .read_to_end(&mut rest)
        .context("waiting for the end of the drill")?;
    place.undo()
}

/// Makes the faults, one after the other. Returns whether the agent has reported all of them.
fn drill(args: &DrillArgs, faults: &[&DrillFault], place: &mut DrillPlace) -> anyhow::Result<bool> {
    ensure!(geteuid().is_root(), "a drill needs root");
    let agent = DrilledAgent::new(&args.address, args.port, args.prometheus_port);
    block_on(agent.ensure_well())??;
    let _only = place.enter()?;
    // What an earlier drill has left.
    place
        .undo()
        .context("undoing what an earlier drill has left")?;
    let mut all_reported = true;
    for fault in faults {
        place.make_folder()?;
        let guardian = Guardian::start()?;
        place.leash = Some(guardian.leash()?);
        complain(NAME, format_args!("{}: {} …", fault.name, fault.about));
        let patience = args.patience.to_std().unwrap_or_default();
        let before = block_on(agent.events())??;
        let report = fault
            .make(place)
            .and_then(|hit| block_on(agent.wait_for(fault, &hit, &before, patience)).flatten());
        place.leash = None;
        guardian.undo()?;
        all_reported &= report.is_ok();
        print(fault, &report, args.json);
    }
    Ok(all_reported)
}

fn print(fault: &DrillFault, report: &anyhow::Result<FaultReport>, json: bool) {
    let millis = |time: Duration| time.as_millis();
    let line = match (report, json) {
        (Ok(report), true) => json!({
            "fault": fault.name,
            "reported_ms": millis(report.shown),
            "acknowledged_ms": report.acknowledged.map(millis),
            "message": report.message,
        })
        .to_string(),
        (Err(error), true) => {
            json!({"fault": fault.name, "error": format!("{error:#}")}).to_string()
        }
        (Ok(report), false) => {
            let acknowledged = report.acknowledged.map_or_else(
                || "no cluster".to_owned(),
                |time| format!("{} ms until the API server had it", millis(time)),
            );
            format!(
                "✔ {}: {} ms until the agent reported it, {acknowledged}\n    {}",
                fault.name,
                millis(report.shown),
                report.message
            )
        }
        (Err(error), false) => format!("✘ {}: {error:#}", fault.name),
    };
    // Who does not read it still gets the exit code.
    drop(writeln!(stdout(), "{line}"));
}
