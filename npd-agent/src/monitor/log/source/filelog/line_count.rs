//! Counts the lines of a file that are not understood, or too old.

use std::collections::BTreeSet;
use std::time::Duration;

/// How many lines are looked at in a second although no rule can match them.
const CHECKED_A_SECOND: u64 = 1000;

/// So many lines must not be understood before anybody is told: a line may have been cut.
const FEW: u32 = 3;

/// How many bytes of a line are shown as an example.
const MAX_EXAMPLE: usize = 200;

/// What became of the lines of a file.
#[derive(Debug, Default)]
pub(super) struct LineCount {
    /// A bit for each of the last lines: whether it was not understood.
    recent: u128,
    /// How many lines that is.
    counted: u32,
    /// One of those that were not understood.
    example: Option<String>,
    /// How many more lines may be looked at, and when that was last increased.
    left: u64,
    filled: Option<Duration>,
    /// In the lines that were read last: up to where each line is counted, and which of the others are.
    checked: usize,
    others: BTreeSet<usize>,
    /// How many lines had no time or no message.
    pub(super) not_understood: u64,
    /// How many lines were older than what counts.
    pub(super) too_old: u64,
}

/// What a line was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineFate {
    Understood,
    TooOld,
    NotUnderstood,
}

impl LineCount {
    /// New lines are read. Returns how many of them to look at, whether a rule can match them or not.
    pub(super) fn begin(&mut self, now: Duration) -> u64 {
        let passed = match self.filled {
            Some(filled) => now.saturating_sub(filled).as_millis(),
            None => u128::MAX,
        };
        if passed > 0 {
            let more = u64::try_from(passed).unwrap_or(u64::MAX);
            self.left = self.left.saturating_add(more).min(CHECKED_A_SECOND);
            self.filled = Some(now);
        }
        self.checked = 0;
        self.others.clear();
        // If the config does not fit the file, the first line shows it.
        self.left.max(1)
    }

    /// Counts the next line of those that are looked at.
    pub(super) fn check(&mut self, fate: LineFate, line: &str, length: usize) {
        self.left = self.left.saturating_sub(1);
        self.checked += length;
        self.count(fate, line);
    }

    /// Counts a line that a rule could match, unless it is counted already. It begins at `place`.
    pub(super) fn take(&mut self, fate: LineFate, line: &str, place: usize) {
        if place >= self.checked && (fate == LineFate::Understood || self.others.insert(place)) {
            self.count(fate, line);
        }
    }

    fn count(&mut self, fate: LineFate, line: &str) {
        let bad = fate == LineFate::NotUnderstood;
        self.recent = self.recent << 1 | u128::from(bad);
        self.counted = (self.counted + 1).min(u128::BITS);
        match fate {
            LineFate::Understood => {}
            LineFate::TooOld => self.too_old += 1,
            LineFate::NotUnderstood => self.not_understood += 1,
        }
        if bad && self.example.is_none() {
            let shown = &line[..line.floor_char_boundary(MAX_EXAMPLE)];
            self.example = Some(format!("{shown:?}"));
        } else if self.recent == 0 {
            self.example = None;
        }
    }

    /// One of the lines that are not understood, if that is more than a tenth of the last ones.
    pub(super) fn example(&self) -> Option<&str> {
        let bad = self.recent.count_ones();
        let many = bad >= FEW && bad * 10 > self.counted;
        self.example.as_deref().filter(|_| many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the source is degraded after so many good and bad lines.
    fn degraded(count: &mut LineCount, good: u32, bad: u32) -> bool {
        for number in 0..good + bad {
            let fate = if number < good {
                LineFate::Understood
            } else {
                LineFate::NotUnderstood
            };
            count.take(
                fate,
                "what\u{1b}[2J is this",
                usize::try_from(number).unwrap(),
            );
        }
        count.begin(Duration::ZERO);
        count.example().is_some()
    }

    #[test]
    fn more_than_a_tenth_is_too_much() {
        let mut count = LineCount::default();
        assert!(
            !degraded(&mut count, 0, 2),
            "these may be the ends of lines"
        );
        assert!(degraded(&mut count, 0, 1));
        assert_eq!(count.example(), Some(r#""what\u{1b}[2J is this""#));
        assert!(degraded(&mut count, 26, 0));
        assert!(!degraded(&mut count, 1, 0));
        assert!(degraded(&mut count, 0, 100));
        assert!(!degraded(&mut count, 128, 0));
        assert_eq!(count.not_understood, 103);
        let long = "é".repeat(1000);
        for place in 0..3 {
            count.take(LineFate::NotUnderstood, &long, place);
        }
        assert!(count.example.unwrap().len() < 300);
    }

    #[test]
    fn a_line_is_counted_once() {
        let mut count = LineCount::default();
        assert_eq!(count.begin(Duration::from_secs(9)), CHECKED_A_SECOND);
        count.check(LineFate::TooOld, "old", 4);
        for place in [0, 4, 4, 9, 4] {
            count.take(LineFate::TooOld, "old", place);
        }
        assert_eq!(count.too_old, 3);
    }

    #[test]
    fn a_flood_is_not_looked_at() {
        let mut count = LineCount::default();
        let mut looked_at = 0;
        for millisecond in 0..2000 {
            for _ in 0..count.begin(Duration::from_millis(millisecond)) {
                count.check(LineFate::Understood, "fine", 5);
                looked_at += 1;
            }
        }
        assert!((2000..4000).contains(&looked_at), "{looked_at}");
    }
}
