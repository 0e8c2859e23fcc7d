//! Joins the lines that a container runtime has split.

use std::borrow::Cow;

use super::formats::{LinePart, OutputStream, RecognisedLine};

/// How many bytes of a joined line are kept at most: as much as is kept of what a pattern matched.
const MAX_JOINED: usize = 64 << 10;

/// The first parts of lines whose end is not read yet.
#[derive(Debug)]
pub(super) struct SplitLines {
    stdout: String,
    stderr: String,
    longest: usize,
    /// How many parts did not fit.
    pub(super) cut: u64,
}

impl Default for SplitLines {
    fn default() -> Self {
        Self {
            stdout: String::new(),
            stderr: String::new(),
            longest: MAX_JOINED,
            cut: 0,
        }
    }
}

impl SplitLines {
    /// Joins no longer lines than this.
    pub(super) fn limit(&mut self, longest: usize) {
        self.longest = longest.min(MAX_JOINED);
    }

    /// Whether the end of a line is missing.
    pub(super) fn is_waiting(&self) -> bool {
        !self.stdout.is_empty() || !self.stderr.is_empty()
    }

    /// The whole line, if `line` is its last part.
    pub(super) fn join<'l>(
        &mut self,
        part: LinePart,
        mut line: RecognisedLine<'l>,
    ) -> Option<RecognisedLine<'l>> {
        let begun = match part.stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        };
        if !begun.is_empty() || !part.is_last {
            let text = &line.message;
            let room = self.longest.saturating_sub(begun.len());
            let fits = text.floor_char_boundary(room);
            self.cut += u64::from(fits < text.len());
            begun.push_str(&text[..fits]);
        }
        if !part.is_last {
            return None;
        }
        if !begun.is_empty() {
            line.message = Cow::Owned(std::mem::take(begun));
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::super::formats::recognise;
    use super::*;

    #[test]
    fn the_parts_of_each_stream_are_joined() {
        let mut lines = SplitLines::default();
        let mut join = |rest: &str| {
            let line = format!("2026-11-24T12:00:00Z {rest}");
            let line = recognise(&line).unwrap();
            let joined = lines.join(line.part.unwrap(), line);
            let joined = joined.map(|line| line.message.into_owned());
            (joined, lines.is_waiting())
        };
        let whole = |text: &str| Some(text.to_owned());
        assert_eq!(join("stdout F whole"), (whole("whole"), false));
        assert_eq!(join("stdout P a"), (None, true));
        assert_eq!(join("stderr P 1"), (None, true));
        assert_eq!(join("stdout P b"), (None, true));
        assert_eq!(join("stdout F c"), (whole("abc"), true));
        assert_eq!(join("stderr F "), (whole("1"), false));
        assert_eq!(join("stdout F next"), (whole("next"), false));
    }

    #[test]
    fn a_line_without_an_end_does_not_grow() {
        let mut lines = SplitLines::default();
        lines.limit(1001);
        for _ in 0..60 {
            let line = recognise("2026-11-24T12:00:00Z stdout P éééééééééé").unwrap();
            assert!(lines.join(line.part.unwrap(), line).is_none());
        }
        assert_eq!((lines.stdout.len(), lines.cut), (1000, 10));
    }
}
