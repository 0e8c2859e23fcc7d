//! Turns the end of a plugin into a result. All texts here are NPD's.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use super::limits::sentence;
use crate::exec::enter_cgroup::NOT_STARTED;
use crate::exec::{Finished, RunError};
use crate::go::quote::quote;
use crate::problem::ConditionStatus;

/// How many bytes of each output of a plugin are read.
pub(super) const OUTPUT_KEPT: usize = 4096;

/// The result of a plugin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PluginResult {
    /// Whether there is a problem.
    pub(super) present: ConditionStatus,
    /// The plugin's message, or ours if it has none.
    pub(super) message: String,
}

impl PluginResult {
    /// A result about the plugin itself and not about the node.
    fn failed(message: &str) -> Self {
        Self {
            present: ConditionStatus::Unknown,
            message: message.to_owned(),
        }
    }

    /// The result of a plugin that was not started because earlier runs of it still exist.
    pub(super) fn hung(path: &str, runs: usize) -> Self {
        Self::failed(&format!(
            "CheckHung: plugin {} was not started, {runs} earlier runs survive SIGKILL",
            quote(path)
        ))
    }
}

/// The result of the plugin at `path`. The message has at most `max_output` bytes of the plugin's output;
/// fixed texts are never cut.
pub(super) fn answer(
    outcome: &Result<Finished, RunError>,
    path: &str,
    max_output: usize,
) -> PluginResult {
    let over = match outcome {
        Ok(over) => over,
        Err(RunError::NotStarted(_)) => {
            return PluginResult::failed(NOT_STARTED);
        }
        Err(RunError::Lost(_)) => {
            return PluginResult::failed("Error in waiting for plugin. Please check the error log");
        }
    };
    let Finished {
        status,
        timed_out,
        stdout,
        limit,
        ..
    } = over;
    if *timed_out && status.is_some_and(|status| status.success()) {
        // The plugin ended well, but left a process behind that holds its output open.
        return PluginResult::failed("Error in waiting for plugin. Please check the error log");
    }
    let present = match status.and_then(|status| status.code()) {
        Some(0) => ConditionStatus::False,
        Some(1) => ConditionStatus::True,
        _ => ConditionStatus::Unknown,
    };
    let output = text(stdout);
    let output = cut(&output, max_output);
    let mut message = if *timed_out {
        let (path, state, output) = (quote(path), state(*status), quote(output));
        format!("Timeout when running plugin {path}: state - {state}. output - {output}")
    } else {
        output.to_owned()
    };
    // If a plugin reports no problem, the limit did not matter.
    if let Some(limit) = limit.filter(|_| present != ConditionStatus::False) {
        message = [message, sentence(limit)]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
    }
    PluginResult { present, message }
}

/// The output, without white space at both ends. If the limit cut a character in two, it is removed.
pub(super) fn text(output: &[u8]) -> String {
    let whole = match std::str::from_utf8(output) {
        Err(error) if error.error_len().is_none() => &output[..error.valid_up_to()],
        _ => output,
    };
    String::from_utf8_lossy(whole).trim().to_owned()
}

fn cut(message: &str, max: usize) -> &str {
    &message[..message.floor_char_boundary(max)]
}

/// An exit status as Go's `ProcessState.String` prints it. Without a status the program still exists; NPD
/// would wait for it.
fn state(status: Option<ExitStatus>) -> String {
    let Some(status) = status else {
        return "survives SIGKILL".to_owned();
    };
    let Some(signal) = status.signal() else {
        return format!("exit status {}", status.code().unwrap_or_default());
    };
    let dumped = if status.core_dumped() {
        " (core dumped)"
    } else {
        ""
    };
    let name = match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        10 => "user defined signal 1",
        11 => "segmentation fault",
        12 => "user defined signal 2",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        other => return format!("signal: signal {other}{dumped}"),
    };
    format!("signal: {name}{dumped}")
}

#[cfg(test)]
mod tests;
