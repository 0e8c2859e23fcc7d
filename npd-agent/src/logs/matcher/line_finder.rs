//! Finds the lines of a log file that contain a literal. No other line can match.

use std::collections::BTreeSet;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::packed::Searcher;
use aho_corasick::{Anchored, BuildError};

use super::Matcher;
use super::inner_literal::Literal;
use super::literal_set::{any_case, searched, searcher};

/// How many bytes of a literal are searched. More would exclude few lines, and a larger automaton is
/// slower: 250 literals of this length take 0.7 MiB, and twice that with 16 bytes.
const MAX_SEARCHED: usize = 8;

/// How many parts of a text the automaton reads in parallel. Each of its steps depends on the one
/// before, so one part alone would leave the processor waiting.
const LANES: usize = 4;

/// The literals of all patterns that are looked for in a file, and the fastest way to find lines with
/// them in one pass.
#[derive(Debug)]
pub(crate) struct LineFinder {
    literals: Vec<Literal>,
    search: Search,
}

#[derive(Debug)]
enum Search {
    Nothing,
    /// For a few literals.
    Few(Box<Searcher>),
    /// For many.
    Many {
        automaton: Box<DFA>,
        start: StateID,
    },
}

impl LineFinder {
    /// The literals of all patterns of `matchers`.
    pub(crate) fn of<'m, M: IntoIterator<Item = &'m Matcher>>(
        matchers: M,
    ) -> Result<Self, BuildError> {
        let matchers = matchers.into_iter();
        let literals = matchers.flat_map(|matcher| matcher.prefilter.literals());
        Self::new(literals.cloned().collect())
    }

    fn new(literals: BTreeSet<Literal>) -> Result<Self, BuildError> {
        let few = Vec::from_iter(literals);
        if few.is_empty() {
            return Ok(Self {
                literals: few,
                search: Search::Nothing,
            });
        }
        if let Some(searcher) = searcher(&few) {
            return Ok(Self {
                literals: few,
                search: Search::Few(Box::new(searcher)),
            });
        }
        let literals = few
            .into_iter()
            .map(|literal| searched(literal, MAX_SEARCHED));
        let literals: BTreeSet<_> = literals.collect();
        let literals = Vec::from_iter(literals);
        let automaton = DFA::builder()
            .ascii_case_insensitive(any_case(&literals))
            .prefilter(false)
            .build(literals.iter().map(|literal| &literal.text))?;
        let start = automaton.start_state(Anchored::No).unwrap_or_default();
        Ok(Self {
            literals,
            search: Search::Many {
                automaton: Box::new(automaton),
                start,
            },
        })
    }

    /// Replaces `offsets` by offsets of literals in `lines`, in ascending order: at least one for each
    /// line that contains a literal.
    pub(crate) fn find(&self, lines: &[u8], offsets: &mut Vec<usize>) {
        offsets.clear();
        match &self.search {
            Search::Nothing => {}
            Search::Few(searcher) => {
                let mut from = 0;
                while let Some(found) = searcher.find_in(lines, (from..lines.len()).into()) {
                    offsets.push(found.start());
                    from = found.end();
                }
            }
            Search::Many { automaton, start } => {
                self.find_many(automaton, *start, lines, offsets);
            }
        }
    }

    fn find_many(&self, automaton: &DFA, start: StateID, lines: &[u8], offsets: &mut Vec<usize>) {
        // Parts begin after a newline. No literal contains one, so none crosses from part to part.
        let mut bounds = [0; LANES + 1];
        for lane in 1..=LANES {
            let about = (lines.len() * lane / LANES).max(bounds[lane - 1]);
            let newline = lines[about..].iter().position(|&byte| byte == b'\n');
            bounds[lane] = newline.map_or(lines.len(), |newline| about + newline + 1);
        }
        let parts: [&[u8]; LANES] =
            std::array::from_fn(|lane| &lines[bounds[lane]..bounds[lane + 1]]);
        let together = parts.iter().map(|part| part.len()).min().unwrap_or(0);
        let [a, b, c, d] = parts.map(|part| &part[..together]);
        let next = |state, byte| automaton.next_state(Anchored::No, state, byte);
        let mut states = [start; LANES];
        for (at, (((&a, &b), &c), &d)) in a.iter().zip(b).zip(c).zip(d).enumerate() {
            for (state, byte) in states.iter_mut().zip([a, b, c, d]) {
                *state = next(*state, byte);
            }
            if states.iter().any(|&state| automaton.is_special(state)) {
                for (lane, &state) in states.iter().enumerate() {
                    let at = bounds[lane] + at;
                    if self.is_literal(automaton, state, &lines[..=at]) {
                        offsets.push(at);
                    }
                }
            }
        }
        for ((part, &bound), state) in parts.iter().zip(&bounds).zip(&mut states) {
            for (at, &byte) in part.iter().enumerate().skip(together) {
                *state = next(*state, byte);
                if self.is_literal(automaton, *state, &lines[..=bound + at]) {
                    offsets.push(bound + at);
                }
            }
        }
        offsets.sort_unstable();
    }

    /// Whether a literal ends where `text` ends, after which the automaton is in `state`.
    fn is_literal(&self, automaton: &DFA, state: StateID, text: &[u8]) -> bool {
        automaton.is_match(state)
            && (0..automaton.match_len(state)).any(|number| {
                let literal = automaton.match_pattern(state, number);
                self.literals[literal.as_usize()].ends(text)
            })
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
    fn check(literals: &[String], any_case: bool, text: &str) {
        let of = literals.iter().map(|text| Literal {
            text: text.clone(),
            any_case,
        });
        let mut offsets = vec![5];
        let finder = LineFinder::new(of.collect()).unwrap();
        finder.find(text.as_bytes(), &mut offsets);
        let is_in = |line: &str, literal: &String| {
            let line = if any_case {
                line.to_ascii_lowercase()
            } else {
                line.to_owned()
            };
            line.contains(literal)
        };
        let mut expected: Vec<_> = text
            .lines()
            .filter(|line| literals.iter().any(|literal| is_in(line, literal)))
            .map(str::to_owned)
            .collect();
        expected.dedup();
        assert_eq!(lines_with(text, &offsets), expected);
    }

    proptest! {
        #[test]
        fn no_line_is_missed(
            literals in prop::collection::vec("[ab]{3,5}", 0..120),
            any_case in any::<bool>(),
            text in "[abAc\n]{0,400}",
        ) {
            check(&literals, any_case, &text);
        }
    }

    #[test]
    fn many_literals_are_found_as_few_are() {
        let lines = (0..500).map(|n| format!("{n} of many\nand {n}\n"));
        let text = lines.collect::<Vec<_>>().concat();
        let literals = |count| (0..count).map(|n| format!("{n} of ")).collect::<Vec<_>>();
        check(&literals(10), false, &text);
        check(&literals(200), false, &text);
    }
}
