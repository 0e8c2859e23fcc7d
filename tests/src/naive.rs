//! A simple log monitor: every line is decoded, its time and message are found, and every pattern is
//! tried on the whole buffer. Tests compare the agent with its results, and benchmarks with its speed.

use std::collections::VecDeque;

use jiff::Timestamp;
use regex::Regex;

/// A log monitor, for lines that all lie after its start.
pub struct Naive<T> {
    /// Where the message stands: the last group, or the whole match if there is none.
    pub message: Regex,
    /// The time of a line.
    pub time: T,
    /// Lines from before this do not count.
    pub start: Timestamp,
    /// Lines that contain one of these are not seen at all.
    pub skip_list: Vec<String>,
    /// What to look for. Each ends in `\z`.
    pub patterns: Vec<Regex>,
    /// How many entries a pattern may span.
    pub capacity: usize,
    /// The last entries.
    pub ring: VecDeque<(Timestamp, String)>,
}

/// A match: the pattern, the time of its first entry, and the text of the entries.
pub type Match = (usize, Timestamp, String);

impl<T: Fn(&str) -> Option<Timestamp>> Naive<T> {
    /// Takes in a line with its end.
    pub fn line(&mut self, line: &[u8]) -> Vec<Match> {
        let line = String::from_utf8_lossy(line);
        let line = line.strip_suffix('\n').unwrap_or(&line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if self.skip_list.iter().any(|skipped| line.contains(skipped)) {
            return Vec::new();
        }
        let (Some(message), Some(time)) = (message(&self.message, line), (self.time)(line)) else {
            return Vec::new();
        };
        if time < self.start {
            return Vec::new();
        }
        if self.ring.len() == self.capacity {
            self.ring.pop_front();
        }
        self.ring.push_back((time, message.to_owned()));
        self.matches()
    }

    fn matches(&self) -> Vec<Match> {
        // Empty slots are joined, too.
        let missing = self.capacity - self.ring.len();
        let texts = self.ring.iter().map(|(_, text)| text.as_str());
        let slots: Vec<&str> = std::iter::repeat_n("", missing).chain(texts).collect();
        let joined = slots.join("\n");
        let matches = self.patterns.iter().enumerate();
        matches
            .filter_map(|(index, pattern)| {
                let start = pattern.find(&joined)?.start();
                // An entry takes part with the newline before it.
                let before = joined[..start].matches('\n').count();
                let slot = before + usize::from(joined[start..].starts_with('\n'));
                let first = slot.saturating_sub(missing);
                let entries = self.ring.range(first..);
                let texts: Vec<&str> = entries.map(|(_, text)| text.as_str()).collect();
                Some((index, self.ring[first].0, texts.join("\n")))
            })
            .collect()
    }
}

fn message<'l>(pattern: &Regex, line: &'l str) -> Option<&'l str> {
    let found = pattern.captures(line)?;
    let last = found.get(pattern.captures_len() - 1);
    Some(last.map_or("", |group| group.as_str()))
}
