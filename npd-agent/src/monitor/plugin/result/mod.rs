//! From how a plugin ended to what it says of the node. Everything here is NPD's wording.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use crate::exec::enter::NOT_STARTED;
use crate::exec::{Finished, RunError};
use crate::go::quote::quote;
use crate::problem::ConditionStatus;

/// How many bytes of each output of a plugin are kept.
pub(super) const OUTPUT_KEPT: usize = 4096;

/// What a plugin says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PluginResult {
    /// Whether the problem is there.
    pub(super) present: ConditionStatus,
    /// In the plugin's words, or in ours if it had none.
    pub(super) message: String,
}

impl PluginResult {
    /// An answer about the plugin itself rather than the node.
    fn failed(message: &str) -> Self {
        Self {
            present: ConditionStatus::Unknown,
            message: message.to_owned(),
        }
    }

    /// The answer of a plugin that was not started because earlier runs of it are still there.
    pub(super) fn hung(path: &str, runs: usize, max_output: usize) -> Self {
        let message = format!(
            "CheckHung: plugin {} was not started, {runs} earlier runs survive SIGKILL",
            quote(path)
        );
        Self::failed(cut(&message, max_output))
    }
}

/// What the plugin at `path` says by the way it ended. The message has at most `max_output` bytes,
/// except for NPD's fixed texts.
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
        ..
    } = over;
    if *timed_out && status.is_some_and(|status| status.success()) {
        // The plugin ended well, but left something behind that kept its output open.
        return PluginResult::failed("Error in waiting for plugin. Please check the error log");
    }
    let message = if *timed_out {
        timeout(path, &state(*status), stdout)
    } else {
        text(stdout)
    };
    PluginResult {
        present: match status.and_then(|status| status.code()) {
            Some(0) => ConditionStatus::False,
            Some(1) => ConditionStatus::True,
            _ => ConditionStatus::Unknown,
        },
        message: cut(&message, max_output).to_owned(),
    }
}

fn timeout(path: &str, state: &str, stdout: &[u8]) -> String {
    let (path, output) = (quote(path), quote(&text(stdout)));
    format!("Timeout when running plugin {path}: state - {state}. output - {output}")
}

/// The output, without blanks around it. A character that was cut in two when the output was
/// bounded is left out.
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

/// An exit status as Go's `ProcessState.String` words it. Without one the program is still there,
/// which NPD would wait for.
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
