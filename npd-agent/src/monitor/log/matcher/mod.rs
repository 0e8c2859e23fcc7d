//! Which patterns the newest entry of a log completes.

mod literal;

use jiff::Timestamp;
use regex::{Regex, RegexSet, RegexSetBuilder, bytes};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::buffer::{Matched, Ring};

/// How large the automaton of all patterns together may be, in bytes, before it runs. A config with
/// a thousand rules needs a few MiB.
const SIZE_LIMIT: usize = 64 << 20;

/// Patterns, and the entries that they see.
///
/// What counts is NPD's way: every pattern searches the joined ring, and its matches end where the
/// newest entry ends. That is slow, and hardly any pattern can tell the difference from looking at
/// the newest entry alone. Those that cannot are run together, as one automaton; only the others
/// pay for the joined text.
#[derive(Debug)]
pub(crate) struct Matcher {
    /// The patterns that can match in the newest entry only.
    local: RegexSet,
    /// Which pattern each of `local` is.
    local_index: Vec<usize>,
    /// The other patterns, and which each is.
    spanning: Vec<(usize, Regex)>,
    /// Finds something in every line that a pattern can match. Only if all patterns are local.
    prefilter: Option<bytes::Regex>,
    /// Filled only if there are spanning patterns.
    ring: Ring,
    joined: String,
}

impl Matcher {
    /// A matcher for `patterns` on a ring of `capacity` entries. The patterns are anchored at their
    /// end as [`crate::go::regex::compile_anchored`] does it.
    pub(crate) fn new(patterns: Vec<Regex>, capacity: usize) -> Result<Self, regex::Error> {
        let (local, spanning): (Vec<_>, Vec<_>) = patterns
            .into_iter()
            .enumerate()
            .partition(|(_, pattern)| capacity <= 1 || sees_newest_entry_only(pattern));
        let set = RegexSetBuilder::new(local.iter().map(|(_, pattern)| pattern.as_str()))
            .size_limit(SIZE_LIMIT)
            .build()?;
        let prefilter = if spanning.is_empty() {
            literal::prefilter(set.patterns())
        } else {
            None
        };
        Ok(Self {
            local: set,
            prefilter,
            local_index: local.into_iter().map(|(index, _)| index).collect(),
            spanning,
            ring: Ring::new(capacity),
            joined: String::new(),
        })
    }

    /// Finds something in every line that has to be looked at. Without it, all have to be.
    pub(crate) fn prefilter(&self) -> Option<&bytes::Regex> {
        self.prefilter.as_ref()
    }

    /// Whether an entry of this text has to be pushed. Where not, nothing would come of it.
    pub(crate) fn concerns(&self, text: &str) -> bool {
        self.spans() || self.local.is_match(text)
    }

    /// Whether a pattern may match more than the newest entry.
    pub(crate) fn spans(&self) -> bool {
        !self.spanning.is_empty()
    }

    /// How many of the entries before can matter.
    pub(crate) fn recalls(&self) -> u64 {
        if self.spans() {
            self.ring.capacity()
        } else {
            0
        }
    }

    /// Adds an entry that was looked at before the agent was started.
    pub(crate) fn recall(&mut self, timestamp: Timestamp, text: &str) {
        if self.spans() {
            self.ring.push(timestamp, text);
        }
    }

    /// Adds the newest entry and tells the patterns that match now, in their order.
    pub(crate) fn push(&mut self, timestamp: Timestamp, text: &str) -> Vec<(usize, Matched)> {
        let mut found = Vec::new();
        // Most lines match nothing, and `is_match` is the faster way to say so.
        if self.local.is_match(text) {
            found.extend(self.local.matches(text).into_iter().map(|index| {
                let text = text.to_owned();
                (self.local_index[index], Matched { timestamp, text })
            }));
        }
        if self.spans() {
            self.ring.push(timestamp, text);
            self.ring.join(&mut self.joined);
            found.extend(self.spanning.iter().filter_map(|(index, pattern)| {
                Some((*index, matched(&self.ring, &self.joined, pattern)?))
            }));
            found.sort_by_key(|(index, _)| *index);
        }
        found
    }
}

/// NPD's way: what `pattern` matches in the joined text of `ring`.
fn matched(ring: &Ring, joined: &str, pattern: &Regex) -> Option<Matched> {
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
