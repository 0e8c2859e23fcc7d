//! Which patterns the newest entry of a log completes.

mod inner_literal;
mod prefilter;

use aho_corasick::BuildError;
use jiff::Timestamp;
use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use self::prefilter::Screen;
use super::buffer::{LogBuffer, Matched};

/// Patterns, and the entries that they see.
///
/// What counts is NPD's way: every pattern searches the joined ring, and its matches end where the
/// newest entry ends. That is slow, and hardly any pattern can tell the difference from looking at
/// the newest entry alone. And hardly any entry contains what a pattern requires: only then is the
/// pattern tried on the entry, or if it can tell the difference, on the ring, until the entry has
/// left it.
#[derive(Debug)]
pub(crate) struct Matcher {
    patterns: Vec<Regex>,
    /// Those that may match more than the newest entry, in their order.
    spanning: Vec<Spanning>,
    screen: Screen,
    /// Filled only if there are spanning patterns.
    ring: LogBuffer,
    joined: String,
    /// The patterns to try on the newest entry.
    candidates: Vec<usize>,
}

#[derive(Debug)]
struct Spanning {
    pattern: usize,
    /// With how many of the next entries it can match, whatever they say: what it requires is in
    /// the ring for so long.
    armed: usize,
}

impl Matcher {
    /// A matcher for `patterns` on a ring of `capacity` entries. The patterns are anchored at their
    /// end as [`crate::go::regex::compile_anchored`] does it.
    pub(crate) fn new(patterns: Vec<Regex>, capacity: usize) -> Result<Self, BuildError> {
        let spans = |pattern: &Regex| capacity > 1 && !sees_newest_entry_only(pattern);
        let spanning = patterns.iter().enumerate();
        let spanning = spanning.filter(|(_, pattern)| spans(pattern));
        Ok(Self {
            spanning: spanning
                .map(|(pattern, _)| Spanning { pattern, armed: 0 })
                .collect(),
            screen: Screen::new(patterns.iter().map(Regex::as_str))?,
            patterns,
            ring: LogBuffer::new(capacity),
            joined: String::new(),
            candidates: Vec::new(),
        })
    }

    /// Whether the entries that matter are among those of [`Matcher::places`]. If not, all do.
    pub(crate) fn screens(&self) -> bool {
        self.screen.unscreened.is_empty()
    }

    /// Adds to `places` where in `lines` something is found that a pattern requires, in every line
    /// with such a thing at least once, in their order.
    pub(crate) fn places(&self, lines: &[u8], places: &mut Vec<usize>) {
        self.screen.places(lines, places);
    }

    /// Whether a pattern can match with the next entry, whatever it says.
    pub(crate) fn is_awake(&self) -> bool {
        !self.screens() || self.spanning.iter().any(|spanning| spanning.armed > 0)
    }

    /// Whether an entry of this text has to be pushed. Where not, nothing would come of it.
    pub(crate) fn concerns(&mut self, text: &str) -> bool {
        self.spans() || {
            self.ask(text);
            let mut candidates = self.candidates.iter();
            candidates.any(|&index| self.patterns[index].is_match(text))
        }
    }

    /// Whether a pattern may match more than the newest entry.
    pub(crate) fn spans(&self) -> bool {
        !self.spanning.is_empty()
    }

    /// How many of the entries before can matter.
    pub(crate) fn recalls(&self) -> u64 {
        if self.spans() {
            self.ring.capacity() as u64
        } else {
            0
        }
    }

    /// Adds an entry that was looked at before the agent was started.
    pub(crate) fn recall(&mut self, timestamp: Timestamp, text: &str) {
        if self.spans() {
            self.ask(text);
            self.wake();
            self.ring.push(timestamp, text);
            for spanning in &mut self.spanning {
                spanning.armed = spanning.armed.saturating_sub(1);
            }
        }
    }

    /// Adds an entry that was not looked at, because no pattern requires what it says.
    pub(crate) fn pass(&mut self, timestamp: Timestamp, text: &str) {
        self.ring.push(timestamp, text);
    }

    /// Adds the newest entry and tells the patterns that match now, in their order.
    pub(crate) fn push(&mut self, timestamp: Timestamp, text: &str) -> Vec<(usize, Matched)> {
        let mut found = Vec::new();
        self.ask(text);
        self.wake();
        for &index in &self.candidates {
            if self.patterns[index].is_match(text) {
                let text = text.to_owned();
                found.push((index, Matched { timestamp, text }));
            }
        }
        if self.spans() {
            self.ring.push(timestamp, text);
            self.span(&mut found);
        }
        found
    }

    /// Sets down which patterns can match with an entry of this text, in their order.
    fn ask(&mut self, text: &str) {
        self.candidates.clear();
        self.screen.patterns(text, &mut self.candidates);
        self.candidates.sort_unstable();
        self.candidates.dedup();
    }

    /// Takes those patterns from the ones to ask that have to look at the ring.
    fn wake(&mut self) {
        let (spanning, capacity) = (&mut self.spanning, self.ring.capacity());
        self.candidates.retain(|candidate| {
            let slot = spanning.binary_search_by_key(candidate, |spanning| spanning.pattern);
            if let Ok(slot) = slot {
                spanning[slot].armed = capacity;
            }
            slot.is_err()
        });
    }

    /// Adds to `found` what the spanning patterns find.
    fn span(&mut self, found: &mut Vec<(usize, Matched)>) {
        let mut armed = self
            .spanning
            .iter_mut()
            .filter(|spanning| spanning.armed > 0);
        let mut next = armed.next();
        if next.is_some() {
            self.ring.join(&mut self.joined);
        }
        while let Some(spanning) = next {
            spanning.armed -= 1;
            let pattern = &self.patterns[spanning.pattern];
            if let Some(matched) = matched(&self.ring, &self.joined, pattern) {
                found.push((spanning.pattern, matched));
            }
            next = armed.next();
        }
        found.sort_by_key(|(index, _)| *index);
    }
}

/// NPD's way: what `pattern` matches in the joined text of `ring`.
fn matched(ring: &LogBuffer, joined: &str, pattern: &Regex) -> Option<Matched> {
    let found = pattern.find(joined)?;
    ring.matched(found.start(), joined.len())
}

/// Whether `pattern` finds the same in the newest entry alone as in the joined ring.
///
/// So it is if every match has to end at the end of the text, and cannot contain a newline, and
/// does not ask for the start of the text. Word and line boundaries do not matter: the newline
/// before the entry looks to them as the start of a text does.
fn sees_newest_entry_only(pattern: &Regex) -> bool {
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
