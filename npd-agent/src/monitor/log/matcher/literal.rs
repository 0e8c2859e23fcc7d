//! What must stand in a line for a pattern to match it, so that most lines need no closer look.

use regex::bytes;
use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind};

/// Shorter literals stand in too many lines.
const MIN_LENGTH: usize = 3;

/// Of more alternatives than this, looking at every line costs no more.
const MAX_ALTERNATIVES: usize = 64;

/// A regex that finds something in every text that one of `patterns` can match, and in few others.
/// `None` if there is no such thing.
pub(super) fn prefilter(patterns: &[String]) -> Option<bytes::Regex> {
    let mut alternatives = Vec::new();
    for pattern in patterns {
        let pattern = regex_syntax::parse(pattern).ok()?;
        alternatives.extend(required(&pattern).filter(|found| shortest(found) >= MIN_LENGTH)?);
    }
    alternatives.sort();
    alternatives.dedup();
    let spelled: Vec<_> = alternatives.iter().map(Literal::spelled).collect();
    bytes::RegexBuilder::new(&spelled.join("|"))
        .size_limit(super::SIZE_LIMIT)
        .build()
        .ok()
}

/// A text that has to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Literal {
    text: String,
    /// Whether ASCII letters match in both cases.
    any_case: bool,
}

impl Literal {
    fn spelled(&self) -> String {
        let text = regex::escape(&self.text);
        if self.any_case {
            format!("(?i-u:{text})")
        } else {
            text
        }
    }
}

fn shortest(alternatives: &[Literal]) -> usize {
    alternatives
        .iter()
        .map(|literal| literal.text.len())
        .min()
        .unwrap_or(0)
}

/// Literals of which every match of `pattern` contains one; the best such choice.
fn required(pattern: &Hir) -> Option<Vec<Literal>> {
    match pattern.kind() {
        HirKind::Concat(parts) => of_sequence(parts),
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(required(branch)?);
            }
            (all.len() <= MAX_ALTERNATIVES).then_some(all)
        }
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Repetition(_) => None,
        _ => of_sequence(std::slice::from_ref(pattern)),
    }
}

/// The best among the runs of characters in a sequence and what its other parts require.
fn of_sequence(parts: &[Hir]) -> Option<Vec<Literal>> {
    let mut choices = Vec::new();
    let mut run = Literal::default();
    for part in parts {
        match part.kind() {
            HirKind::Literal(literal) => {
                let text = str::from_utf8(&literal.0).ok()?;
                // No literal spans lines, nor contains what a byte that is not UTF-8 is read as.
                let mut pieces = text.split(['\n', char::REPLACEMENT_CHARACTER]);
                run.text.push_str(pieces.next().unwrap_or_default());
                for piece in pieces {
                    choices.push(vec![std::mem::take(&mut run)]);
                    piece.clone_into(&mut run.text);
                }
            }
            HirKind::Class(Class::Unicode(class))
                if let Some(letter) = letter_in_both_cases(class) =>
            {
                run.text.push(letter);
                run.any_case = true;
            }
            HirKind::Look(_) => {}
            HirKind::Class(_) | HirKind::Empty => choices.push(vec![std::mem::take(&mut run)]),
            _ => {
                choices.push(vec![std::mem::take(&mut run)]);
                choices.extend(required(part));
            }
        }
    }
    choices.push(vec![run]);
    choices
        .into_iter()
        .max_by_key(|choice| shortest(choice))
        .filter(|best| shortest(best) > 0)
}

/// `[Aa]` is the letter `a` in both cases.
fn letter_in_both_cases(class: &ClassUnicode) -> Option<char> {
    let [upper, lower] = class.ranges() else {
        return None;
    };
    let single = |range: &regex_syntax::hir::ClassUnicodeRange| range.start() == range.end();
    let letter = lower.start();
    (single(upper) && single(lower) && upper.start() == letter.to_ascii_uppercase())
        .then_some(letter)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::super::tests::pattern;
    use super::*;
    use crate::go::regex::compile_anchored;

    #[track_caller]
    fn check(patterns: &[&str], expect: &Expect) {
        let anchored = patterns
            .iter()
            .map(|pattern| compile_anchored(pattern).unwrap());
        let found = prefilter(
            &anchored
                .map(|pattern| pattern.as_str().to_owned())
                .collect::<Vec<_>>(),
        );
        expect.assert_eq(found.as_ref().map_or("none", bytes::Regex::as_str));
    }

    #[test]
    fn the_longest_run_of_characters_is_required() {
        check(
            &[r"task [\S ]+:\w+ blocked for more than \w+ seconds\."],
            &expect![" blocked for more than "],
        );
        check(
            &[r".*\[Hardware Error\]: event severity: fatal$"],
            &expect![[r#"\[Hardware Error\]: event severity: fatal"#]],
        );
        check(
            &["(?i)currently unreadable"],
            &expect!["(?i-u:currently unreadable)"],
        );
        check(&[r"(foo|barbaz)+\d"], &expect!["barbaz|foo"]);
        check(&[r"(abc)def"], &expect!["def"]);
        check(&[r"abc\ndefg"], &expect!["defg"]);
        check(&["beta", "alpha", "beta"], &expect!["alpha|beta"]);
    }

    #[test]
    fn some_patterns_require_nothing() {
        check(&["", "alpha"], &expect![["none"]]);
        check(&["ab"], &expect![["none"]]);
        check(&["(abc)?"], &expect![["none"]]);
        check(&["abc|d*"], &expect![["none"]]);
        check(&["a\u{fffd}b"], &expect![["none"]]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_matches_contains_what_is_required(pattern in pattern(), text in "[ab \n]{0,8}") {
            let anchored = compile_anchored(&pattern).unwrap();
            let hir = regex_syntax::parse(anchored.as_str()).unwrap();
            if anchored.is_match(&text) && let Some(literals) = required(&hir) {
                let spelled: Vec<_> = literals.iter().map(Literal::spelled).collect();
                let filter = bytes::Regex::new(&spelled.join("|")).unwrap();
                prop_assert!(filter.is_match(text.as_bytes()), "{filter}");
            }
        }
    }
}
