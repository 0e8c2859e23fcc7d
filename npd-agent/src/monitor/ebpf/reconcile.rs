//! Compares what a probe has seen with what the kernel has counted.

/// Finds out how much a probe has missed.
///
/// The kernel counts a moment before the tracepoint is hit. So something counts as missed only if two
/// readings in a row agree on it.
#[derive(Debug)]
pub(super) struct Reconciler {
    /// The value of the counter when the probe started; `None` if there is no counter.
    start: Option<u64>,
    seen: u64,
    /// How much was missing at the last reading.
    short: u64,
    reported: u64,
}

impl Reconciler {
    /// The probe sees everything from now on.
    pub(super) fn from(counter: Option<u64>) -> Self {
        Self {
            start: counter,
            seen: 0,
            short: 0,
            reported: 0,
        }
    }

    /// The probe has seen something that the kernel counts.
    pub(super) fn saw(&mut self, times: u64) {
        self.seen = self.seen.saturating_add(times);
    }

    /// How much was missed and not yet returned, at this value of the counter.
    pub(super) fn missed(&mut self, counter: Option<u64>) -> u64 {
        let (Some(start), Some(counter)) = (self.start, counter) else {
            return 0;
        };
        let short = counter.saturating_sub(start).saturating_sub(self.seen);
        let sure = short.min(std::mem::replace(&mut self.short, short));
        let news = sure.saturating_sub(self.reported);
        self.reported += news;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_counts_when_two_readings_agree() {
        let mut reconciler = Reconciler::from(Some(10));
        reconciler.saw(2);
        assert_eq!(reconciler.missed(Some(12)), 0);
        assert_eq!(
            reconciler.missed(Some(15)),
            0,
            "three are perhaps on their way"
        );
        reconciler.saw(1);
        assert_eq!(reconciler.missed(Some(15)), 2, "one was");
        assert_eq!(reconciler.missed(Some(15)), 0, "told");
        reconciler.saw(2);
        assert_eq!(
            reconciler.missed(Some(15)),
            0,
            "too late, but never less than told"
        );
        assert_eq!(reconciler.missed(Some(16)), 0);
        assert_eq!(
            reconciler.missed(Some(16)),
            0,
            "one of the two late ones made up for it"
        );
    }

    #[test]
    fn more_seen_than_counted_is_no_shortage() {
        let mut reconciler = Reconciler::from(Some(0));
        reconciler.saw(3);
        assert_eq!(reconciler.missed(Some(1)), 0);
        assert_eq!(reconciler.missed(Some(1)), 0);
    }

    #[test]
    fn without_a_counter_nothing_is_missed() {
        assert_eq!(Reconciler::from(None).missed(Some(9)), 0);
        assert_eq!(Reconciler::from(Some(9)).missed(None), 0);
    }
}
