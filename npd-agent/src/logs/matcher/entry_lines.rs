//! The lines of one entry.

use std::borrow::Cow;

use crate::go::regex::LazyRegex;

/// One entry of a log, which may contain newlines: drivers print several lines at once, and the name of
/// a task can be anything.
pub(super) struct EntryLines<'t> {
    /// The entry as it is.
    whole: &'t str,
    /// The entry as one line.
    pub(super) joined: Cow<'t, str>,
}

impl<'t> EntryLines<'t> {
    pub(super) fn of(whole: &'t str) -> Self {
        let joined = if whole.contains('\n') {
            Cow::Owned(whole.replace('\n', " "))
        } else {
            Cow::Borrowed(whole)
        };
        Self { whole, joined }
    }

    fn is_one(&self) -> bool {
        matches!(self.joined, Cow::Borrowed(_))
    }

    /// What `pattern` matches as NPD does: the whole entry. If it does not match that, it may match the
    /// entry as one line, or one of the lines.
    pub(super) fn entry(&self, pattern: &LazyRegex) -> Option<&str> {
        if pattern.is_match(self.whole) {
            return Some(self.whole);
        }
        if self.is_one() {
            return None;
        }
        let also =
            pattern.is_match(&self.joined) || self.whole.lines().any(|line| pattern.is_match(line));
        also.then_some(&self.joined)
    }

    /// What a pattern for records matches: the entry as one line, or else one of the further lines.
    ///
    /// A further line must begin as the first does, up to the first colon, as drivers write them.
    /// Otherwise text that the kernel only quotes, such as a mount option with a newline, could look
    /// like another subsystem's line.
    pub(super) fn record(&self, pattern: &LazyRegex) -> Option<&str> {
        if pattern.is_match(&self.joined) {
            return Some(&self.joined);
        }
        if self.is_one() {
            return None;
        }
        let (prefix, _) = self.whole.split_once(": ")?;
        let mut further = self.whole.lines().skip(1);
        further.find(|line| {
            let rest = line.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.starts_with(": ")) && pattern.is_match(line)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::regex::{compile_anchored, compile_record};

    #[track_caller]
    fn check(pattern: &str, text: &str, entry: bool, record: bool) {
        let lines = EntryLines::of(text);
        let found = |found: Option<&str>| found.is_some();
        let as_npd = LazyRegex::from(compile_anchored(pattern).unwrap());
        assert_eq!(found(lines.entry(&as_npd)), entry, "as NPD: {pattern}");
        let from_start = LazyRegex::from(compile_record(pattern).unwrap());
        assert_eq!(
            found(lines.record(&from_start)),
            record,
            "record: {pattern}"
        );
    }

    #[test]
    fn a_newline_in_a_name_hides_nothing() {
        let text = "INFO: task a\nb:12 blocked for more than 122 seconds.";
        check(
            r"task [\S ]+:\w+ blocked for more than \w+ seconds\.",
            text,
            true,
            false,
        );
        check(
            r"INFO: task .+:\d+ blocked for more than",
            text,
            false,
            true,
        );
    }

    #[test]
    fn each_line_of_a_driver_counts() {
        let text = "md/raid1:md0: Disk failure on sdb1, disabling device.\n\
                    md/raid1:md0: Operation continuing on 1 devices.";
        check("Disk failure on .*disabling device.", text, true, false);
        check(
            r"md/raid1:\w+: Disk failure on \w+, disabling device\.",
            text,
            true,
            true,
        );
        check(
            r"md/raid1:\w+: Operation continuing on \d+ devices\.",
            text,
            true,
            true,
        );
    }

    #[test]
    fn what_the_kernel_quotes_is_no_line_of_its_own() {
        let text = "tmpfs: Unknown parameter 'a\nXFS (sda1): Shutting down filesystem.'";
        check(r"XFS \(\w+\): Shutting down filesystem", text, false, false);
        let text = "tmpfs: Unknown parameter 'XFS (sda1): Shutting down filesystem.'";
        check(
            r"XFS \(\w+\): Shutting down filesystem\.'",
            text,
            true,
            false,
        );
    }
}
