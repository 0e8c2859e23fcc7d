//! What logs may take of the memory, whatever is written to them: less than half of the limit in our
//! manifests, 80 MiB, however many files are read.

use super::rule_set::RuleSet;

/// How many bytes the entries that patterns span may have in all config files together. While a pattern is
/// tried they are joined, which takes as much again.
const SPANNED: usize = 8 << 20;

/// How many bytes of all log files together may be in memory to find the ends of their lines.
const READ: usize = 16 << 20;

/// The shortest line that may be cut, in bytes.
const SHORTEST_CUT: usize = 16 << 10;

/// Shares it among the sets with such patterns.
pub(super) fn share(mut sets: Vec<&mut RuleSet>) {
    sets.retain(|set| set.matcher.spans());
    let share = SPANNED / sets.len().max(1);
    for set in sets {
        set.matcher.limit(share);
    }
}

/// The longest line to read if there are this many log files. Each file also cuts lines of more than 1 MiB.
pub(super) fn longest_line(log_files: usize) -> usize {
    (READ / log_files.max(1)).max(SHORTEST_CUT)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::monitor::ConfigFile;
    use crate::monitor::log::config;
    use crate::node::clock::ClockReading;
    use crate::problem::{MAX_MESSAGE, Witness};

    fn set(number: usize) -> RuleSet {
        let rule = r#"{"type": "temporary", "reason": "Any", "pattern": "(?s)x.*"}"#;
        let json = format!(
            r#"{{"plugin": "kmsg", "bufferSize": 10000, "rules": [{rule}, {rule}, {rule}]}}"#
        );
        let file = ConfigFile {
            name: Arc::from(format!("{number}.json")),
            dir: None,
            bytes: json.into_bytes(),
        };
        config::parse(&file, &mut Vec::new()).unwrap().1
    }

    #[test]
    fn lines_of_many_files_are_shorter() {
        assert!(longest_line(16) >= 1 << 20, "a MiB each");
        assert!(600 * longest_line(600) <= READ);
        assert_eq!(longest_line(100_000), SHORTEST_CUT);
    }

    #[test]
    fn long_lines_take_a_bounded_part_of_the_memory() {
        let now = ClockReading {
            wall: Timestamp::UNIX_EPOCH,
            monotonic: std::time::Duration::ZERO,
        };
        let line = "x".repeat(1 << 20);
        for files in [1, 8, 40] {
            let mut sets: Vec<_> = (0..files).map(set).collect();
            share(sets.iter_mut().collect());
            for set in &mut sets {
                for _ in 0..3 {
                    let found = set.take(now, &line, Witness::Other);
                    let message = &found[0].message;
                    assert!(message.len() <= MAX_MESSAGE, "{}", message.len());
                }
            }
            let memory: usize = sets.iter().map(|set| set.matcher.spanned()).sum();
            // The empty places before the oldest entry are newlines.
            let most = 2 * SPANNED + files * 10_000;
            assert!(memory <= most, "{files} files: {memory} bytes");
        }
    }
}
