//! Finds where to begin in a log file: at the first line within the lookback.

use std::fs::File;
use std::io;

use jiff::Timestamp;

use super::fingerprint::read_at;

/// The search goes back by this many bytes at a time, and ends after a whole block of lines that are
/// too old. One old line is not enough, because the clock may have jumped.
const BLOCK: u64 = 1 << 20;

/// The search ends after this many bytes without any time.
const PATIENCE: u64 = 64 * BLOCK;

/// The offset in `file` after which there are lines of `start` or later. Searches backwards from the
/// end, until a whole block is older than `start`. `time` returns the time of a line.
pub(super) fn beginning(
    file: &File,
    start: Timestamp,
    mut time: impl FnMut(&[u8]) -> Option<Timestamp>,
) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut timeless = 0;
    let mut block = Vec::new();
    while end > 0 {
        let from = end.saturating_sub(BLOCK);
        block.resize(usize::try_from(end - from).unwrap_or(usize::MAX), 0);
        let filled = read_at(file, from, &mut block)?;
        let mut lines = &block[..filled];
        let mut first = from;
        if from > 0
            && let Some(newline) = lines.iter().position(|&byte| byte == b'\n')
        {
            // The first line began in the block before.
            lines = &lines[newline + 1..];
            first += newline as u64 + 1;
        }
        let mut newest_first = lines.rsplit(|&byte| byte == b'\n').filter_map(&mut time);
        match newest_first.next() {
            None => timeless += end - from,
            Some(newest) => {
                timeless = 0;
                if newest < start && newest_first.all(|time| time < start) {
                    return Ok(first);
                }
            }
        }
        if timeless >= PATIENCE {
            return Ok(first);
        }
        end = if first < end { first } else { from };
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::io::Write as _;

    use super::*;

    /// A file of lines that begin with their time in seconds.
    fn file(times: impl Iterator<Item = i64>) -> File {
        let mut file = tempfile::tempfile().unwrap();
        let mut lines = String::new();
        for time in times {
            writeln!(lines, "{time:08} {}", "x".repeat(90)).unwrap();
        }
        file.write_all(lines.as_bytes()).unwrap();
        file
    }

    fn time(line: &[u8]) -> Option<Timestamp> {
        let (second, _) = str::from_utf8(line).ok()?.split_once(' ')?;
        Timestamp::from_second(second.parse().ok()?).ok()
    }

    #[track_caller]
    fn check(file: &File, start: i64) -> (u64, u64) {
        let mut asked = 0;
        let start = Timestamp::from_second(start).unwrap();
        let found = beginning(file, start, |line| {
            asked += 1;
            time(line)
        });
        (found.unwrap(), asked)
    }

    #[test]
    fn only_what_counts_is_read_and_a_block_more() {
        // 100 bytes a line, 10,485.76 lines a block.
        let file = file(0..100_000);
        let (found, asked) = check(&file, 90_000);
        assert!(
            found <= 9_000_000 && found > 9_000_000 - 3 * BLOCK,
            "{found}"
        );
        assert_eq!(found % 100, 0, "between two lines");
        assert!(asked < 25_000, "{asked}");
        assert_eq!(check(&file, 0).0, 0);
        let (found, _) = check(&file, 200_000);
        assert!(found >= 10_000_000 - BLOCK, "{found}");
    }

    #[test]
    fn a_clock_that_jumped_does_not_hide_what_came_before() {
        let file = file((90_000..91_000).chain(10..1_000).chain(91_000..91_100));
        assert_eq!(check(&file, 90_500).0, 0);
    }

    #[test]
    fn lines_without_a_time_do_not_matter() {
        let mut file = file(0..20_000);
        file.write_all("no time\n".repeat(500_000).as_bytes())
            .unwrap();
        let (found, _) = check(&file, 19_999);
        assert!(found <= 1_999_900, "{found}");
    }

    #[test]
    fn a_line_longer_than_a_block_is_passed() {
        let mut file = file(0..10);
        file.write_all(&vec![b'x'; 3 << 20]).unwrap();
        assert_eq!(check(&file, 5).0, 0);
        assert_eq!(check(&tempfile::tempfile().unwrap(), 5).0, 0);
    }
}
