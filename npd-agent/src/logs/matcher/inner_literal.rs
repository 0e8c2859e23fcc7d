//! Finds the literals of a pattern: texts of which every match contains one. A line without them
//! cannot match, so most lines need no further work.

use std::fmt::Write as _;

use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind};

/// Shorter literals are in too many lines.
const MIN_LENGTH: usize = 3;

/// With more alternatives than this, trying the pattern on every line is as cheap.
const MAX_ALTERNATIVES: usize = 64;

/// A text that a match contains.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Literal {
    pub(super) text: String,
    /// Whether ASCII letters match in both cases.
    pub(super) any_case: bool,
}

impl Literal {
    /// Whether `text` begins with this literal.
    pub(super) fn begins(&self, text: &[u8]) -> bool {
        let literal = self.text.as_bytes();
        let text = text.get(..literal.len()).unwrap_or_default();
        text == literal || self.any_case && text.eq_ignore_ascii_case(literal)
    }

    /// The literal as it is written in JSON, if that is another text. Docker's JSON escapes what Go's does.
    pub(super) fn in_json(&self) -> Option<Self> {
        let mut text = String::new();
        for letter in self.text.chars() {
            match letter {
                '"' | '\\' => text.extend(['\\', letter]),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    _ = write!(text, "\\u{:04x}", u32::from(letter));
                }
                _ => text.push(letter),
            }
        }
        let any_case = self.any_case;
        (text != self.text).then_some(Self { text, any_case })
    }

    /// Whether this literal ends where `text` ends, if the two are the same but for the case.
    pub(super) fn ends(&self, text: &[u8]) -> bool {
        self.any_case || text.ends_with(self.text.as_bytes())
    }
}

/// The literals of `pattern`: every match contains at least one of them. They contain no newline.
/// `None` if there are none, or one is too short.
pub(super) fn required(pattern: &str) -> Option<Vec<Literal>> {
    let pattern = regex_syntax::parse(pattern).ok()?;
    required_by(&pattern).filter(|found| shortest(found) >= MIN_LENGTH)
}

fn shortest(alternatives: &[Literal]) -> usize {
    alternatives
        .iter()
        .map(|literal| literal.text.len())
        .min()
        .unwrap_or(0)
}

/// The best literals of `pattern`.
fn required_by(pattern: &Hir) -> Option<Vec<Literal>> {
    match pattern.kind() {
        HirKind::Concat(parts) => of_sequence(parts),
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(required_by(branch)?);
            }
            (all.len() <= MAX_ALTERNATIVES).then_some(all)
        }
        HirKind::Capture(capture) => required_by(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required_by(&repetition.sub),
        HirKind::Repetition(_) => None,
        _ => of_sequence(std::slice::from_ref(pattern)),
    }
}

/// The best literals of a sequence: a run of its characters, or the literals of one of its parts.
fn of_sequence(parts: &[Hir]) -> Option<Vec<Literal>> {
    let mut choices = Vec::new();
    let mut run = Literal::default();
    for part in parts {
        match part.kind() {
            HirKind::Literal(literal) => {
                let text = str::from_utf8(&literal.0).ok()?;
                // A literal must not contain a newline, or U+FFFD, which may stand for any byte.
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
                choices.extend(required_by(part));
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
    fn check(pattern: &str, expect: &Expect) {
        let anchored = compile_anchored(pattern).unwrap();
        let found = required(anchored.as_str()).unwrap_or_default();
        let shown = found.iter().map(|Literal { text, any_case }| {
            let case = if *any_case { " in any case" } else { "" };
            format!("{text:?}{case}")
        });
        expect.assert_eq(&shown.collect::<Vec<_>>().join(", "));
    }

    #[test]
    fn the_longest_run_of_characters_is_required() {
        check(
            r"task [\S ]+:\w+ blocked for more than \w+ seconds\.",
            &expect![[r#"" blocked for more than ""#]],
        );
        check(
            r".*\[Hardware Error\]: event severity: fatal$",
            &expect![[r#""[Hardware Error]: event severity: fatal""#]],
        );
        check(
            "(?i)currently unreadable",
            &expect![[r#""currently unreadable" in any case"#]],
        );
        check(r"(foo|barbaz)+\d", &expect![[r#""foo", "barbaz""#]]);
        check(r"(abc)def", &expect![[r#""def""#]]);
        check(r"abc\ndefg", &expect![[r#""defg""#]]);
    }

    #[test]
    fn some_patterns_require_nothing() {
        for pattern in ["", "ab", "(abc)?", "abc|d*", "a\u{fffd}b"] {
            check(pattern, &expect![[""]]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_matches_contains_what_is_required(pattern in pattern(), text in "[abA \n]{0,8}") {
            let anchored = compile_anchored(&pattern).unwrap();
            let hir = regex_syntax::parse(anchored.as_str()).unwrap();
            if anchored.is_match(&text) && let Some(literals) = required_by(&hir) {
                let contained = |Literal { text: literal, any_case }: &Literal| if *any_case {
                    text.to_ascii_lowercase().contains(&literal.to_ascii_lowercase())
                } else {
                    text.contains(literal)
                };
                prop_assert!(literals.iter().any(contained), "{literals:?}");
            }
        }
    }
}
