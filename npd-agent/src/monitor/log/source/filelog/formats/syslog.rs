//! What syslog daemons write.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::{RecognisedLine, leading_time};
use crate::go::layout::{Parsed, TimeLayout};

/// The program whose lines come from the kernel.
pub(in super::super) const KERNEL: &str = "kernel";

/// How long a time of RFC 3164 is.
const BSD_TIME: usize = "Jan _2 15:04:05".len();

static BSD_LAYOUT: LazyLock<TimeLayout> = LazyLock::new(|| TimeLayout::new("Jan _2 15:04:05"));

/// A time of RFC 3339, with any number of digits after the second.
pub(super) static RFC_3339_LAYOUT: LazyLock<TimeLayout> =
    LazyLock::new(|| TimeLayout::new("2006-01-02T15:04:05Z07:00"));

/// `Nov 24 12:00:00 node kernel: [   12.345678] message`, the format of syslog before 2022.
pub(super) fn rfc_3164(line: &str) -> Option<RecognisedLine<'_>> {
    let line = after_priority(line).unwrap_or(line);
    let (time, rest) = line.split_at_checked(BSD_TIME)?;
    let rest = rest.strip_prefix(' ')?;
    // Most lines of other formats differ in the first letter.
    time.starts_with(|first: char| first.is_ascii_uppercase())
        .then(|| BSD_LAYOUT.parse(time).ok())?
        .map(|time| after_time(time, rest))
}

/// `2026-11-24T12:00:00.123456+00:00 node kernel: [   12.345678] message`, what rsyslog writes to files
/// unless it is told otherwise.
pub(super) fn rfc_3339(line: &str) -> Option<RecognisedLine<'_>> {
    let line = after_priority(line).unwrap_or(line);
    line.starts_with(|first: char| first.is_ascii_digit())
        .then(|| leading_time(line, &RFC_3339_LAYOUT))?
        .map(|(time, rest)| after_time(time, rest))
}

/// `<4>1 2026-11-24T12:00:00.123456+00:00 node kernel - - - message`.
pub(super) fn rfc_5424(line: &str) -> Option<RecognisedLine<'_>> {
    let line = after_priority(line)?.strip_prefix("1 ")?;
    let (time, line) = leading_time(line, &RFC_3339_LAYOUT)?;
    let [_host, program, _process, _kind, rest] = fields(line)?;
    let message = after_structured_data(rest)?;
    let message = message.strip_prefix('\u{feff}').unwrap_or(message);
    Some(syslog(time, Some(program), message))
}

/// What follows `<4>`: a number for facility and severity.
fn after_priority(line: &str) -> Option<&str> {
    let (priority, rest) = line.strip_prefix('<')?.split_once('>')?;
    let is_number = priority.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && (1..=3).contains(&priority.len())).then_some(rest)
}

/// `HOST PROGRAM[PROCESS]: MESSAGE`. Some daemons write no host, and Busybox writes `kern.warn` after it.
/// A line such as `-- MARK --` has no program.
fn after_time(time: Parsed, line: &str) -> RecognisedLine<'_> {
    let mut rest = line;
    for _ in 0..3 {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        if let Some(tag) = word.strip_suffix(':') {
            let program = tag.split_once('[').map_or(tag, |(program, _)| program);
            return syslog(time, Some(program), after);
        }
        rest = after;
    }
    let message = line.split_once(' ').map_or("", |(_host, message)| message);
    syslog(time, None, message)
}

fn syslog<'l>(time: Parsed, program: Option<&'l str>, message: &'l str) -> RecognisedLine<'l> {
    let message = message.strip_prefix(' ').unwrap_or(message);
    let message = match program {
        Some(KERNEL) => after_uptime(message),
        _ => message,
    };
    RecognisedLine {
        time,
        program,
        message: Cow::Borrowed(message),
        part: None,
    }
}

/// The kernel's text without `[   12.345678] `, and without `[   12.345678][    T1] `, which says too
/// which task or processor wrote it.
fn after_uptime(text: &str) -> &str {
    let bracketed = |text: &'_ str| -> Option<(usize, usize)> {
        let end = text.strip_prefix('[')?.find(']')?;
        Some((1, end + 1))
    };
    let Some((from, to)) = bracketed(text) else {
        return text;
    };
    let uptime = text[from..to].trim_start();
    let is_uptime = uptime.contains('.')
        && uptime
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !is_uptime {
        return text;
    }
    let rest = &text[to + 1..];
    let caller = bracketed(rest).filter(|&(from, to)| {
        let caller = rest[from..to].trim_start();
        caller.strip_prefix(['T', 'C']).is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    });
    let rest = caller.map_or(rest, |(_, to)| &rest[to + 1..]);
    rest.strip_prefix(' ').unwrap_or(rest)
}

/// The first four words, and the rest.
fn fields(line: &str) -> Option<[&str; 5]> {
    let mut words = line.splitn(5, ' ');
    let mut next = || words.next();
    Some([next()?, next()?, next()?, next()?, next()?])
}

/// What follows `-`, or `[id name="value"][id …]`, and the blank behind it.
fn after_structured_data(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    if rest.len() == text.len() {
        while rest.starts_with('[') {
            rest = &rest[end_of_element(rest)?..];
        }
    }
    if rest.len() == text.len() {
        return None;
    }
    rest.strip_prefix(' ').or(rest.is_empty().then_some(rest))
}

/// The length of the element `[id name="value"]` that `text` begins with. In a value, `\` is before `"`, `\` and `]`.
fn end_of_element(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b']' if !quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}
