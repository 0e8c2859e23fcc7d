//! Finds time and message in a line of a log file.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use regex::Regex;

use super::formats::{KERNEL, LinePart, RecognisedLine, recognise};
use crate::go::layout::{Parsed, TimeLayout};

/// How the lines of a file are read; a config file's `pluginConfig`.
#[derive(Clone, Debug)]
pub(crate) enum LineTranslator {
    /// As the config says. A line that is otherwise is recognised if possible.
    Described(DescribedFormat),
    /// Each line is recognised.
    Recognised {
        /// Only lines of this program count.
        program: Option<String>,
    },
}

/// The format of lines as NPD's configs describe it.
#[derive(Clone, Debug)]
pub(crate) struct DescribedFormat {
    timestamp: Regex,
    message: Regex,
    layout: TimeLayout,
    /// Whether the message of a line of the kernel is everything that the kernel wrote.
    takes_all_of_kernel: bool,
}

/// What a line is to the rules of a config file.
#[derive(Debug)]
pub(super) enum TranslatedLine<'l> {
    Message(LineMessage<'l>),
    /// A line of a container, or a part of it: see [`LineTranslator::of_recognised`].
    Part(LinePart, RecognisedLine<'l>),
    /// A line of another program, or one that the config leaves out.
    Other,
    NotUnderstood,
}

/// The message of a line, and its time as it is written.
#[derive(Debug)]
pub(super) struct LineMessage<'l> {
    pub(super) text: Cow<'l, str>,
    pub(super) time: Parsed,
}

impl LineTranslator {
    /// Whether both read every line in the same way.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Described(one), Self::Described(other)) => one.is_like(other),
            (Self::Recognised { program: one }, Self::Recognised { program: other }) => {
                one == other
            }
            _ => false,
        }
    }

    /// What a line says.
    pub(super) fn translate<'l>(&self, line: &'l str) -> TranslatedLine<'l> {
        if let Self::Described(format) = self
            && let Some(message) = format.read(line)
        {
            return TranslatedLine::Message(message);
        }
        match recognise(line) {
            Some(recognised) => match recognised.part {
                Some(part) => TranslatedLine::Part(part, recognised),
                None => self.of_recognised(recognised),
            },
            None => TranslatedLine::NotUnderstood,
        }
    }

    /// The time and the message of a line that is read at `now`, if it counts. A time is local in `zone`
    /// unless the line has a zone. Parts of lines are not joined.
    pub(crate) fn entry<'l>(
        &self,
        line: &'l str,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Option<(Timestamp, Cow<'l, str>)> {
        let translated = match self.translate(line) {
            TranslatedLine::Part(_, recognised) => self.of_recognised(recognised),
            translated => translated,
        };
        let TranslatedLine::Message(LineMessage { text, time }) = translated else {
            return None;
        };
        Some((time.to_timestamp(zone, now).ok()?, text))
    }

    /// What a line says that was recognised, of which all parts are joined.
    pub(super) fn of_recognised<'l>(&self, line: RecognisedLine<'l>) -> TranslatedLine<'l> {
        let time = line.time;
        let text = match self {
            Self::Described(format) => format.message_in(line),
            Self::Recognised { program: None } => Some(line.message),
            Self::Recognised { program } => {
                (line.program == program.as_deref()).then_some(line.message)
            }
        };
        text.map_or(TranslatedLine::Other, |text| {
            TranslatedLine::Message(LineMessage { text, time })
        })
    }

    /// The time of a line, also if its message is not understood. It is read at `now`. It is a local time in
    /// `zone` unless the line has a zone.
    pub(super) fn time(&self, line: &str, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        let described = match self {
            Self::Described(format) => format.time(line),
            Self::Recognised { .. } => None,
        };
        let time = described.or_else(|| Some(recognise(line)?.time));
        time?.to_timestamp(zone, now).ok()
    }
}

impl DescribedFormat {
    /// `timestamp` matches the time: the last group, or the whole match if there is no group. `message` matches
    /// the message, in the same way. `layout` says how the time is written.
    pub(crate) fn new(timestamp: Regex, message: Regex, layout: TimeLayout) -> Self {
        let any = "any text";
        Self {
            takes_all_of_kernel: kernel_message(&message, any).is_some_and(|text| text == any),
            timestamp,
            message,
            layout,
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        let same = |one: &Regex, other: &Regex| one.as_str() == other.as_str();
        same(&self.timestamp, &other.timestamp)
            && same(&self.message, &other.message)
            && self.layout == other.layout
    }

    fn time(&self, line: &str) -> Option<Parsed> {
        self.layout.parse(last_group(&self.timestamp, line)?).ok()
    }

    /// What a line says that is as described.
    fn read<'l>(&self, line: &'l str) -> Option<LineMessage<'l>> {
        Some(LineMessage {
            text: Cow::Borrowed(last_group(&self.message, line)?),
            time: self.time(line)?,
        })
    }

    /// The message in a line of another format. What the kernel wrote is read as syslog had it when NPD's
    /// configs were made. What another program wrote counts only if the line is as described.
    fn message_in<'l>(&self, line: RecognisedLine<'l>) -> Option<Cow<'l, str>> {
        match line.program {
            Some(KERNEL) if self.takes_all_of_kernel => Some(line.message),
            Some(KERNEL) => kernel_message(&self.message, &line.message).map(Cow::Owned),
            Some(_) => None,
            None => {
                last_group(&self.message, &line.message).map(|text| Cow::Owned(text.to_owned()))
            }
        }
    }
}

/// What the last group of `pattern` matches: nothing, if it is in a branch that was not taken.
fn last_group<'l>(pattern: &Regex, line: &'l str) -> Option<&'l str> {
    match pattern.captures_len() - 1 {
        0 => pattern.find(line).map(|found| found.as_str()),
        last => {
            let found = pattern.captures(line)?;
            Some(found.get(last).map_or("", |group| group.as_str()))
        }
    }
}

/// What `message` matches in a text of the kernel, as syslog had it when NPD's configs were made.
fn kernel_message(message: &Regex, text: &str) -> Option<String> {
    let line = format!("{KERNEL}: [    0.000000] {text}");
    last_group(message, &line).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::go::regex::compile;

    fn translator(timestamp: &str, message: &str, layout: &str) -> LineTranslator {
        LineTranslator::Described(DescribedFormat::new(
            compile(timestamp).unwrap(),
            compile(message).unwrap(),
            TimeLayout::new(layout),
        ))
    }

    #[track_caller]
    fn check(translator: &LineTranslator, line: &str, expect: &Expect) {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        expect.assert_eq(&match translator.translate(line) {
            TranslatedLine::Message(LineMessage { text, time }) => {
                let time = time.to_timestamp(&TimeZone::UTC, now).unwrap();
                assert_eq!(translator.time(line, &TimeZone::UTC, now), Some(time));
                format!("{time}: {text:?}")
            }
            TranslatedLine::Part(part, _) => format!("{part:?}"),
            TranslatedLine::Other => "of another program".to_owned(),
            TranslatedLine::NotUnderstood => "not understood".to_owned(),
        });
    }

    #[test]
    fn npds_own_formats() {
        let syslog = translator("^.{15}", r"kernel: \[.*\] (.*)", "Jan _2 15:04:05");
        check(
            &syslog,
            "Nov  4 11:59:59 node kernel: [ 12.5] task x:1 blocked",
            &expect![[r#"2026-11-04T11:59:59Z: "task x:1 blocked""#]],
        );
        check(
            &syslog,
            "Dec 31 23:59:59 node kernel: [ 12.5] last year",
            &expect![[r#"2025-12-31T23:59:59Z: "last year""#]],
        );
        check(
            &syslog,
            "Nov 24 11:59:59 node sshd: hello",
            &expect!["of another program"],
        );
        check(&syslog, "no line of syslog", &expect!["not understood"]);
        let docker = translator(
            r#"^time="(\S*)""#,
            r#"msg="([^\n]*)""#,
            "2006-01-02T15:04:05.999999999-07:00",
        );
        check(
            &docker,
            r#"time="2026-11-24T13:00:00.5+01:00" level=error msg="it is \"so\"""#,
            &expect![[r#"2026-11-24T12:00:00.5Z: "it is \\\"so\\\"""#]],
        );
        check(&docker, r#"time="" msg="""#, &expect!["not understood"]);
    }

    #[test]
    fn a_group_that_takes_no_part_is_empty() {
        let either = translator("^(.{8})", "a(b)?|c(d)?", "15:04:05");
        check(&either, "ab", &expect!["not understood"]);
        check(&either, "cd", &expect!["not understood"]);
    }
}
