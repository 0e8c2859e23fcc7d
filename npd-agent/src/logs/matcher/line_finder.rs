//! Finds the lines of a log file that contain a literal. No other line can match.

use std::collections::BTreeMap;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::packed::Searcher;
use aho_corasick::{Anchored, BuildError};

use super::Matcher;
use super::inner_literal::Literal;
use super::literal_set::{any_case, searched, searcher};

/// How many bytes of a literal the automaton looks for; the rest is compared. A larger automaton is slower:
/// 250 literals of this length take 0.7 MiB, and twice that with 16 bytes.
const MAX_SEARCHED: usize = 8;

/// How many parts of a text the automaton reads in parallel. Each of its steps depends on the one
/// before, so one part alone would leave the processor waiting.
const LANES: usize = 4;

/// The literals of all patterns that are looked for in a file, and the fastest way to find lines with
/// them in one pass.
#[derive(Debug)]
pub(crate) struct LineFinder {
    search: Search,
    /// For each matcher, the offsets of its literals.
    found: Vec<Vec<usize>>,
}

#[derive(Debug)]
enum Search {
    /// For a few literals of one matcher.
    Few(Box<Searcher>),
    /// For others.
    Many(Box<Beginnings>),
}

/// An automaton that finds where literals may begin.
#[derive(Debug)]
struct Beginnings {
    automaton: DFA,
    start: StateID,
    /// For each beginning, the literals that begin so.
    literals: Vec<Vec<Owned>>,
}

/// A literal, and the matchers that look for it.
#[derive(Debug)]
struct Owned {
    literal: Literal,
    /// How many bytes of it the automaton has found.
    found: usize,
    matchers: Vec<usize>,
}

impl LineFinder {
    /// The literals of all patterns of `matchers`, also as they are in JSON, and for each matcher `more`
    /// literals.
    pub(crate) fn of<'m, M: IntoIterator<Item = &'m Matcher>>(
        matchers: M,
        more: &[&str],
    ) -> Result<Self, BuildError> {
        let matchers = matchers.into_iter().map(|matcher| {
            let literals = matcher.prefilter.literals();
            let in_json = literals.clone().filter_map(Literal::in_json);
            let more = more.iter().map(|&text| Literal {
                text: text.to_owned(),
                any_case: false,
            });
            literals.cloned().chain(in_json).chain(more).collect()
        });
        Self::new(matchers.collect())
    }

    fn new(matchers: Vec<Vec<Literal>>) -> Result<Self, BuildError> {
        let found = vec![Vec::new(); matchers.len()];
        if let [literals] = &*matchers
            && let Some(searcher) = searcher(literals)
        {
            let search = Search::Few(Box::new(searcher));
            return Ok(Self { search, found });
        }
        let mut owners = BTreeMap::<Literal, Vec<usize>>::new();
        for (matcher, literals) in matchers.into_iter().enumerate() {
            for literal in literals {
                owners.entry(literal).or_default().push(matcher);
            }
        }
        let search = Search::Many(Box::new(Beginnings::new(owners)?));
        Ok(Self { search, found })
    }

    /// For each matcher, offsets of its literals in `lines`, in ascending order: at least one for each line
    /// that contains a literal.
    pub(crate) fn find(&mut self, lines: &[u8]) -> &[Vec<usize>] {
        let Self { search, found } = self;
        for offsets in &mut *found {
            offsets.clear();
        }
        match search {
            Search::Few(searcher) => {
                let mut from = 0;
                while let Some(literal) = searcher.find_in(lines, (from..lines.len()).into()) {
                    from = literal.end();
                    for offsets in &mut *found {
                        offsets.push(literal.start());
                    }
                }
            }
            Search::Many(beginnings) => {
                beginnings.find(lines, found);
                for offsets in &mut *found {
                    offsets.sort_unstable();
                }
            }
        }
        found
    }
}

impl Beginnings {
    fn new(owners: BTreeMap<Literal, Vec<usize>>) -> Result<Self, BuildError> {
        let mut beginnings = BTreeMap::<Literal, Vec<Owned>>::new();
        for (literal, matchers) in owners {
            let beginning = searched(literal.clone(), MAX_SEARCHED);
            let found = beginning.text.len();
            beginnings.entry(beginning).or_default().push(Owned {
                literal,
                found,
                matchers,
            });
        }
        let searched: Vec<_> = beginnings.keys().cloned().collect();
        let automaton = DFA::builder()
            .ascii_case_insensitive(any_case(&searched))
            .prefilter(false)
            .build(searched.iter().map(|literal| &literal.text))?;
        Ok(Self {
            start: automaton.start_state(Anchored::No).unwrap_or_default(),
            automaton,
            literals: beginnings.into_values().collect(),
        })
    }

    fn find(&self, lines: &[u8], found: &mut [Vec<usize>]) {
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
        // Written out, because the release build is optimised for size and would not unroll it.
        let [a, b, c, d] = parts.map(|part| &part[..together]);
        let [mut in_a, mut in_b, mut in_c, mut in_d] = [self.start; LANES];
        let special = |state| self.automaton.is_special(state);
        for (at, (((&a, &b), &c), &d)) in a.iter().zip(b).zip(c).zip(d).enumerate() {
            in_a = self.next(in_a, a);
            in_b = self.next(in_b, b);
            in_c = self.next(in_c, c);
            in_d = self.next(in_d, d);
            if special(in_a) | special(in_b) | special(in_c) | special(in_d) {
                for (bound, state) in bounds.iter().zip([in_a, in_b, in_c, in_d]) {
                    self.found(state, lines, bound + at, found);
                }
            }
        }
        for (lane, mut state) in [in_a, in_b, in_c, in_d].into_iter().enumerate() {
            for at in bounds[lane] + together..bounds[lane + 1] {
                state = self.next(state, lines[at]);
                self.found(state, lines, at, found);
            }
        }
    }

    #[inline]
    fn next(&self, state: StateID, byte: u8) -> StateID {
        self.automaton.next_state(Anchored::No, state, byte)
    }

    /// Adds the literals of which the beginning ends with the byte `at` of `lines`, after which the
    /// automaton is in `state`.
    fn found(&self, state: StateID, lines: &[u8], at: usize, found: &mut [Vec<usize>]) {
        if !self.automaton.is_match(state) {
            return;
        }
        for number in 0..self.automaton.match_len(state) {
            let beginning = self.automaton.match_pattern(state, number);
            for owned in &self.literals[beginning.as_usize()] {
                if owned.literal.begins(&lines[at + 1 - owned.found..]) {
                    for &matcher in &owned.matchers {
                        found[matcher].push(at);
                    }
                }
            }
        }
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

    /// Each matcher gets the lines with its literals.
    #[track_caller]
    fn check(matchers: &[Vec<String>], any_case: bool, text: &str) {
        let literals = matchers.iter().map(|literals| {
            let of = literals.iter().map(|text| Literal {
                text: text.clone(),
                any_case,
            });
            of.collect()
        });
        let mut finder = LineFinder::new(literals.collect()).unwrap();
        finder.find("abc\nbab\n".as_bytes());
        let found = finder.find(text.as_bytes());
        for (literals, offsets) in matchers.iter().zip(found) {
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
            assert_eq!(lines_with(text, offsets), expected);
        }
    }

    proptest! {
        #[test]
        fn no_line_is_missed(
            matchers in prop::collection::vec(prop::collection::vec("[ab]{3,11}", 0..120), 0..4),
            any_case in any::<bool>(),
            text in "[abAc\n]{0,400}",
        ) {
            check(&matchers, any_case, &text);
        }
    }

    #[test]
    fn many_literals_are_found_as_few_are() {
        let lines = (0..500).map(|n| format!("line {n} of many\nand {n}\n"));
        let text = lines.collect::<Vec<_>>().concat();
        let literals = |count| (0..count).map(|n| format!("line {n} ")).collect::<Vec<_>>();
        check(&[literals(10)], false, &text);
        check(&[literals(300)], false, &text);
        check(&[literals(300), literals(10)], false, &text);
    }
}
