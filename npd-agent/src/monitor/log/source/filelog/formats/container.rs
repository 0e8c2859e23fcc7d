//! What container runtimes write for the output of a container.

use std::borrow::Cow;

use serde::Deserialize;

use super::syslog::RFC_3339_LAYOUT;
use super::{LinePart, OutputStream, RecognisedLine};

/// `2026-11-24T12:00:00.123456789Z stdout F message`: the kubelet's format. `P` in place of `F` says that
/// the line goes on in the next one of the same stream.
pub(super) fn cri(line: &str) -> Option<RecognisedLine<'_>> {
    if !line.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (time, rest) = line.split_once(' ')?;
    let (stream, rest) = match rest.split_at_checked("stdout ".len())? {
        ("stdout ", rest) => (OutputStream::Stdout, rest),
        ("stderr ", rest) => (OutputStream::Stderr, rest),
        _ => return None,
    };
    let (tags, message) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_last = match tags.split(':').next() {
        Some("F") => true,
        Some("P") => false,
        _ => return None,
    };
    Some(RecognisedLine {
        time: RFC_3339_LAYOUT.parse(time).ok()?,
        program: None,
        message: Cow::Borrowed(message),
        part: Some(LinePart { stream, is_last }),
    })
}

/// A line of Docker's `json-file` log.
#[derive(Deserialize)]
struct DockerLine<'l> {
    #[serde(borrow)]
    log: Cow<'l, str>,
    #[serde(borrow)]
    time: Cow<'l, str>,
}

/// `{"log":"message\n","stream":"stdout","time":"2026-11-24T12:00:00.123456789Z"}`.
pub(super) fn docker(line: &str) -> Option<RecognisedLine<'_>> {
    if !line.starts_with('{') {
        return None;
    }
    let DockerLine { log, time } = serde_json::from_str(line).ok()?;
    let time = RFC_3339_LAYOUT.parse(&time).ok()?;
    let message = match log {
        Cow::Borrowed(log) => Cow::Borrowed(log.trim_end_matches(['\r', '\n'])),
        Cow::Owned(mut log) => {
            log.truncate(log.trim_end_matches(['\r', '\n']).len());
            Cow::Owned(log)
        }
    };
    Some(RecognisedLine {
        time,
        program: None,
        message,
        part: None,
    })
}
