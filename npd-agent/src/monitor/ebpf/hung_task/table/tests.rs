use std::time::{Duration, Instant};

use super::{MAX_SLEEPERS, SleepingTask, TaskChanges, TaskTable};

const THRESHOLD: Duration = Duration::from_secs(30);

/// A table and a clock that starts at 0 seconds.
struct Scenario {
    table: TaskTable,
    start: Instant,
}

fn scenario() -> Scenario {
    Scenario {
        table: TaskTable::new(THRESHOLD),
        start: Instant::now(),
    }
}

fn sleeper(pid: u32, start: u64, switches: u64) -> SleepingTask {
    SleepingTask {
        pid,
        start,
        switches,
        comm: format!("task-{pid}"),
    }
}

impl Scenario {
    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn saw(&mut self, seconds: u64, found: &[SleepingTask]) -> TaskChanges {
        let now = self.at(seconds);
        self.table.saw_all(found.to_vec(), now)
    }

    fn reported(&mut self, seconds: u64, sleeper: &SleepingTask) -> TaskChanges {
        let now = self.at(seconds);
        self.table.reported(sleeper.clone(), now)
    }
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "reads better in tables")]
fn check(changes: TaskChanges, hung: &[u32], recovered: &[u32]) {
    let hangs: Vec<_> = changes
        .hung
        .iter()
        .map(|(sleeper, _)| sleeper.pid)
        .collect();
    assert_eq!((&hangs[..], &changes.recovered[..]), (hung, recovered));
}

#[test]
fn a_task_hangs_once_it_has_slept_for_the_threshold() {
    let mut scenario = scenario();
    let stuck = [sleeper(7, 100, 5)];
    check(scenario.saw(0, &stuck), &[], &[]);
    check(scenario.saw(22, &stuck), &[], &[]);
    let changes = scenario.saw(30, &stuck);
    assert_eq!(changes.hung[0].1, Duration::from_secs(30));
    check(changes, &[7], &[]);
    check(scenario.saw(37, &stuck), &[], &[]);
    assert!(scenario.table.any_hangs());
    check(scenario.saw(40, &[]), &[], &[7]);
    assert!(!scenario.table.any_hangs());
}

#[test]
fn a_task_that_wakes_now_and_then_does_not_hang() {
    let mut scenario = scenario();
    for turn in 0..10 {
        check(
            scenario.saw(turn * 20, &[sleeper(7, 100, 5 + turn)]),
            &[],
            &[],
        );
    }
}

#[test]
fn a_task_that_wakes_and_sleeps_again_has_recovered() {
    let mut scenario = scenario();
    scenario.saw(0, &[sleeper(7, 100, 5)]);
    check(scenario.saw(30, &[sleeper(7, 100, 5)]), &[7], &[]);
    check(scenario.saw(31, &[sleeper(7, 100, 6)]), &[], &[7]);
    check(scenario.saw(61, &[sleeper(7, 100, 6)]), &[7], &[]);
}

#[test]
fn another_task_with_the_number_of_one_that_hung_does_not_hang() {
    let mut scenario = scenario();
    scenario.saw(0, &[sleeper(7, 100, 5)]);
    check(scenario.saw(30, &[sleeper(7, 100, 5)]), &[7], &[]);
    check(scenario.saw(31, &[sleeper(7, 3100, 5)]), &[], &[7]);
}

#[test]
fn a_thread_that_never_ran_does_not_hang() {
    let mut scenario = scenario();
    scenario.saw(0, &[sleeper(7, 100, 0)]);
    check(scenario.saw(100, &[sleeper(7, 100, 0)]), &[], &[]);
}

#[test]
fn the_kernel_may_say_so_first_and_often() {
    let mut scenario = scenario();
    let stuck = sleeper(7, 100, 5);
    check(scenario.reported(0, &stuck), &[7], &[]);
    check(scenario.reported(1, &stuck), &[], &[]);
    check(scenario.saw(2, std::slice::from_ref(&stuck)), &[], &[]);
    check(scenario.saw(60, std::slice::from_ref(&stuck)), &[], &[]);
    check(scenario.saw(61, &[]), &[], &[7]);
    check(scenario.reported(90, &stuck), &[7], &[]);
}

#[test]
fn the_kernel_may_say_so_before_the_threshold() {
    let mut scenario = scenario();
    let stuck = sleeper(7, 100, 5);
    scenario.saw(0, std::slice::from_ref(&stuck));
    let changes = scenario.reported(4, &stuck);
    assert_eq!(changes.hung[0].1, Duration::from_secs(4));
    check(changes, &[7], &[]);
    check(scenario.saw(40, std::slice::from_ref(&stuck)), &[], &[]);
}

#[test]
fn the_kernel_may_report_a_hung_task_again() {
    let mut scenario = scenario();
    check(scenario.reported(0, &sleeper(7, 100, 5)), &[7], &[]);
    check(scenario.reported(9, &sleeper(7, 100, 8)), &[7], &[7]);
}

#[test]
fn only_hanging_tasks_recover_between_scans() {
    let mut scenario = scenario();
    scenario.saw(0, &[sleeper(1, 1, 1), sleeper(2, 2, 2), sleeper(3, 3, 3)]);
    scenario.reported(1, &sleeper(1, 1, 1));
    scenario.reported(1, &sleeper(2, 2, 2));
    let hanging = scenario.table.hanging().map(|sleeper| sleeper.pid);
    assert_eq!(hanging.collect::<Vec<_>>(), [1, 2]);
    assert_eq!(scenario.table.saw_hanging(&[sleeper(2, 2, 2)]), [1]);
    // Task 3 was not checked, and has still slept since 0.
    check(
        scenario.saw(30, &[sleeper(2, 2, 2), sleeper(3, 3, 3)]),
        &[3],
        &[],
    );
}

#[test]
fn a_flood_of_sleepers_is_bounded_and_counted() {
    let mut scenario = scenario();
    let limit = u32::try_from(MAX_SLEEPERS).unwrap();
    let flood: Vec<_> = (1..=limit + 10).map(|pid| sleeper(pid, 1, 1)).collect();
    assert_eq!(scenario.saw(0, &flood).refused, 10);
    let changes = scenario.saw(30, &flood);
    assert_eq!((changes.hung.len(), changes.refused), (MAX_SLEEPERS, 10));
    assert_eq!(scenario.reported(31, &sleeper(limit + 1, 1, 1)).refused, 1);
    assert_eq!(scenario.saw(40, &[]).recovered.len(), MAX_SLEEPERS);
}

#[test]
fn what_the_kernel_is_silent_about_has_recovered() {
    let mut scenario = scenario();
    let patience = Duration::from_secs(9);
    scenario.reported(0, &sleeper(7, 100, 5));
    scenario.reported(4, &sleeper(7, 100, 5));
    scenario.reported(4, &sleeper(8, 100, 5));
    scenario.reported(8, &sleeper(8, 100, 5));
    let now = scenario.at(13);
    assert!(scenario.table.silent(patience, now).is_empty());
    let now = scenario.at(14);
    assert_eq!(scenario.table.silent(patience, now), [7]);
    assert!(scenario.table.any_hangs());
}

#[test]
fn a_task_that_an_earlier_agent_reported_is_not_new_until_it_has_woken() {
    let mut scenario = scenario();
    let stuck = sleeper(7, 100, 5);
    assert!(scenario.table.resume(&stuck, scenario.at(0)));
    assert_eq!(scenario.table.hanging().collect::<Vec<_>>(), [&stuck]);
    check(scenario.reported(1, &stuck), &[], &[]);
    check(scenario.saw(40, std::slice::from_ref(&stuck)), &[], &[]);
    check(scenario.reported(41, &sleeper(7, 100, 6)), &[7], &[7]);
    check(scenario.saw(42, &[]), &[], &[7]);
}

#[test]
fn an_invisible_task_that_an_earlier_agent_reported_hangs_until_the_kernel_is_silent() {
    let mut scenario = scenario();
    let patience = Duration::from_secs(9);
    for pid in [7, 8] {
        assert!(scenario.table.resume(&sleeper(pid, 100, 5), scenario.at(0)));
    }
    check(scenario.reported(5, &sleeper(8, 100, 5)), &[], &[]);
    let now = scenario.at(10);
    assert_eq!(scenario.table.silent(patience, now), [7]);
    let now = scenario.at(15);
    assert_eq!(scenario.table.silent(patience, now), [8]);
}
