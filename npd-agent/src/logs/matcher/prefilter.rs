//! Finds the lines that contain a literal of a pattern. No other line can match.

use std::collections::BTreeMap;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::packed::Searcher;
use aho_corasick::{Anchored, BuildError};

use super::inner_literal::{Literal, required};

/// How many bytes of a literal are searched. More bytes would hardly exclude more lines.
const MAX_SEARCHED: usize = 16;

/// Up to how many literals the fast searcher is used. With more, it stops at too many wrong offsets.
const MAX_FOR_SEARCHER: usize = 64;

/// How many parts of a text the automaton reads in parallel. Each of its steps depends on the one
/// before, so one part alone would leave the processor waiting.
const LANES: usize = 4;

/// The literals of many patterns, and how to find them.
#[derive(Debug)]
pub(super) struct Prefilter {
    automaton: DFA,
    start: StateID,
    /// A faster searcher that says whether there is any literal; only for a searcher literals.
    searcher: Option<Searcher>,
    /// The patterns of each literal.
    owners: Vec<Vec<usize>>,
    /// Patterns without literals.
    pub(super) without_literals: Vec<usize>,
}

impl Prefilter {
    pub(super) fn new<P: AsRef<str>>(
        patterns: impl Iterator<Item = P>,
    ) -> Result<Self, BuildError> {
        let mut literals = BTreeMap::<Vec<u8>, Vec<usize>>::new();
        let mut without_literals = Vec::new();
        let mut any_case = false;
        for (index, pattern) in patterns.enumerate() {
            let Some(found) = required(pattern.as_ref()) else {
                without_literals.push(index);
                continue;
            };
            for Literal {
                text,
                any_case: this,
            } in found
            {
                any_case |= this;
                let length = text.len().min(MAX_SEARCHED);
                let owners = literals
                    .entry(text.as_bytes()[..length].to_vec())
                    .or_default();
                owners.push(index);
            }
        }
        let automaton = DFA::builder()
            .ascii_case_insensitive(any_case)
            .prefilter(false)
            .build(literals.keys())?;
        let searcher = !any_case && (1..=MAX_FOR_SEARCHER).contains(&literals.len());
        Ok(Self {
            start: automaton.start_state(Anchored::No).unwrap_or_default(),
            automaton,
            searcher: searcher.then(|| Searcher::new(literals.keys())).flatten(),
            owners: literals.into_values().collect(),
            without_literals,
        })
    }

    /// Adds the offsets of literals in `lines` to `offsets`, in ascending order: at least one for each
    /// line that contains a literal.
    pub(super) fn find_literals(&self, lines: &[u8], offsets: &mut Vec<usize>) {
        if self.owners.is_empty() {
            return;
        }
        let Some(searcher) = &self.searcher else {
            self.find_with_automaton(lines, offsets);
            return;
        };
        let mut from = 0;
        while let Some(found) = searcher.find_in(lines, (from..lines.len()).into()) {
            offsets.push(found.start());
            from = found.end();
        }
    }

    fn find_with_automaton(&self, lines: &[u8], offsets: &mut Vec<usize>) {
        // Parts begin after a newline. No literal contains one, so none crosses from part to part.
        let mut bounds = [0; LANES + 1];
        for lane in 1..=LANES {
            let about = (lines.len() * lane / LANES).max(bounds[lane - 1]);
            let newline = lines[about..].iter().position(|&byte| byte == b'\n');
            bounds[lane] = newline.map_or(lines.len(), |newline| about + newline + 1);
        }
        let first = offsets.len();
        let parts: [&[u8]; LANES] =
            std::array::from_fn(|lane| &lines[bounds[lane]..bounds[lane + 1]]);
        let together = parts.iter().map(|part| part.len()).min().unwrap_or(0);
        let [a, b, c, d] = parts.map(|part| &part[..together]);
        let mut states = [self.start; LANES];
        for (at, (((&a, &b), &c), &d)) in a.iter().zip(b).zip(c).zip(d).enumerate() {
            for (state, byte) in states.iter_mut().zip([a, b, c, d]) {
                *state = self.next(*state, byte);
            }
            if states.iter().any(|&state| self.automaton.is_special(state)) {
                let matches = (0..LANES).filter(|&lane| self.automaton.is_match(states[lane]));
                offsets.extend(matches.map(|lane| bounds[lane] + at));
            }
        }
        for ((part, &bound), state) in parts.iter().zip(&bounds).zip(&mut states) {
            for (at, &byte) in part.iter().enumerate().skip(together) {
                *state = self.next(*state, byte);
                if self.automaton.is_match(*state) {
                    offsets.push(bound + at);
                }
            }
        }
        offsets[first..].sort_unstable();
    }

    /// Adds the patterns that can match `text` to `patterns`, in any order, some perhaps twice.
    pub(super) fn patterns(&self, text: &str, patterns: &mut Vec<usize>) {
        patterns.extend(&self.without_literals);
        if self.owners.is_empty()
            || self
                .searcher
                .as_ref()
                .is_some_and(|searcher| searcher.find(text).is_none())
        {
            return;
        }
        let mut state = self.start;
        for &byte in text.as_bytes() {
            state = self.next(state, byte);
            if self.automaton.is_match(state) {
                for found in 0..self.automaton.match_len(state) {
                    let literal = self.automaton.match_pattern(state, found);
                    patterns.extend(&self.owners[literal.as_usize()]);
                }
            }
        }
    }

    fn next(&self, state: StateID, byte: u8) -> StateID {
        self.automaton.next_state(Anchored::No, state, byte)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_with(text: &str, offsets: &[usize]) -> Vec<String> {
        let mut lines: Vec<_> = offsets
            .iter()
            .map(|&offset| {
                let start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
                text[start..].lines().next().unwrap().to_owned()
            })
            .collect();
        lines.dedup();
        lines
    }

    #[track_caller]
    fn check(literals: &[String], text: &str) {
        let prefilter = Prefilter::new(literals.iter()).unwrap();
        assert_eq!(prefilter.without_literals.len(), 0);
        let mut offsets = Vec::new();
        prefilter.find_literals(text.as_bytes(), &mut offsets);
        let mut expected: Vec<_> = text
            .lines()
            .filter(|line| literals.iter().any(|literal| line.contains(literal)))
            .map(str::to_owned)
            .collect();
        expected.dedup();
        assert_eq!(lines_with(text, &offsets), expected);
        for line in text.lines() {
            let mut patterns = Vec::new();
            prefilter.patterns(line, &mut patterns);
            patterns.sort_unstable();
            patterns.dedup();
            let expected = literals.iter().enumerate();
            let expected = expected.filter(|(_, literal)| line.contains(*literal));
            assert_eq!(
                patterns,
                expected.map(|(index, _)| index).collect::<Vec<_>>()
            );
        }
    }

    proptest! {
        #[test]
        fn no_line_is_missed(
            literals in prop::collection::vec("[ab]{3,5}", 1..120),
            text in "[abc\n]{0,400}",
        ) {
            check(&literals, &text);
        }
    }

    #[test]
    fn many_literals_are_found_as_few_are() {
        let lines = (0..500).map(|n| format!("line {n} of many\nand {n}\n"));
        let text = lines.collect::<Vec<_>>().concat();
        let literals = |count| (0..count).map(|n| format!("line {n} ")).collect::<Vec<_>>();
        check(&literals(10), &text);
        check(&literals(MAX_FOR_SEARCHER + 200), &text);
    }
}
