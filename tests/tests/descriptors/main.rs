//! Standard output and standard error that fail, resources that run out, servers and clients that do not do
//! their part: the agent detects, answers and stops all the same, and reports or counts everything that it
//! has found.

mod crowd;
mod dead_disk;
mod elsewhere;
mod fates;
mod lab;
mod memory;
mod resources;
mod scripted_server;

use std::fs::{self, File};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use npd_tests::agent::get;
use npd_tests::harness::{self, Need, Test};
use tempfile::TempDir;

use self::lab::{Agent, Hostile, Output, SmallDisk, open, wait_until};

const TESTS: &[Test] = &[
    Test {
        name: "a_failing_standard_error_costs_log_lines_only",
        needs: &[Need::Agent],
        run: a_failing_standard_error_costs_log_lines_only,
    },
    Test {
        name: "a_failing_standard_output_costs_no_problem_that_is_not_counted",
        needs: &[Need::Agent],
        run: a_failing_standard_output_costs_no_problem_that_is_not_counted,
    },
    Test {
        name: "problems_are_printed_when_the_disk_has_room_again",
        needs: &[Need::Agent, Need::Root, Need::Tool("mount")],
        run: problems_are_printed_when_the_disk_has_room_again,
    },
    Test {
        name: "signals_that_mean_nothing_to_the_agent_are_harmless",
        needs: &[Need::Agent],
        run: signals_that_mean_nothing_to_the_agent_are_harmless,
    },
    resources::TEST,
    fates::TEST,
    elsewhere::TEST,
    memory::TEST,
    dead_disk::LOGS_AND_PLUGINS,
    dead_disk::STATS,
];

const ALL: [Hostile; 5] = [
    Hostile::FullPipe,
    Hostile::FullPipeWithoutBlocking,
    Hostile::ClosedPipe,
    Hostile::FullDevice,
    Hostile::ReadLater,
];

fn main() -> ExitCode {
    harness::parallel(TESTS)
}

fn a_failing_standard_error_costs_log_lines_only() -> anyhow::Result<()> {
    for stream in ALL {
        let check = || {
            let (reader, stderr) = open(stream)?;
            let mut agent = Agent::start(Stdio::null(), stderr)?;
            agent.find(10, 10)?;
            let lost = agent.log_lines_lost()?;
            let is_broken = matches!(stream, Hostile::ClosedPipe | Hostile::FullDevice);
            ensure!(is_broken == (lost > 0.0), "{lost} lines are lost");
            if stream == Hostile::ReadLater {
                let log = Output::read(reader)?;
                agent.stop()?;
                wait_until("the log is read", || {
                    Ok(log.text()?.contains("Stopping on SIGTERM"))
                })?;
            } else {
                agent.stop()?;
            }
            Ok(())
        };
        check().with_context(|| format!("standard error is a {stream:?}"))?;
    }
    Ok(())
}

/// How many lines the agent says that it could not print when it stopped.
fn given_up(log: &Path) -> anyhow::Result<u64> {
    let log = fs::read_to_string(log)?;
    let line = log
        .lines()
        .find(|line| line.contains("Stopping before everything is written"));
    let Some(line) = line else { return Ok(0) };
    let (_, lines) = line
        .rsplit_once("lines=")
        .context("it does not say how many")?;
    Ok(lines.trim().parse()?)
}

/// More than a pipe holds, and more than may wait.
const MANY: u64 = 3000;

fn a_failing_standard_output_costs_no_problem_that_is_not_counted() -> anyhow::Result<()> {
    for (stream, bytes) in ALL
        .into_iter()
        .flat_map(|stream| [(stream, 50), (stream, 2000)])
    {
        let check = || {
            let folder = TempDir::new()?;
            let log = folder.path().join("log");
            let (reader, stdout) = open(stream)?;
            let mut agent = Agent::start(stdout, File::create(&log)?.into())?;
            agent.find(MANY, bytes)?;
            let dropped = agent.dropped()?;
            ensure!((bytes > 1000) == (dropped > 0), "{dropped} are dropped");
            let mut printed = 0;
            if stream == Hostile::ReadLater {
                let output = Output::read(reader)?;
                wait_until("everything is printed", || {
                    printed = output.lines()?;
                    Ok(printed + dropped >= MANY)
                })?;
            }
            agent.stop()?;
            let left = given_up(&log)?;
            ensure!(
                printed + dropped + left == MANY,
                "{printed} printed, {dropped} dropped, {left} given up: {}",
                fs::read_to_string(&log)?
            );
            Ok(())
        };
        check()
            .with_context(|| format!("standard output is a {stream:?}, {bytes} bytes a line"))?;
    }
    Ok(())
}

fn problems_are_printed_when_the_disk_has_room_again() -> anyhow::Result<()> {
    let disk = SmallDisk::mount()?;
    let (ballast, path) = (disk.0.path().join("ballast"), disk.0.path().join("output"));
    fs::write(&ballast, vec![0; 120 << 10])?;
    let output = File::options().create(true).append(true).open(&path)?;
    let log = tempfile::NamedTempFile::new()?;
    let mut agent = Agent::start(output.into(), log.reopen()?.into())?;
    agent.find(500, 50)?;
    let state = || -> anyhow::Result<String> {
        let page = get(agent.port.number, "/status")?;
        let page: serde_json::Value = serde_json::from_str(&page)?;
        let state = page["exporters"]["terminal"].as_str();
        Ok(state.context("the exporter is not there")?.to_owned())
    };
    wait_until("the failure is shown", || {
        Ok(state()?.contains("No space left on device"))
    })?;
    fs::remove_file(&ballast)?;
    wait_until("everything is printed", || {
        Ok(fs::read_to_string(&path)?.matches("\"Bad\"").count() == 500)
    })?;
    wait_until("the exporter is well", || Ok(state()? == "well"))?;
    ensure!(agent.dropped()? == 0);
    agent.stop()?;
    ensure!(given_up(log.path())? == 0);
    // Nothing was written twice, and no line is torn.
    for line in fs::read_to_string(&path)?.lines() {
        serde_json::from_str::<serde_json::Value>(line).with_context(|| line.to_owned())?;
    }
    Ok(())
}

fn signals_that_mean_nothing_to_the_agent_are_harmless() -> anyhow::Result<()> {
    let mut agent = Agent::start(Stdio::null(), Stdio::null())?;
    agent.find(1, 1)?;
    for signal in [
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGPIPE,
        Signal::SIGIO,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
    ] {
        agent.signal(signal)?;
    }
    agent.find(2, 1)?;
    agent.stop()
}
