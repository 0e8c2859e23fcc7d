//! Combines repeats: a broken file system can report the same error a thousand times per second. The
//! first one is reported at once, and repeats are counted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long repeats are only counted, before their number is reported in one Event.
pub const WINDOW: Duration = Duration::from_mins(1);

/// How many different keys are counted separately at a time.
const MAX_KEYS: usize = 256;

/// Combines repeats of things with the same key.
#[derive(Debug)]
pub struct Aggregate<K> {
    open: BTreeMap<K, AggregateWindow>,
}

#[derive(Debug)]
struct AggregateWindow {
    until: Instant,
    repeats: u64,
}

/// What to report about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AggregateReport<K> {
    /// It happened.
    First(K),
    /// It happened this many more times within the last [`WINDOW`].
    Again(K, u64),
}

impl<K: Ord + Clone> Aggregate<K> {
    /// Notes that `key` happened this many times. Returns what to report now.
    pub fn note(&mut self, key: K, times: u64, now: Instant) -> Vec<AggregateReport<K>> {
        if let Some(window) = self.open.get_mut(&key) {
            window.repeats += times;
            return Vec::new();
        }
        let mut reports = Vec::new();
        if self.open.len() >= MAX_KEYS
            && let Some(oldest) = self.oldest()
            && let Some(AggregateWindow { repeats, .. }) = self.open.remove(&oldest)
            && repeats > 0
        {
            reports.push(AggregateReport::Again(oldest, repeats));
        }
        let window = AggregateWindow {
            until: now + WINDOW,
            repeats: times.saturating_sub(1),
        };
        self.open.insert(key.clone(), window);
        reports.push(AggregateReport::First(key));
        reports
    }

    /// The repeats that were counted in windows that have ended.
    pub fn due(&mut self, now: Instant) -> Vec<AggregateReport<K>> {
        let mut reports = Vec::new();
        self.open.retain(|key, window| {
            if window.until > now {
                return true;
            }
            let repeats = window.repeats;
            if repeats > 0 {
                reports.push(AggregateReport::Again(key.clone(), repeats));
                window.until = now + WINDOW;
                window.repeats = 0;
            }
            repeats > 0
        });
        reports
    }

    /// When the next window ends.
    pub fn next_due(&self) -> Option<Instant> {
        self.open.values().map(|window| window.until).min()
    }

    /// Whether a repeat of `key` would only be counted.
    pub fn is_open(&self, key: &K) -> bool {
        self.open.contains_key(key)
    }

    /// Ends the windows of the keys that `over` selects, and returns what was counted in them.
    pub fn end(&mut self, over: impl Fn(&K) -> bool) -> Vec<AggregateReport<K>> {
        let ended = self.open.extract_if(.., |key, _| over(key));
        let counted = ended.filter(|(_, window)| window.repeats > 0);
        counted
            .map(|(key, window)| AggregateReport::Again(key, window.repeats))
            .collect()
    }

    fn oldest(&self) -> Option<K> {
        let oldest = self.open.iter().min_by_key(|(_, window)| window.until);
        oldest.map(|(key, _)| key.clone())
    }
}

impl<K> Default for Aggregate<K> {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_reported_once_a_window_and_a_quiet_key_is_new_again() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut aggregate = Aggregate::default();
        assert_eq!(aggregate.note('a', 3, start), [AggregateReport::First('a')]);
        assert_eq!(
            aggregate.note('b', 1, later(1)),
            [AggregateReport::First('b')]
        );
        assert_eq!(aggregate.note('a', 1, later(2)), []);
        assert_eq!(aggregate.next_due(), Some(later(60)));
        assert_eq!(aggregate.due(later(60)), [AggregateReport::Again('a', 3)]);
        assert_eq!(aggregate.due(later(61)), []);
        assert!(aggregate.is_open(&'a') && !aggregate.is_open(&'b'));
        assert_eq!(
            aggregate.note('b', 1, later(62)),
            [AggregateReport::First('b')]
        );
        assert_eq!(aggregate.note('a', 1, later(63)), []);
        assert_eq!(
            aggregate.end(|key| *key == 'a'),
            [AggregateReport::Again('a', 1)]
        );
        assert_eq!(
            aggregate.note('a', 1, later(64)),
            [AggregateReport::First('a')]
        );
    }

    #[test]
    fn the_number_of_keys_is_bounded_and_every_repeat_is_reported() {
        let start = Instant::now();
        let mut aggregate = Aggregate::default();
        let mut reported = 0;
        for key in 0..10_000 {
            let now = start + Duration::from_millis(key);
            for report in [aggregate.note(key, 2, now), aggregate.note(key, 1, now)].concat() {
                reported += match report {
                    AggregateReport::First(_) => 1,
                    AggregateReport::Again(_, times) => times,
                };
            }
            assert!(aggregate.open.len() <= MAX_KEYS);
        }
        reported += aggregate
            .open
            .values()
            .map(|window| window.repeats)
            .sum::<u64>();
        assert_eq!(reported, 30_000);
    }
}
