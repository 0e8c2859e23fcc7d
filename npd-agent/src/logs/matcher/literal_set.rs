//! Tells which literals a text contains.

use std::collections::BTreeSet;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::packed::Searcher;
use aho_corasick::{Anchored, BuildError};

use super::Matcher;
use super::entry_lines::EntryLines;
use super::inner_literal::Literal;

/// How many bytes of a literal are searched. More bytes would hardly exclude more texts.
const MAX_SEARCHED: usize = 16;

/// Up to how many literals a [`Searcher`] is used. With more, it stops at too many wrong offsets.
const MAX_FOR_SEARCHER: usize = 64;

/// Literals, and a small automaton that finds them all in one pass over a text.
#[derive(Debug)]
pub(crate) struct LiteralSet {
    literals: Vec<Literal>,
    automaton: NFA,
    start: StateID,
    /// A faster searcher that says whether there is any literal.
    searcher: Option<Searcher>,
}

impl LiteralSet {
    /// The literals of all patterns of `matchers`.
    pub(crate) fn of<'m, M: IntoIterator<Item = &'m Matcher>>(
        matchers: M,
    ) -> Result<Self, BuildError> {
        let matchers = matchers.into_iter();
        let literals = matchers.flat_map(|matcher| matcher.prefilter.literals());
        Self::new(literals.cloned().collect())
    }

    pub(super) fn new(literals: BTreeSet<Literal>) -> Result<Self, BuildError> {
        let literals = Vec::from_iter(literals);
        let automaton = NFA::builder()
            .ascii_case_insensitive(any_case(&literals))
            .prefilter(false)
            .build(literals.iter().map(|literal| &literal.text))?;
        Ok(Self {
            start: automaton.start_state(Anchored::No).unwrap_or_default(),
            automaton,
            searcher: searcher(&literals),
            literals,
        })
    }

    pub(super) fn literals(&self) -> &[Literal] {
        &self.literals
    }

    /// Whether an entry of a log contains a literal.
    pub(crate) fn is_in_entry(&self, text: &str) -> bool {
        self.is_in(EntryLines::of(text).joined.as_bytes())
    }

    /// Whether `text` contains a literal.
    fn is_in(&self, text: &[u8]) -> bool {
        let mut found = false;
        self.find(text, |_| found = true);
        found
    }

    /// Calls `found` with the index of each literal in `text`, in any order, with some perhaps twice.
    pub(super) fn find(&self, text: &[u8], mut found: impl FnMut(usize)) {
        if self.literals.is_empty() || self.searcher_finds_nothing(text) {
            return;
        }
        let mut state = self.start;
        for (at, &byte) in text.iter().enumerate() {
            state = self.automaton.next_state(Anchored::No, state, byte);
            if self.automaton.is_match(state) {
                for number in 0..self.automaton.match_len(state) {
                    let index = self.automaton.match_pattern(state, number).as_usize();
                    if self.literals[index].ends(&text[..=at]) {
                        found(index);
                    }
                }
            }
        }
    }

    fn searcher_finds_nothing(&self, text: &[u8]) -> bool {
        let searcher = self.searcher.as_ref();
        searcher.is_some_and(|searcher| searcher.find(text).is_none())
    }
}

/// What is searched of a literal: its first bytes.
pub(super) fn searched(literal: Literal, bytes: usize) -> Literal {
    let Literal { mut text, any_case } = literal;
    text.truncate(text.floor_char_boundary(bytes));
    Literal { text, any_case }
}

/// The same, of the length that a set takes.
pub(super) fn searched_in_set(literal: Literal) -> Literal {
    searched(literal, MAX_SEARCHED)
}

/// Whether an automaton for `literals` must ignore the case. It then finds more than what is there:
/// see [`Literal::ends`].
pub(super) fn any_case(literals: &[Literal]) -> bool {
    literals.iter().any(|literal| literal.any_case)
}

/// A searcher for a few literals; none for many, or if one matches in any case.
pub(super) fn searcher(literals: &[Literal]) -> Option<Searcher> {
    let few = (1..=MAX_FOR_SEARCHER).contains(&literals.len());
    let texts = literals.iter().map(|literal| &literal.text);
    (few && !any_case(literals))
        .then(|| Searcher::new(texts))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_literals_that_ask_for_it_match_in_any_case() {
        let literal = |text: &str, any_case| Literal {
            text: text.to_owned(),
            any_case,
        };
        let set = [literal("Failed", false), literal("timeout", true)];
        let set = LiteralSet::new(set.into()).unwrap();
        for (text, expected) in [
            ("Failed", true),
            ("failed", false),
            ("a TimeOut", true),
            ("time\nout", false),
        ] {
            assert_eq!(set.is_in(text.as_bytes()), expected, "{text}");
        }
        assert!(
            LiteralSet::new([literal("a b c", false)].into())
                .unwrap()
                .is_in_entry("a\nb c")
        );
    }
}
