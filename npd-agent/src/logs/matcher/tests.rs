use std::fmt::Write as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::go::regex::compile_anchored;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn lazy(pattern: &str) -> LazyRegex {
    compile_anchored(pattern).unwrap().into()
}

/// Feeds `lines` to a buffer of `capacity` entries, and shows what each completes.
#[track_caller]
fn check(patterns: &[&str], capacity: usize, lines: &[&str], expect: &Expect) {
    let compiled = patterns.iter().map(|pattern| {
        (
            compile_anchored(pattern).unwrap().into(),
            MatchUnit::Entries,
        )
    });
    let mut matcher = Matcher::new(compiled.collect(), capacity).unwrap();
    let mut shown = String::new();
    for (second, line) in (1..).zip(lines) {
        for (index, Matched { timestamp, text }) in matcher.push(at(second), line, true) {
            let since = timestamp.as_second();
            let pattern = patterns[index];
            writeln!(shown, "{second}: {pattern} from {since}: {text:?}").unwrap();
        }
    }
    expect.assert_eq(&shown);
}

#[test]
fn a_match_ends_with_the_newest_entry_and_is_whole_entries() {
    check(
        &["b+", r"a\nb", "(?s)one.*b"],
        3,
        &["one a", "xbb", "b and more", "one a", "b", "c"],
        &expect![[r#"
            2: b+ from 2: "xbb"
            2: (?s)one.*b from 1: "one a\nxbb"
            5: b+ from 5: "b"
            5: a\nb from 4: "one a\nb"
            5: (?s)one.*b from 4: "one a\nb"
        "#]],
    );
}

#[test]
fn only_the_last_branch_of_an_alternation_is_anchored() {
    check(
        &["bad|worse"],
        3,
        &["bad news", "fine", "fine", "fine", "worse and", "worse"],
        &expect![[r#"
            1: bad|worse from 1: "bad news"
            2: bad|worse from 1: "bad news\nfine"
            3: bad|worse from 1: "bad news\nfine\nfine"
            6: bad|worse from 6: "worse"
        "#]],
    );
}

#[test]
fn a_caret_is_the_start_of_the_whole_ring() {
    check(
        &["^a.*"],
        1,
        &["ab", "ba"],
        &expect![[r#"
        1: ^a.* from 1: "ab"
    "#]],
    );
    check(&["^a.*"], 2, &["ab", "ab", "ab"], &expect![[""]]);
    check(
        &["(?m)^a.*"],
        2,
        &["ab", "ba", "ac"],
        &expect![[r#"
        1: (?m)^a.* from 1: "ab"
        3: (?m)^a.* from 3: "ac"
    "#]],
    );
    check(
        &[r"(?s)^a.*"],
        2,
        &["ab", "ba", "ac"],
        &expect![[r#"
        2: (?s)^a.* from 1: "ab\nba"
    "#]],
    );
}

#[test]
fn an_unfilled_ring_starts_with_newlines() {
    check(
        &[r"\A\n\na"],
        3,
        &["a", "a", "a"],
        &expect![[r#"
        1: \A\n\na from 1: "a"
    "#]],
    );
}

#[test]
fn an_empty_pattern_matches_every_entry() {
    check(
        &["", "x*"],
        3,
        &["a", ""],
        &expect![[r#"
        1:  from 1: "a"
        1: x* from 1: "a"
        2:  from 2: ""
        2: x* from 2: ""
    "#]],
    );
}

#[test]
fn a_pattern_may_span_the_lines_of_one_entry() {
    check(
        &[r"a\nb", "b"],
        2,
        &["a\nb"],
        &expect![[r#"
        1: a\nb from 1: "a\nb"
        1: b from 1: "a\nb"
    "#]],
    );
}

#[test]
fn matches_come_in_the_order_of_the_rules() {
    check(
        &[r"(?s).*c", "c", r"b\nc", ".*"],
        2,
        &["b", "c"],
        &expect![[r#"
        1: .* from 1: "b"
        2: (?s).*c from 1: "b\nc"
        2: c from 2: "c"
        2: b\nc from 1: "b\nc"
        2: .* from 2: "c"
    "#]],
    );
}

#[test]
fn a_pattern_costs_nothing_until_a_line_contains_its_literal() {
    for (pattern, capacity) in [(r"\w+ is broken", 1), (r"is broken\n\w+ again", 3)] {
        let pattern = lazy(pattern);
        let patterns = vec![(pattern.clone(), MatchUnit::Entries)];
        let mut matcher = Matcher::new(patterns, capacity).unwrap();
        matcher.push(at(1), "the disk is fine", true);
        assert!(!pattern.is_compiled());
        matcher.push(at(2), "the disk is broken", true);
        assert!(pattern.is_compiled());
    }
}

#[track_caller]
fn check_local(pattern: &str, local: bool) {
    let compiled = lazy(pattern);
    assert_eq!(sees_newest_entry_only(&compiled), local, "{pattern}");
}

#[test]
fn only_patterns_that_cannot_tell_are_local() {
    for pattern in [
        "", "a", "a.*b", "a$", r"[\S ]+x", r"\ba\b", "(?m)^a", "(a|b)", "[^a\n]", "(?i)x",
    ] {
        check_local(pattern, true);
    }
    for pattern in [
        "a|b", "^a", r"\Aa", r"a\nb", "[^a]", r"\s", "(?s).", "(|^)a", r"\W", "(?m)a$|b",
    ] {
        check_local(pattern, false);
    }
}

pub(super) fn pattern() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a", "b", " ", ".", "^", "$", r"\A", r"\z", r"\b", r"\B", r"\n", r"\s", r"\w", "[^a]",
        "[ab]", "(?m:^)", "(?m:$)", "(?s:.)", "(?i:A)", "",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.join("|")),
            inner.clone().prop_map(|part| format!("({part})")),
            (inner, prop::sample::select(vec!["*", "+?", "?", "{1,2}"]))
                .prop_map(|(part, times)| format!("(?:{part}){times}")),
        ]
    })
}

proptest! {
    #[test]
    fn the_fast_way_finds_what_npds_way_finds(
        patterns in prop::collection::vec(pattern(), 1..6),
        lines in prop::collection::vec("[ab \n]{0,6}", 1..12),
        capacity in 1_usize..5,
    ) {
        let compiled: Vec<_> = patterns.iter().map(|pattern| lazy(pattern)).collect();
        let units = compiled.iter().map(|pattern| (pattern.clone(), MatchUnit::Entries));
        let mut matcher = Matcher::new(units.collect(), capacity).unwrap();
        let mut buffer = LogBuffer::new(capacity);
        for (second, line) in (1..).zip(&lines) {
            buffer.push(at(second), line);
            let mut joined = String::new();
            buffer.join(&mut joined);
            let naive: Vec<_> = compiled
                .iter()
                .enumerate()
                .filter_map(|(index, pattern)| Some((index, matched(&buffer, &joined, pattern)?)))
                .collect();
            let mut found = matcher.push(at(second), line, true);
            if line.contains('\n') {
                // Its lines are tried, too.
                found.retain(|one| naive.contains(one));
            }
            prop_assert_eq!(found, naive);
        }
    }
}
