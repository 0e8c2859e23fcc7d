use proptest::prelude::*;
use regex::Captures;

use super::{RegexErrorKind, compile, compile_anchored, translate};
use crate::go::tests::vectors;

#[test]
fn finds_what_go_finds() {
    for row in vectors::read("regex.tsv") {
        let [pattern, text, expected] = row.fields();
        let ours = match compile(pattern) {
            Ok(regex) => regex
                .captures(text)
                .map_or("no match".to_owned(), |groups| spans(&groups)),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            ours,
            expected,
            "{row}, translated to {:?}",
            translate(pattern)
        );
    }
}

/// As Go prints `FindStringSubmatchIndex`.
fn spans(groups: &Captures<'_>) -> String {
    let ends = groups.iter().flat_map(|group| {
        group.map_or(["-1".to_owned(), "-1".to_owned()], |group| {
            [group.start().to_string(), group.end().to_string()]
        })
    });
    format!("[{}]", ends.collect::<Vec<_>>().join(" "))
}

#[test]
fn anchors_the_text_and_so_the_last_branch_only() {
    let check = |pattern, text, expected| {
        assert_eq!(
            compile_anchored(pattern).unwrap().is_match(text),
            expected,
            "{pattern}"
        );
    };
    check("a|b", "a!", true);
    check("a|b", "b!", false);
    check("(a|b)", "a!", false);
    check("a$", "a\n", false);
    check(r"\Qa", r"a\z", true);
    check(r"a\", r"a\z", true);
    let error = compile_anchored("(a").unwrap_err();
    assert_eq!(
        error.to_string(),
        r"error parsing regexp: missing closing ): `(a\z`"
    );
}

#[test]
fn keeps_within_the_bounds_of_the_regex_crate() {
    let check = |pattern: &str, expected| {
        assert_eq!(
            compile(pattern).err().map(|error| error.kind),
            expected,
            "{pattern:.20}"
        );
    };
    check(".{1000}", None);
    check(r"\S{1000}", None);
    check(r"[^\n]{500}x{500}", None);
    check(r"\pL{1000}", Some(RegexErrorKind::TooLarge));
    check(&format!("{}a{}", "(".repeat(200), ")".repeat(200)), None);
    check(
        &format!("{}a{}", "(".repeat(1000), ")".repeat(1000)),
        Some(RegexErrorKind::NestingDepth),
    );
    check(
        &"(".repeat(100_000),
        Some(RegexErrorKind::MissingParenthesis),
    );
}

#[test]
fn repeats_nothing_after_flags() {
    for pattern in ["a(?i)*", "a(?)+", r"a\Q\E{2}"] {
        assert_eq!(
            compile(pattern).unwrap_err().kind,
            RegexErrorKind::RepeatArgument,
            "{pattern}"
        );
    }
}

proptest! {
    /// Every translation compiles, unless it is too large.
    #[test]
    fn translations_are_sound(
        pattern in r"([a-cé.*+?|()\[\]{},^$\\&~<>:#/ -]|\(\?[imsU-]{0,2}[:)]|\\[a-zA-Z0-9]|\\x\{[0-9a-f]{1,6}\}|\\p\{\^?L\}|\[:alpha:\]|\{[0-9]{0,2},?[0-9]?\}){0,12}"
    ) {
        if let Ok(translated) = translate(&pattern) {
            let compiled = regex::Regex::new(&translated);
            let sound = matches!(compiled, Ok(_) | Err(regex::Error::CompiledTooBig(_)));
            prop_assert!(sound, "{translated}: {compiled:?}");
        }
    }

    #[test]
    fn quoted_text_is_found_as_it_is(text: String) {
        prop_assume!(!text.contains(r"\E"));
        prop_assume!(!text.ends_with('\\'));
        let regex = compile(&format!(r"^\Q{text}\E$")).unwrap();
        prop_assert!(regex.is_match(&text), "{regex}");
    }
}
