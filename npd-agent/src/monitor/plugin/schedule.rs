//! When each rule of a config file runs. Pure: the caller passes the time.
//!
//! Every rule has its own clock, so no rule waits for another's. All rules run once at the start, in the
//! order of the file. Then each runs at `start + jitter + n × interval`. If several ticks pass while a rule
//! runs or waits, it runs once for all of them, and never twice at the same time; this is as in NPD.
//!
//! At most `concurrency` runs are active. There is one exception: a rule whose last run reached its
//! deadline does not count, until a run ends in time again. So a plugin that hangs takes a slot from the
//! others only once.

use std::time::{Duration, Instant};

/// The rules' clocks, and their shared slots.
#[derive(Debug)]
pub(super) struct Schedule {
    rules: Vec<RuleClock>,
    concurrency: usize,
    slots_taken: usize,
}

/// One rule's clock.
#[derive(Debug)]
struct RuleClock {
    /// The start plus the rule's jitter.
    origin: Instant,
    interval: Duration,
    due: Instant,
    state: RunState,
    hung: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunState {
    Waiting,
    InSlot,
    BesideLimit,
}

impl Schedule {
    /// A schedule for rules with these intervals (more than zero) and jitters. All are due now.
    pub(super) fn new(
        rules: impl IntoIterator<Item = (Duration, Duration)>,
        concurrency: usize,
        now: Instant,
    ) -> Self {
        let clock = |(interval, jitter)| RuleClock {
            origin: now + jitter,
            interval,
            due: now,
            state: RunState::Waiting,
            hung: false,
        };
        Self {
            rules: rules.into_iter().map(clock).collect(),
            concurrency,
            slots_taken: 0,
        }
    }

    /// The next rule to start now, which then counts as running. The one that has been due for the longest
    /// time comes first.
    pub(super) fn start(&mut self, now: Instant) -> Option<usize> {
        let rule = self
            .first_startable()
            .filter(|rule| self.rules[*rule].due <= now)?;
        let clock = &mut self.rules[rule];
        clock.due = clock.tick_after(now);
        clock.state = if clock.hung {
            RunState::BesideLimit
        } else {
            self.slots_taken += 1;
            RunState::InSlot
        };
        Some(rule)
    }

    /// When to ask again if no run ends before; `None` if only the end of a run can change something.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.first_startable().map(|rule| self.rules[rule].due)
    }

    /// Handles the end of a rule's run. `hung`: it was killed at its deadline.
    pub(super) fn ended(&mut self, rule: usize, hung: bool) {
        let clock = &mut self.rules[rule];
        if clock.state == RunState::InSlot {
            self.slots_taken -= 1;
        }
        clock.state = RunState::Waiting;
        clock.hung = hung;
    }

    fn first_startable(&self) -> Option<usize> {
        let full = self.slots_taken >= self.concurrency;
        let startable =
            |clock: &RuleClock| clock.state == RunState::Waiting && (clock.hung || !full);
        (0..self.rules.len())
            .filter(|rule| startable(&self.rules[*rule]))
            .min_by_key(|rule| self.rules[*rule].due)
    }
}

impl RuleClock {
    fn tick_after(&self, now: Instant) -> Instant {
        let passed = now.saturating_duration_since(self.origin).as_nanos();
        let ticks = passed / self.interval.as_nanos() + 1;
        // Ticks lie no further apart than a run's interval, and both fit into 64 bits of
        // nanoseconds (584 years): a Go duration is an i64.
        let after = u64::try_from(ticks * self.interval.as_nanos()).unwrap_or(u64::MAX);
        self.origin + Duration::from_nanos(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates a schedule: `rules` are (interval, run time, hangs) in ticks of one second. The result is
    /// when each rule started.
    fn play(rules: &[(u64, u64, bool)], concurrency: usize, until: u64) -> Vec<Vec<u64>> {
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let intervals = rules
            .iter()
            .map(|(interval, ..)| (Duration::from_secs(*interval), Duration::ZERO));
        let mut schedule = Schedule::new(intervals, concurrency, start);
        let mut running: Vec<(u64, usize)> = Vec::new();
        let mut started = vec![Vec::new(); rules.len()];
        for second in 0..until {
            running.retain(|(end, rule)| {
                if *end == second {
                    schedule.ended(*rule, rules[*rule].2);
                }
                *end != second
            });
            while let Some(rule) = schedule.start(at(second)) {
                started[rule].push(second);
                running.push((second + rules[rule].1, rule));
            }
        }
        started
    }

    #[track_caller]
    fn check(rules: &[(u64, u64, bool)], concurrency: usize, expect: &[&[u64]]) {
        let until = expect
            .iter()
            .flat_map(|starts| starts.iter())
            .max()
            .map_or(1, |last| last + 1);
        assert_eq!(play(rules, concurrency, until), expect);
    }

    #[test]
    fn every_rule_runs_at_the_start_and_then_at_its_interval() {
        check(
            &[(5, 1, false), (3, 1, false)],
            3,
            &[&[0, 5, 10], &[0, 3, 6, 9, 12]],
        );
    }

    #[test]
    fn the_limit_holds_in_the_order_of_the_file() {
        check(
            &[(20, 2, false), (20, 2, false), (20, 2, false)],
            1,
            &[&[0, 20], &[2, 22], &[4, 24]],
        );
        check(
            &[(20, 2, false), (20, 2, false), (20, 2, false)],
            2,
            &[&[0, 20], &[0, 20], &[2, 22]],
        );
    }

    #[test]
    fn missed_ticks_collapse_into_one_run() {
        check(&[(2, 5, false)], 1, &[&[0, 5, 10, 15]]);
        check(&[(4, 5, false)], 1, &[&[0, 5, 10, 15, 20]]);
        check(
            &[(4, 5, false), (1, 1, false)],
            2,
            &[&[0, 5], &[0, 1, 2, 3, 4, 5]],
        );
    }

    #[test]
    fn a_hanging_rule_delays_others_once() {
        check(
            &[(10, 6, true), (2, 1, false)],
            1,
            &[
                &[0, 10, 20, 30],
                &[6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30],
            ],
        );
    }

    #[test]
    fn it_takes_a_slot_again_when_it_is_well() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut schedule = Schedule::new([(second, Duration::ZERO); 2], 1, start);
        assert_eq!(schedule.start(start), Some(0));
        schedule.ended(0, true);
        assert_eq!(schedule.start(start), Some(1));
        assert_eq!(schedule.start(start + second), Some(0), "beside the limit");
        schedule.ended(0, false);
        assert_eq!(
            schedule.start(start + second * 2),
            None,
            "the limit holds again"
        );
        assert_eq!(schedule.wake(), None);
        schedule.ended(1, false);
        assert_eq!(schedule.wake(), Some(start + second));
    }

    #[test]
    fn jitter_moves_all_ticks_but_the_start() {
        let start = Instant::now();
        let (interval, jitter) = (Duration::from_secs(10), Duration::from_secs(1));
        let mut schedule = Schedule::new([(interval, jitter)], 1, start);
        assert_eq!(schedule.wake(), Some(start));
        assert_eq!(schedule.start(start), Some(0));
        schedule.ended(0, false);
        assert_eq!(schedule.wake(), Some(start + jitter + interval));
        assert_eq!(schedule.start(start + jitter + interval), Some(0));
        schedule.ended(0, false);
        assert_eq!(schedule.wake(), Some(start + jitter + interval * 2));
    }

    #[test]
    fn an_empty_schedule_waits_for_ever() {
        assert_eq!(Schedule::new([], 3, Instant::now()).wake(), None);
    }
}
