//! When the value of a series is a problem: too high, too low, fallen, or rising too fast.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many times a series is remembered to have risen. The oldest ones are added up.
const MAX_RISES: usize = 256;

/// The bounds of a rule. At least one is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// A problem if the value is greater.
    pub above: Option<f64>,
    /// A problem if the value is less.
    pub below: Option<f64>,
    /// A problem if the value is less by this than the highest one that was seen.
    pub falls_by: Option<f64>,
    /// A problem if the value has risen by this within this time.
    pub rises_by: Option<(f64, Duration)>,
}

/// What is known of the earlier values of a series.
#[derive(Debug)]
pub struct SeriesHistory {
    last: f64,
    highest: f64,
    rises: VecDeque<(Instant, f64)>,
    /// When it was last within all bounds.
    pub fine: Option<Instant>,
}

impl SeriesHistory {
    /// Begins with the first value.
    pub fn new(value: f64) -> Self {
        Self {
            last: value,
            highest: value,
            rises: VecDeque::new(),
            fine: None,
        }
    }

    /// Adds the next value. A counter that is less than before was set to zero.
    fn add(&mut self, value: f64, now: Instant) {
        if value > self.last {
            self.rises.push_back((now, value - self.last));
        }
        if self.rises.len() > MAX_RISES
            && let Some((_, oldest)) = self.rises.pop_front()
            && let Some((_, next)) = self.rises.front_mut()
        {
            *next += oldest;
        }
        self.highest = self.highest.max(value);
        self.last = value;
    }

    /// By how much the value has risen within this time.
    fn risen(&mut self, window: Duration, now: Instant) -> f64 {
        let rises = &mut self.rises;
        while let Some((when, _)) = rises.front()
            && now.duration_since(*when) > window
        {
            rises.pop_front();
        }
        rises.iter().map(|(_, rise)| rise).sum()
    }
}

impl Bounds {
    /// Whether any bound is set.
    pub fn are_set(&self) -> bool {
        let values = [self.above, self.below, self.falls_by];
        values.iter().any(Option::is_some) || self.rises_by.is_some()
    }

    /// Which bound the next value of a series breaks.
    pub fn broken(&self, value: f64, history: &mut SeriesHistory, now: Instant) -> Option<String> {
        history.add(value, now);
        let broken = self.broken_now(value, history, now);
        if broken.is_none() {
            history.fine = Some(now);
        }
        broken
    }

    fn broken_now(&self, value: f64, history: &mut SeriesHistory, now: Instant) -> Option<String> {
        if let Some(bound) = self.above.filter(|bound| value > *bound) {
            return Some(format!("above {bound}"));
        }
        if let Some(bound) = self.below.filter(|bound| value < *bound) {
            return Some(format!("below {bound}"));
        }
        let highest = history.highest;
        if self.falls_by.is_some_and(|by| highest - value >= by) {
            return Some(format!("fallen from {highest}"));
        }
        let (by, window) = self.rises_by?;
        let risen = history.risen(window, now);
        (risen >= by).then(|| format!("risen by {risen} within {window:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is broken after each of these values, a minute apart.
    #[track_caller]
    fn check(bounds: Bounds, values: &[f64], expect: &[&str]) {
        let start = Instant::now();
        let mut history = SeriesHistory::new(values[0]);
        let broken = values.iter().zip(0..).map(|(value, minutes)| {
            let now = start + Duration::from_mins(minutes);
            bounds.broken(*value, &mut history, now).unwrap_or_default()
        });
        assert_eq!(broken.collect::<Vec<_>>(), expect);
    }

    #[test]
    fn a_value_that_has_fallen_is_compared_with_the_highest() {
        let bounds = Bounds {
            falls_by: Some(1.0),
            ..Bounds::default()
        };
        // A port that never had a link is no problem.
        check(bounds, &[0.0, 0.0], &["", ""]);
        check(
            bounds,
            &[0.0, 1.0, 0.0, 1.0],
            &["", "", "fallen from 1", ""],
        );
        check(bounds, &[16.0, 8.0], &["", "fallen from 16"]);
    }

    #[test]
    fn a_rise_counts_for_a_while() {
        let bounds = Bounds {
            rises_by: Some((3.0, Duration::from_mins(2))),
            ..Bounds::default()
        };
        let risen = |by: u8| format!("risen by {by} within 120s");
        // The first value is no rise, nor is a counter that was set to zero.
        check(
            bounds,
            &[90.0, 91.0, 93.0, 93.0, 93.0, 1.0, 4.0],
            &["", "", &risen(3), &risen(3), "", "", &risen(3)],
        );
        let mut history = SeriesHistory::new(0.0);
        let now = Instant::now();
        for value in 0..10_000 {
            history.add(f64::from(value), now);
        }
        assert_eq!(history.rises.len(), MAX_RISES);
        let risen = history.risen(Duration::from_mins(1), now);
        assert!((risen - 9999.0).abs() < 0.1, "{risen}");
    }
}
