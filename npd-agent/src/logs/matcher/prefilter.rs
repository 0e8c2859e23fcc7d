//! Finds the patterns that can match a text: those of which it contains a literal.

use std::collections::BTreeMap;

use aho_corasick::BuildError;

use super::inner_literal::{Literal, required};
use super::literal_set::{LiteralSet, searched_in_set};

/// The literals of many patterns, and the patterns of each literal.
#[derive(Debug)]
pub(super) struct Prefilter {
    set: LiteralSet,
    /// The patterns of each literal.
    owners: Vec<Vec<usize>>,
    /// Patterns without literals.
    pub(super) without_literals: Vec<usize>,
}

impl Prefilter {
    pub(super) fn new<P: AsRef<str>>(
        patterns: impl Iterator<Item = P>,
    ) -> Result<Self, BuildError> {
        let mut owners = BTreeMap::<Literal, Vec<usize>>::new();
        let mut without_literals = Vec::new();
        for (index, pattern) in patterns.enumerate() {
            let Some(found) = required(pattern.as_ref()) else {
                without_literals.push(index);
                continue;
            };
            for literal in found {
                owners
                    .entry(searched_in_set(literal))
                    .or_default()
                    .push(index);
            }
        }
        Ok(Self {
            set: LiteralSet::new(owners.keys().cloned().collect())?,
            owners: owners.into_values().collect(),
            without_literals,
        })
    }

    pub(super) fn literals(&self) -> impl Iterator<Item = &Literal> + Clone {
        self.set.literals().iter()
    }

    /// Adds the patterns that can match `text` to `patterns`, in any order, some perhaps twice.
    pub(super) fn patterns(&self, text: &str, patterns: &mut Vec<usize>) {
        patterns.extend(&self.without_literals);
        let found = |literal: usize| patterns.extend(&self.owners[literal]);
        self.set.find(text.as_bytes(), found);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_pattern_is_missed(
            literals in prop::collection::vec("[ab]{3,5}", 1..120),
            text in "[abc]{0,100}",
        ) {
            let prefilter = Prefilter::new(literals.iter()).unwrap();
            prop_assert!(prefilter.without_literals.is_empty());
            let mut patterns = Vec::new();
            prefilter.patterns(&text, &mut patterns);
            patterns.sort_unstable();
            patterns.dedup();
            let expected = literals.iter().enumerate();
            let expected = expected.filter(|(_, literal)| text.contains(*literal));
            let expected: Vec<_> = expected.map(|(index, _)| index).collect();
            prop_assert_eq!(patterns, expected);
        }
    }
}
