//! The formats in which programs write log lines today. The first bytes of a line tell them apart.

mod container;
mod klog;
mod syslog;

use std::borrow::Cow;

pub(super) use self::syslog::KERNEL;
use crate::go::layout::{Parsed, TimeLayout};

/// What a line says, as its format has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RecognisedLine<'l> {
    pub(super) time: Parsed,
    /// Who wrote it, without the number of the process. Not every format has it.
    pub(super) program: Option<&'l str>,
    /// The message. That of the kernel is without its time since boot.
    pub(super) message: Cow<'l, str>,
    /// What the line is a part of, if its format splits long lines.
    pub(super) part: Option<LinePart>,
}

/// A part of a line of a container, or the whole line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinePart {
    /// Where the container wrote it.
    pub(super) stream: OutputStream,
    /// Whether the line ends with this part.
    pub(super) is_last: bool,
}

/// Where a container writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputStream {
    Stdout,
    Stderr,
}

/// Every format: RFC 3164, RFC 3339 as rsyslog writes it, RFC 5424, CRI, JSON of Docker, klog.
const FORMATS: &[fn(&str) -> Option<RecognisedLine<'_>>] = &[
    syslog::rfc_3164,
    container::cri,
    syslog::rfc_3339,
    syslog::rfc_5424,
    container::docker,
    klog::klog,
];

/// What a part of a line contains that is not the last one.
pub(super) const PART_MARKS: [&str; 2] = ["stdout P", "stderr P"];

/// Whether a line may be a part of a longer one, and not the last part.
pub(super) fn may_be_part(line: &[u8]) -> bool {
    let is_mark = |text: &[u8]| PART_MARKS.iter().any(|mark| mark.as_bytes() == text);
    line.windows(PART_MARKS[0].len()).any(is_mark)
}

/// Reads a line in any of the formats.
pub(super) fn recognise(line: &str) -> Option<RecognisedLine<'_>> {
    FORMATS.iter().find_map(|format| format(line))
}

/// The time at the beginning of a text, and what comes after the blank behind it. The layout says how
/// it is written.
fn leading_time<'l>(line: &'l str, layout: &TimeLayout) -> Option<(Parsed, &'l str)> {
    let (time, rest) = line.split_once(' ')?;
    Some((layout.parse(time).ok()?, rest))
}

#[cfg(test)]
mod tests;
