//! Finds time and message in a line of a log file.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use regex::Regex;

use crate::go::layout::TimeLayout;

/// Finds the time and the message in a line; a config file's `pluginConfig`.
#[derive(Clone, Debug)]
pub(crate) struct LineTranslator {
    /// Matches the time: the last group, or the whole match if there is no group.
    pub(crate) timestamp: Regex,
    /// Matches the message, in the same way.
    pub(crate) message: Regex,
    /// How the time is written.
    pub(crate) layout: TimeLayout,
}

impl LineTranslator {
    /// The message of a line.
    pub(crate) fn message<'l>(&self, line: &'l str) -> Option<&'l str> {
        last_group(&self.message, line)
    }

    /// The time of a line that is read at `now`. It is a local time in `zone` unless the line has a zone.
    pub(crate) fn time(&self, line: &str, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        let written = last_group(&self.timestamp, line)?;
        self.layout
            .parse(written)
            .ok()?
            .to_timestamp(zone, now)
            .ok()
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

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::go::regex::compile;

    fn translator(timestamp: &str, message: &str, layout: &str) -> LineTranslator {
        LineTranslator {
            timestamp: compile(timestamp).unwrap(),
            message: compile(message).unwrap(),
            layout: TimeLayout::new(layout),
        }
    }

    #[track_caller]
    fn check(translator: &LineTranslator, line: &str, expect: &Expect) {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let time = translator.time(line, &TimeZone::UTC, now);
        let time = time.map_or_else(|| "no time".to_owned(), |time| time.to_string());
        expect.assert_eq(&format!("{time}: {:?}", translator.message(line)));
    }

    #[test]
    fn npds_own_formats() {
        let syslog = translator("^.{15}", r"kernel: \[.*\] (.*)", "Jan _2 15:04:05");
        check(
            &syslog,
            "Nov  4 11:59:59 node kernel: [ 12.5] task x:1 blocked",
            &expect![[r#"2026-11-04T11:59:59Z: Some("task x:1 blocked")"#]],
        );
        check(
            &syslog,
            "Dec 31 23:59:59 node kernel: [ 12.5] last year",
            &expect![[r#"2025-12-31T23:59:59Z: Some("last year")"#]],
        );
        check(
            &syslog,
            "Nov 24 11:59:59 node sshd: hello",
            &expect!["2026-11-24T11:59:59Z: None"],
        );
        check(&syslog, "no line of syslog", &expect!["no time: None"]);
        let docker = translator(
            r#"^time="(\S*)""#,
            r#"msg="([^\n]*)""#,
            "2006-01-02T15:04:05.999999999-07:00",
        );
        check(
            &docker,
            r#"time="2026-11-24T13:00:00.5+01:00" level=error msg="it is \"so\"""#,
            &expect![[r#"2026-11-24T12:00:00.5Z: Some("it is \\\"so\\\"")"#]],
        );
        check(
            &docker,
            r#"time="" msg="""#,
            &expect![[r#"no time: Some("")"#]],
        );
    }

    #[test]
    fn a_group_that_takes_no_part_is_empty() {
        let either = translator("^(.{8})", "a(b)?|c(d)?", "15:04:05");
        check(&either, "ab", &expect![[r#"no time: Some("")"#]]);
        check(&either, "cd", &expect![[r#"no time: Some("d")"#]]);
    }
}
