//! Patterns as NPD passes them to `grep -i`: POSIX basic regular expressions, with GNU's `\+`, `\?`
//! and `\|`, ignoring case.

use anyhow::Context;
use regex::{Regex, RegexBuilder};

/// A regex that matches what `grep -i` would match.
pub(super) fn compile(pattern: &str) -> anyhow::Result<Regex> {
    let built = RegexBuilder::new(&translate(pattern))
        .case_insensitive(true)
        .build();
    built.with_context(|| format!("the log pattern {pattern:?}"))
}

/// Translates a pattern into the syntax of the `regex` crate, where `(` and `\(` have swapped meanings.
fn translate(pattern: &str) -> String {
    let mut translated = String::new();
    let mut chars = pattern.chars().peekable();
    // There is nothing to repeat yet.
    let mut begins = true;
    while let Some(c) = chars.next() {
        let began = std::mem::replace(&mut begins, false);
        match c {
            '\\' => match chars.next() {
                Some(c @ ('+' | '?' | '{' | '}' | ')')) => translated.push(c),
                Some(c @ ('|' | '(')) => {
                    translated.push(c);
                    begins = true;
                }
                Some('<' | '>') => translated.push_str("\\b"),
                Some(c) => translated.extend(['\\', c]),
                None => translated.push_str("\\\\"),
            },
            '*' if began => translated.push_str("\\*"),
            '^' if began => {
                translated.push(c);
                begins = true;
            }
            '+' | '?' | '{' | '}' | '|' | '(' | ')' | '^' => translated.extend(['\\', c]),
            // A `$` is an anchor only at the end of the pattern or of a part of it.
            '$' if !ends(&mut chars.clone()) => translated.push_str("\\$"),
            '[' => class(&mut chars, &mut translated),
            c => translated.push(c),
        }
    }
    translated
}

fn ends(rest: &mut impl Iterator<Item = char>) -> bool {
    match rest.next() {
        None => true,
        Some('\\') => matches!(rest.next(), Some('|' | ')')),
        Some(_) => false,
    }
}

/// The characters of a class up to its `]`. If `]` comes first, it is a member of the class.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, translated: &mut String) {
    translated.push('[');
    translated.extend(chars.next_if_eq(&'^'));
    if chars.next_if_eq(&']').is_some() {
        translated.push_str("\\]");
    }
    while let Some(c) = chars.next() {
        match c {
            ']' => break,
            '[' if chars.peek() == Some(&':') => {
                translated.push('[');
                for c in chars.by_ref() {
                    translated.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' | '\\' | '&' | '~' => translated.extend(['\\', c]),
            c => translated.push(c),
        }
    }
    translated.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expect: bool) {
        let compiled = compile(pattern).unwrap();
        assert_eq!(compiled.is_match(text), expect, "{pattern} is {compiled}");
    }

    /// Each case was tried with GNU grep 3.8.
    #[test]
    fn patterns_find_what_grep_finds() {
        check("Connection Refused", "dial tcp: connection refused", true);
        check("a.c", "ABC", true);
        check("a.c", "ac", false);
        check("a+", "a+", true);
        check("a+", "aa", false);
        check("a\\+b", "aab", true);
        check("a\\|b", "b", true);
        check("a|b", "b", false);
        check("a|b", "a|b", true);
        check("(a)", "(a)", true);
        check("(a)", "a", false);
        check("\\(ab\\)\\{2\\}", "abab", true);
        check("\\(ab\\)\\{2\\}", "ab", false);
        check("x{2}", "x{2}", true);
        check("*a", "*a", true);
        check("\\(*a\\)", "*a", true);
        check("a*", "", true);
        check("^a", "ba", false);
        check("a^b", "a^b", true);
        check("a$", "ab", false);
        check("a$b", "a$b", true);
        check("\\(a$\\|c\\)", "ba", true);
        check("[]x]", "]", true);
        check("[^]x]", "]", false);
        check("[[:digit:]x]", "7", true);
        check("[a[b]", "[", true);
        check("[a\\d]", "\\", true);
        check("[a\\d]", "7", false);
        check("[a&&b]", "&", true);
        check("\\<error\\>", "an error.", true);
        check("\\<error\\>", "errors", false);
        check("\\.", "a", false);
    }
}
