//! Runs programs that run tests, and takes note of what they print.

use std::io::{PipeReader, Read as _, Write as _};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use xshell::Cmd;

/// How long after a program's end the last that it printed may come.
const LATE: Duration = Duration::from_secs(10);

/// What a program has printed, and whether it has succeeded.
pub(super) struct Run {
    pub(super) output: String,
    pub(super) succeeded: bool,
}

/// Runs tests and prints what they print.
pub(super) fn shown(tests: Cmd<'_>) -> anyhow::Result<Run> {
    run(tests, false)
}

/// Runs tests and prints nothing: something else is being shown.
pub(super) fn silent(tests: Cmd<'_>) -> anyhow::Result<Run> {
    run(tests, true)
}

#[expect(
    clippy::disallowed_types,
    reason = "xshell cannot read and print what a program prints"
)]
fn run(tests: Cmd<'_>, is_silent: bool) -> anyhow::Result<Run> {
    let (from, to) = std::io::pipe().context("making a pipe")?;
    let mut command = std::process::Command::from(tests);
    if is_silent {
        command.stderr(to.try_clone().context("copying a pipe")?);
    }
    command.stdout(to);
    let mut tests = command.spawn().context("starting the tests")?;
    // It holds the pipe open.
    drop(command);

    let output = Arc::new(Mutex::new(Vec::new()));
    let (reading, is_read) = channel::<()>();
    thread::spawn({
        let output = Arc::clone(&output);
        move || {
            read(from, &output, is_silent);
            drop(reading);
        }
    });
    let status = tests.wait().context("waiting for the tests")?;
    // A process that a broken test has left behind may hold the pipe open, too.
    is_read.recv_timeout(LATE).ok();
    let output = output.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Run {
        output: String::from_utf8_lossy(&output).into_owned(),
        succeeded: status.success(),
    })
}

/// Not by lines: the name of a test that is running is the beginning of one.
fn read(mut from: PipeReader, output: &Mutex<Vec<u8>>, is_silent: bool) {
    let mut screen = std::io::stdout();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let piece = &buffer[..length];
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        output.extend(piece);
        if !is_silent {
            // Without a screen the tests run all the same.
            screen.write_all(piece).ok();
            screen.flush().ok();
        }
    }
}
