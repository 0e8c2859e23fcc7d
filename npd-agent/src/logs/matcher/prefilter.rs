//! Finds the lines that patterns can match by the texts that have to be there.

use std::collections::BTreeMap;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::packed::Searcher;
use aho_corasick::{Anchored, BuildError};

use super::inner_literal::{Literal, required};

/// How much of a literal is looked for. A longer one would not tell much more.
const LOOKED_FOR: usize = 16;

/// Of more literals than this, the searcher for few finds too much to be sure of.
const FEW: usize = 64;

/// How many parts of a text the automaton goes through at once: its next step has to wait for the
/// last one, and the processor has time for more meanwhile.
const LANES: usize = 4;

/// What stands in every text that one of many patterns can match, and in few others.
#[derive(Debug)]
pub(super) struct Screen {
    automaton: DFA,
    start: StateID,
    /// For a few literals there is a faster way to see that there is none.
    few: Option<Searcher>,
    /// The patterns that each literal belongs to.
    owners: Vec<Vec<usize>>,
    /// Patterns that require nothing.
    pub(super) unscreened: Vec<usize>,
}

impl Screen {
    pub(super) fn new<P: AsRef<str>>(
        patterns: impl Iterator<Item = P>,
    ) -> Result<Self, BuildError> {
        let mut literals = BTreeMap::<Vec<u8>, Vec<usize>>::new();
        let mut unscreened = Vec::new();
        let mut any_case = false;
        for (index, pattern) in patterns.enumerate() {
            let Some(found) = required(pattern.as_ref()) else {
                unscreened.push(index);
                continue;
            };
            for Literal {
                text,
                any_case: this,
            } in found
            {
                any_case |= this;
                let length = text.len().min(LOOKED_FOR);
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
        let few = !any_case && (1..=FEW).contains(&literals.len());
        Ok(Self {
            start: automaton.start_state(Anchored::No).unwrap_or_default(),
            automaton,
            few: few.then(|| Searcher::new(literals.keys())).flatten(),
            owners: literals.into_values().collect(),
            unscreened,
        })
    }

    /// Adds to `places` where in `lines` something is found, in every line with something at least
    /// once, in their order.
    pub(super) fn places(&self, lines: &[u8], places: &mut Vec<usize>) {
        if self.owners.is_empty() {
            return;
        }
        let Some(few) = &self.few else {
            self.places_of_many(lines, places);
            return;
        };
        let mut from = 0;
        while let Some(found) = few.find_in(lines, (from..lines.len()).into()) {
            places.push(found.start());
            from = found.end();
        }
    }

    fn places_of_many(&self, lines: &[u8], places: &mut Vec<usize>) {
        // No literal contains a newline, so that no part has to know how the one before it ended.
        let mut bounds = [0; LANES + 1];
        for lane in 1..=LANES {
            let about = (lines.len() * lane / LANES).max(bounds[lane - 1]);
            let newline = lines[about..].iter().position(|&byte| byte == b'\n');
            bounds[lane] = newline.map_or(lines.len(), |newline| about + newline + 1);
        }
        let first = places.len();
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
                places.extend(matches.map(|lane| bounds[lane] + at));
            }
        }
        for ((part, &bound), state) in parts.iter().zip(&bounds).zip(&mut states) {
            for (at, &byte) in part.iter().enumerate().skip(together) {
                *state = self.next(*state, byte);
                if self.automaton.is_match(*state) {
                    places.push(bound + at);
                }
            }
        }
        places[first..].sort_unstable();
    }

    /// Adds to `patterns` those that can match `text`, in no order and perhaps twice.
    pub(super) fn patterns(&self, text: &str, patterns: &mut Vec<usize>) {
        patterns.extend(&self.unscreened);
        if self.owners.is_empty()
            || self
                .few
                .as_ref()
                .is_some_and(|few| few.find(text).is_none())
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

    fn lines_with(text: &str, places: &[usize]) -> Vec<String> {
        let mut lines: Vec<_> = places
            .iter()
            .map(|&place| {
                let start = text[..place].rfind('\n').map_or(0, |newline| newline + 1);
                text[start..].lines().next().unwrap().to_owned()
            })
            .collect();
        lines.dedup();
        lines
    }

    #[track_caller]
    fn check(literals: &[String], text: &str) {
        let screen = Screen::new(literals.iter()).unwrap();
        assert_eq!(screen.unscreened.len(), 0);
        let mut places = Vec::new();
        screen.places(text.as_bytes(), &mut places);
        let mut expected: Vec<_> = text
            .lines()
            .filter(|line| literals.iter().any(|literal| line.contains(literal)))
            .map(str::to_owned)
            .collect();
        expected.dedup();
        assert_eq!(lines_with(text, &places), expected);
        for line in text.lines() {
            let mut patterns = Vec::new();
            screen.patterns(line, &mut patterns);
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
        check(&literals(FEW + 200), &text);
    }
}
