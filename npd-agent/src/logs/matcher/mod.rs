//! Finds the patterns that match when a new entry of a log arrives.

mod entry_lines;
mod inner_literal;
mod line_finder;
mod literal_set;
mod prefilter;

use aho_corasick::BuildError;
use jiff::Timestamp;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use self::entry_lines::EntryLines;
pub(crate) use self::line_finder::LineFinder;
pub(crate) use self::literal_set::LiteralSet;
use self::prefilter::Prefilter;
use super::buffer::{LogBuffer, Matched};
use crate::go::regex::LazyRegex;

/// Patterns, and the last entries of a log.
///
/// NPD runs every pattern on the last entries, joined by newlines, and a match must end where the
/// newest entry ends. That is slow. This matcher finds the same matches with less work:
///
/// * Most patterns cannot match a newline. They are tried on the newest entry alone. The others are
///   called spanning, and are tried on the joined entries.
/// * Most patterns contain a fixed text (their literals). Only an entry that contains one of the
///   literals makes the pattern a candidate. For a spanning pattern this lasts until the entry has
///   left the buffer.
///
/// A pattern is compiled when it is a candidate for the first time.
#[derive(Debug)]
pub(crate) struct Matcher {
    patterns: Vec<LazyRegex>,
    /// What each pattern is tried on.
    units: Vec<MatchUnit>,
    /// The patterns that may match more than the newest entry, in order.
    spanning: Vec<Spanning>,
    prefilter: Prefilter,
    /// The last entries. Empty if there are no spanning patterns.
    buffer: LogBuffer,
    joined: String,
    /// The patterns to try on the newest entry.
    candidates: Vec<usize>,
}

#[derive(Debug)]
struct Spanning {
    pattern: usize,
    /// For how many more entries the pattern must be tried: until the entry with its literal has left
    /// the buffer.
    armed: usize,
}

/// What a pattern is tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MatchUnit {
    /// The last entries, up to the end of the newest, as in NPD. The pattern must come from
    /// [`crate::go::regex::compile_anchored`].
    Entries,
    /// The newest entry, from its start. The pattern must come from
    /// [`crate::go::regex::compile_record`].
    Line,
    /// The same, if the entry is a record of the kernel.
    Record,
}

impl MatchUnit {
    /// Whether it is one entry, and never an earlier one.
    pub(crate) fn is_newest_entry(self) -> bool {
        self != Self::Entries
    }
}

impl Matcher {
    /// A matcher for `patterns` on a buffer of `capacity` entries.
    pub(crate) fn new(
        patterns: Vec<(LazyRegex, MatchUnit)>,
        capacity: usize,
    ) -> Result<Self, BuildError> {
        let (patterns, units): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        let spans = |pattern: &LazyRegex, unit: MatchUnit| {
            capacity > 1 && !unit.is_newest_entry() && !sees_newest_entry_only(pattern)
        };
        let spanning = patterns.iter().zip(&units).enumerate();
        let spanning = spanning
            .filter(|(_, (pattern, unit))| spans(pattern, **unit))
            .map(|(pattern, _)| Spanning { pattern, armed: 0 })
            .collect();
        Ok(Self {
            units,
            spanning,
            prefilter: Prefilter::new(patterns.iter().map(LazyRegex::as_str))?,
            patterns,
            buffer: LogBuffer::new(capacity),
            joined: String::new(),
            candidates: Vec::new(),
        })
    }

    /// Whether every pattern has literals, so that no entry without one can match. If not, every entry
    /// must be pushed.
    pub(crate) fn all_have_literals(&self) -> bool {
        self.prefilter.without_literals.is_empty()
    }

    /// Whether the next entry must be pushed even if it contains no literal.
    pub(crate) fn is_armed(&self) -> bool {
        !self.all_have_literals() || self.spanning.iter().any(|spanning| spanning.armed > 0)
    }

    /// Whether an entry with this text must be pushed. If not, pushing it would find nothing.
    pub(crate) fn needs(&mut self, text: &str) -> bool {
        self.spans() || {
            self.find_candidates(text);
            let mut candidates = self.candidates.iter();
            candidates.any(|&index| self.patterns[index].is_match(text))
        }
    }

    /// Whether a pattern may match more than the newest entry.
    pub(crate) fn spans(&self) -> bool {
        !self.spanning.is_empty()
    }

    /// Lets what patterns span have at most this many bytes, and at most as many again while it is joined.
    pub(crate) fn limit(&mut self, bytes: usize) {
        self.buffer.limit(bytes);
    }

    /// The memory of what patterns span, in bytes.
    #[cfg(test)]
    pub(crate) fn spanned(&self) -> usize {
        self.buffer.bytes() + self.joined.capacity()
    }

    /// How many earlier entries a pattern can see.
    pub(crate) fn context_size(&self) -> u64 {
        if self.spans() {
            self.buffer.capacity() as u64
        } else {
            0
        }
    }

    /// Adds an entry that an earlier agent has already pushed. Reports nothing.
    pub(crate) fn push_seen(&mut self, timestamp: Timestamp, text: &str) {
        if self.spans() {
            self.find_candidates(&EntryLines::of(text).joined);
            self.arm_spanning();
            self.buffer.push(timestamp, text);
            for spanning in &mut self.spanning {
                spanning.armed = spanning.armed.saturating_sub(1);
            }
        }
    }

    /// Adds an entry that contains no literal. Reports nothing.
    pub(crate) fn push_unmatched(&mut self, timestamp: Timestamp, text: &str) {
        if self.spans() {
            self.buffer.push(timestamp, text);
        }
    }

    /// Adds the newest entry. Returns the patterns that match now, in order: those for records only if
    /// this entry is a `record` of the kernel.
    ///
    /// An entry that contains newlines is also tried as one line, and line by line.
    pub(crate) fn push(
        &mut self,
        timestamp: Timestamp,
        text: &str,
        record: bool,
    ) -> Vec<(usize, Matched)> {
        let mut found = Vec::new();
        let lines = EntryLines::of(text);
        self.find_candidates(&lines.joined);
        self.arm_spanning();
        for &index in &self.candidates {
            let pattern = &self.patterns[index];
            let text = match self.units[index] {
                MatchUnit::Entries => lines.entry(pattern),
                MatchUnit::Line => lines.record(pattern),
                MatchUnit::Record if record => lines.record(pattern),
                MatchUnit::Record => None,
            };
            if let Some(text) = text {
                found.push((index, Matched::new(timestamp, text)));
            }
        }
        if self.spans() {
            self.buffer.push(timestamp, text);
            self.match_spanning(&mut found);
        }
        found
    }

    /// Fills `candidates` with the patterns that can match an entry with this text, in order.
    fn find_candidates(&mut self, text: &str) {
        self.candidates.clear();
        self.prefilter.patterns(text, &mut self.candidates);
        self.candidates.sort_unstable();
        self.candidates.dedup();
    }

    /// Moves the spanning patterns out of `candidates`: they are tried on the joined entries.
    fn arm_spanning(&mut self) {
        let (spanning, capacity) = (&mut self.spanning, self.buffer.capacity());
        self.candidates.retain(|candidate| {
            let slot = spanning.binary_search_by_key(candidate, |spanning| spanning.pattern);
            if let Ok(slot) = slot {
                spanning[slot].armed = capacity;
            }
            slot.is_err()
        });
    }

    /// Tries the armed spanning patterns on the joined entries, and adds their matches to `found`.
    fn match_spanning(&mut self, found: &mut Vec<(usize, Matched)>) {
        let mut armed = self
            .spanning
            .iter_mut()
            .filter(|spanning| spanning.armed > 0);
        let mut next = armed.next();
        if next.is_some() {
            self.buffer.join(&mut self.joined);
        } else {
            self.joined = String::new();
        }
        while let Some(spanning) = next {
            spanning.armed -= 1;
            let pattern = &self.patterns[spanning.pattern];
            if let Some(matched) = matched(&self.buffer, &self.joined, pattern) {
                found.push((spanning.pattern, matched));
            }
            next = armed.next();
        }
        found.sort_by_key(|(index, _)| *index);
    }
}

/// What `pattern` matches in the joined text of `buffer`, as in NPD.
fn matched(buffer: &LogBuffer, joined: &str, pattern: &LazyRegex) -> Option<Matched> {
    let found = pattern.find(joined)?;
    buffer.matched(found.start(), joined.len())
}

/// Whether `pattern` finds the same in the newest entry alone as in the joined entries.
///
/// This is true if every match must end at the end of the text, cannot contain a newline, and does
/// not depend on the start of the text (`^`). Word and line boundaries do not matter: for them, a
/// newline before the entry is the same as the start of a text.
fn sees_newest_entry_only(pattern: &LazyRegex) -> bool {
    let Ok(pattern) = regex_syntax::parse(pattern.as_str()) else {
        return false;
    };
    let looks = pattern.properties();
    looks.look_set_suffix().contains(Look::End)
        && !looks.look_set().contains(Look::Start)
        && !accepts_newline(&pattern)
}

fn accepts_newline(pattern: &Hir) -> bool {
    match pattern.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.contains(&b'\n'),
        HirKind::Class(Class::Unicode(class)) => {
            let mut ranges = class.iter();
            ranges.any(|range| (range.start()..=range.end()).contains(&'\n'))
        }
        HirKind::Class(Class::Bytes(class)) => {
            let mut ranges = class.iter();
            ranges.any(|range| (range.start()..=range.end()).contains(&b'\n'))
        }
        HirKind::Repetition(repetition) => accepts_newline(&repetition.sub),
        HirKind::Capture(capture) => accepts_newline(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(accepts_newline),
    }
}

#[cfg(test)]
mod tests;
