//! The last entries of a log, as one text that a pattern may span.

use std::collections::VecDeque;

use jiff::Timestamp;

/// How many bytes the entries of a ring may have together, unless there are [many rings](LogBuffer::limit).
const MAX_BYTES: usize = 1 << 20;

/// How many bytes of the entries that a pattern matched are kept. What is reported of them is shorter.
const MAX_MATCHED: usize = 64 << 10;

/// The last entries of a log. A pattern sees them joined by newlines, oldest first.
///
/// A ring that is not full yet has empty slots before its oldest entry, and these are joined too:
/// its text starts with a newline for each. It is the same in NPD, and patterns can match it.
///
/// Long entries leave early, and of an entry that is longer than all may be together, the beginning.
#[derive(Debug)]
pub(crate) struct LogBuffer {
    capacity: usize,
    entries: VecDeque<BufferedEntry>,
    /// The length of all entries.
    bytes: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct BufferedEntry {
    timestamp: Timestamp,
    text: Box<str>,
}

/// The entries that a pattern matched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Matched {
    /// That of the first entry.
    pub(crate) timestamp: Timestamp,
    /// The entries, whole, joined by newlines: their first 64 KiB.
    pub(crate) text: String,
}

impl Matched {
    /// What is kept of a text that a pattern matched.
    pub(crate) fn new(timestamp: Timestamp, text: &str) -> Self {
        Self {
            timestamp,
            text: text[..text.floor_char_boundary(MAX_MATCHED)].to_owned(),
        }
    }
}

impl LogBuffer {
    /// A ring of `capacity` entries, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            entries: VecDeque::new(),
            bytes: 0,
            max_bytes: MAX_BYTES,
        }
    }

    /// Lets the entries have at most this many bytes together.
    pub(crate) fn limit(&mut self, bytes: usize) {
        self.max_bytes = bytes.min(MAX_BYTES);
    }

    /// How many entries it holds at most.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Adds the newest entry; the oldest go when the ring is full.
    pub(crate) fn push(&mut self, timestamp: Timestamp, text: &str) {
        // A match ends where the newest entry ends.
        let text = &text[text.ceil_char_boundary(text.len().saturating_sub(self.max_bytes))..];
        while self.entries.len() == self.capacity || self.bytes + text.len() > self.max_bytes {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= oldest.text.len();
        }
        self.bytes += text.len();
        self.entries.push_back(BufferedEntry {
            timestamp,
            text: text.into(),
        });
    }

    /// How many bytes the entries have together.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.text.len()).sum()
    }

    /// Writes the joined text into `joined`.
    pub(crate) fn join(&self, joined: &mut String) {
        joined.clear();
        joined.reserve_exact(self.capacity + self.bytes);
        joined.extend(std::iter::repeat_n(
            '\n',
            self.capacity - self.entries.len(),
        ));
        for (index, entry) in self.entries.iter().enumerate() {
            if index > 0 {
                joined.push('\n');
            }
            joined.push_str(&entry.text);
        }
    }

    /// The entries of a match that starts at `start` in the joined text, which is `length` long,
    /// and reaches to its end.
    ///
    /// A match that starts on a newline does not include the entry before it, and an empty match at
    /// the very end still includes the newest entry. `None` only if the ring is empty.
    pub(crate) fn matched(&self, start: usize, length: usize) -> Option<Matched> {
        let mut covered = 0;
        let mut first = self.entries.len().checked_sub(1)?;
        loop {
            covered += self.entries[first].text.len() + 1;
            if first == 0 || covered + start >= length {
                break;
            }
            first -= 1;
        }
        let mut text = String::new();
        for (index, entry) in self.entries.range(first..).enumerate() {
            if text.len() >= MAX_MATCHED {
                break;
            }
            if index > 0 {
                text.push('\n');
            }
            text.push_str(&entry.text);
        }
        Some(Matched::new(self.entries[first].timestamp, &text))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn ring(capacity: usize, texts: &[&str]) -> LogBuffer {
        let mut ring = LogBuffer::new(capacity);
        for (second, text) in (1..).zip(texts) {
            ring.push(Timestamp::from_second(second).unwrap(), text);
        }
        ring
    }

    fn joined(ring: &LogBuffer) -> String {
        let mut joined = "what was there before".to_owned();
        ring.join(&mut joined);
        joined
    }

    #[track_caller]
    fn check_joined(capacity: usize, texts: &[&str], expect: &Expect) {
        expect.assert_eq(&format!("{:?}", joined(&ring(capacity, texts))));
    }

    #[test]
    fn empty_slots_are_joined_too() {
        check_joined(3, &[], &expect![[r#""\n\n\n""#]]);
        check_joined(3, &["a"], &expect![[r#""\n\na""#]]);
        check_joined(3, &["a", "b"], &expect![[r#""\na\nb""#]]);
        check_joined(3, &["a", "b", "c"], &expect![[r#""a\nb\nc""#]]);
        check_joined(3, &["a", "b", "c", "d"], &expect![[r#""b\nc\nd""#]]);
        check_joined(1, &["a", "b"], &expect![[r#""b""#]]);
    }

    #[test]
    fn long_entries_leave_early() {
        let long = "x".repeat(MAX_BYTES / 2);
        let full = ring(100, &["a", &long, &long]);
        assert_eq!(full.entries.len(), 2);
        let longer = ring(100, &["a", &"x".repeat(2 * MAX_BYTES)]);
        assert_eq!(longer.entries.len(), 1);
        assert_eq!(longer.bytes, MAX_BYTES);
        let short = ring(100, &["a", &"x".repeat(2 * MAX_BYTES), "b"]);
        assert_eq!(joined(&short).trim_start(), "b");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut ring = LogBuffer::new(3);
        ring.limit(1000);
        for number in 0..9 {
            ring.push(Timestamp::UNIX_EPOCH, &"é".repeat(600));
            assert_eq!(ring.bytes(), 1000);
            ring.push(Timestamp::UNIX_EPOCH, &"é".repeat(400));
            ring.push(Timestamp::UNIX_EPOCH, &format!("{number}"));
            assert!(ring.bytes() <= 1000, "{}", ring.bytes());
        }
        let text = joined(&ring);
        assert!(text.ends_with("éé\n8"), "{text}");
        // Thirty rules may match one line, and each keeps what it matched.
        let long = self::ring(10, &[&"x".repeat(MAX_BYTES)]);
        let matched = long.matched(0, MAX_BYTES).unwrap();
        assert_eq!(matched.text.len(), MAX_MATCHED);
    }

    #[track_caller]
    fn check_matched(ring: &LogBuffer, from: &str, expect: &Expect) {
        let text = joined(ring);
        let start = text.find(from).unwrap();
        let shown = match ring.matched(start, text.len()) {
            Some(Matched { timestamp, text }) => format!("{}s {text:?}", timestamp.as_second()),
            None => "nothing".to_owned(),
        };
        expect.assert_eq(&shown);
    }

    #[test]
    fn a_match_is_whole_entries_with_the_first_ones_time() {
        let ring = ring(4, &["out", "one a", "two b", "three c"]);
        check_matched(&ring, "c", &expect![[r#"4s "three c""#]]);
        check_matched(&ring, "three", &expect![[r#"4s "three c""#]]);
        check_matched(&ring, "b\nthree", &expect![[r#"3s "two b\nthree c""#]]);
        check_matched(&ring, "a\ntwo", &expect![[r#"2s "one a\ntwo b\nthree c""#]]);
        check_matched(
            &ring,
            "out",
            &expect![[r#"1s "out\none a\ntwo b\nthree c""#]],
        );
    }

    #[test]
    fn a_match_from_a_separator_leaves_out_the_entry_before_it() {
        let ring = ring(4, &["out", "one a", "two b", "three c"]);
        check_matched(&ring, "\nthree", &expect![[r#"4s "three c""#]]);
        check_matched(&ring, "\ntwo", &expect![[r#"3s "two b\nthree c""#]]);
    }

    #[test]
    fn a_match_from_an_empty_slot_starts_at_the_oldest_entry() {
        let ring = ring(4, &["one", "two"]);
        check_matched(&ring, "\n\none", &expect![[r#"1s "one\ntwo""#]]);
    }

    #[test]
    fn an_empty_match_at_the_end_is_the_newest_entry() {
        let full = ring(2, &["one", "two"]);
        assert_eq!(full.matched(7, 7).unwrap().text, "two");
        assert_eq!(ring(1, &[""]).matched(0, 0).unwrap().text, "");
        assert_eq!(ring(2, &[]).matched(1, 1), None);
    }
}
