//! Counts what a unit has written to the journal.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use regex::Regex;

use super::grep;
use crate::journal::{EntryFilter, Journal, Term};
use crate::node::Roots;

/// Each pattern, and how many lines with it are too many.
pub(super) type Patterns = BTreeMap<String, i64>;

/// Whether the unit has written too many lines with one of the patterns within the last `span`.
pub(super) fn complain(
    patterns: &Patterns,
    unit: &str,
    span: Duration,
    roots: &Roots,
) -> anyhow::Result<bool> {
    let compile = |(pattern, limit): (&String, &i64)| Ok((grep::compile(pattern)?, *limit, 0));
    let compiled = patterns.iter().map(compile);
    let mut counted = compiled.collect::<anyhow::Result<Vec<(Regex, i64, i64)>>>()?;
    let ago = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    let since = Timestamp::now().checked_sub(ago).unwrap_or(Timestamp::MIN);
    let since = u64::try_from(since.as_microsecond()).unwrap_or_default();
    let groups = vec![Term::of_unit(unit)];
    let mut journal = Journal::of_node(roots, EntryFilter { groups }, since);
    journal.scan();
    ensure!(!journal.is_absent(), "the node has no journal");
    while let Some(entry) = journal.next_entry() {
        if entry.realtime < since {
            continue;
        }
        let message = String::from_utf8_lossy(&entry.message);
        for line in message.lines() {
            for (pattern, _, count) in &mut counted {
                *count += i64::from(pattern.is_match(line));
            }
        }
    }
    journal.settle().context("reading the journal")?;
    Ok(counted.iter().any(|(_, limit, count)| count >= limit))
}
