//! Who has to check before a condition is published.

use super::*;
use crate::problem::Detector;

/// What happens to the condition `Sick`.
enum LedgerStep {
    /// A file declares it, with these detectors.
    Declare(&'static str, &'static [&'static str]),
    /// All files are declared.
    Begin,
    /// A detector of a file finds this.
    Found(&'static str, &'static str, ConditionStatus),
    Checked(&'static str, &'static str),
    CannotCheck(&'static str, &'static str),
}
use LedgerStep::{Begin, CannotCheck, Checked, Declare, Found};

fn step(ledger: &mut Ledger, at: i64, step: &LedgerStep) -> Vec<Outcome> {
    match *step {
        Declare(file, detectors) => {
            let detectors = detectors.iter().map(|name| Detector {
                name: Arc::from(*name),
                conditions: BTreeSet::from([Arc::from("Sick")]),
            });
            let detectors: Vec<_> = detectors.collect();
            ledger.declare(&Arc::from(file), healthy(), &detectors, second(at));
            Vec::new()
        }
        Begin => ledger.begin(second(at)),
        Found(file, claimant, present) => vec![ledger.apply(Finding {
            monitor: Arc::from(file),
            ..finding(at, claimant, claimant, present, claimant)
        })],
        Checked(file, detector) => ledger.checked(file, detector, second(at)),
        CannotCheck(file, detector) => ledger.cannot_check(file, detector, second(at)),
    }
}

/// Does one step per second. Shows what is reported to the cluster, and what is known at the end.
#[track_caller]
fn check(steps: &[LedgerStep], expect: &Expect) {
    let mut ledger = Ledger::default();
    let mut reported = String::new();
    for (at, next) in (0..).zip(steps) {
        let outcomes = step(&mut ledger, at, next);
        for outcome in &outcomes {
            for line in describe(outcome)
                .lines()
                .filter(|line| *line != "  no news")
            {
                writeln!(reported, "{}", line.trim_start()).unwrap();
            }
        }
    }
    for (r#type, awaited) in ledger.unseen() {
        writeln!(reported, "{type} waits for {awaited:?}").unwrap();
    }
    let published = ledger.conditions().count();
    assert_eq!(published + ledger.unseen().count(), 1);
    expect.assert_eq(&reported);
}

#[test]
fn no_condition_is_published_before_its_check() {
    check(
        &[Declare("p.json", &["a"]), Begin],
        &expect![[r#"
            Sick waits for ["p.json: a"]
        "#]],
    );
    check(
        &[Declare("p.json", &["a"]), Begin, Checked("p.json", "a")],
        &expect![[r"
            False since 2 AllWell: node is well
        "]],
    );
    // It is reported once.
    check(
        &[
            Declare("p.json", &["a"]),
            Begin,
            Found("p.json", "a", False),
            Checked("p.json", "a"),
            Checked("p.json", "a"),
            Found("p.json", "a", False),
        ],
        &expect![[r"
            False since 3 AllWell: node is well
        "]],
    );
}

#[test]
fn a_problem_does_not_wait_for_the_others() {
    check(
        &[
            Declare("p.json", &["a", "b"]),
            Begin,
            Found("p.json", "b", True),
            Checked("p.json", "b"),
        ],
        &expect![[r#"
            2 Warning b: Node condition Sick is now: True, reason: b, message: "b"
            True since 2 b: b
        "#]],
    );
}

#[test]
fn false_means_that_all_have_checked_in_all_files() {
    check(
        &[
            Declare("log.json", &["log"]),
            Declare("p.json", &["a", "b"]),
            Begin,
            Checked("log.json", "log"),
            Checked("p.json", "b"),
            // Another file's detector of that name.
            Checked("log.json", "a"),
        ],
        &expect![[r#"
            Sick waits for ["p.json: a"]
        "#]],
    );
    check(
        &[
            Declare("log.json", &["log"]),
            Declare("p.json", &["a"]),
            Begin,
            Checked("log.json", "log"),
            Checked("p.json", "a"),
        ],
        &expect![[r"
            False since 4 AllWell: node is well
        "]],
    );
}

#[test]
fn unknown_waits_for_those_who_may_know() {
    check(
        &[
            Declare("p.json", &["a", "b"]),
            Begin,
            Found("p.json", "a", Unknown),
            Checked("p.json", "a"),
        ],
        &expect![[r#"
            Sick waits for ["p.json: b"]
        "#]],
    );
    check(
        &[
            Declare("p.json", &["a", "b"]),
            Begin,
            Found("p.json", "a", Unknown),
            Checked("p.json", "a"),
            Found("p.json", "b", False),
            Checked("p.json", "b"),
        ],
        &expect![[r#"
            5 Info AllWell: Node condition Sick is now: Unknown, reason: AllWell, message: "a"
            Unknown since 5 AllWell: a
        "#]],
    );
}

#[test]
fn a_true_condition_stays_until_all_have_checked() {
    check(
        &[
            Declare("p.json", &["a", "b"]),
            Begin,
            Found("p.json", "a", True),
            Checked("p.json", "a"),
            Found("p.json", "a", False),
            Found("p.json", "b", False),
            Checked("p.json", "b"),
        ],
        &expect![[r#"
            2 Warning a: Node condition Sick is now: True, reason: a, message: "a"
            True since 2 a: a
            6 Info AllWell: Node condition Sick is now: False, reason: AllWell, message: "node is well"
            False since 6 AllWell: node is well
        "#]],
    );
}

#[test]
fn who_cannot_look_leaves_it_to_the_others_if_there_are_any() {
    check(
        &[
            Declare("probe.json", &["probe"]),
            Declare("log.json", &["log"]),
            Begin,
            CannotCheck("probe.json", "probe"),
            Checked("log.json", "log"),
        ],
        &expect![[r"
            False since 4 AllWell: node is well
        "]],
    );
    check(
        &[
            Declare("probe.json", &["probe"]),
            Begin,
            CannotCheck("probe.json", "probe"),
        ],
        &expect![[r"
            Sick waits for []
        "]],
    );
    // It sees after all.
    check(
        &[
            Declare("probe.json", &["probe"]),
            Begin,
            CannotCheck("probe.json", "probe"),
            Checked("probe.json", "probe"),
        ],
        &expect![[r"
            False since 3 AllWell: node is well
        "]],
    );
}

#[test]
fn a_condition_that_nobody_looks_for_is_well() {
    check(
        &[Declare("p.json", &[]), Begin],
        &expect![[r"
            False since 1 AllWell: node is well
        "]],
    );
    // Unless another file's rules look for it, whichever comes first.
    for files in [["p.json", "q.json"], ["q.json", "p.json"]] {
        let declare = |file| Declare(file, if file == "p.json" { &["a"] } else { &[] });
        check(
            &[declare(files[0]), declare(files[1]), Begin],
            &expect![[r#"
                Sick waits for ["p.json: a"]
            "#]],
        );
    }
}

#[test]
fn restored_claims_end_with_the_first_check_of_their_detector() {
    let mut before = ledger();
    for claimant in ["rule 1 sda", "rule 1 sdb", "rule 10 sda", ""] {
        before.apply(finding(1, claimant, "Full", True, claimant));
    }
    let saved: Vec<_> = before.saved().collect();
    let mut after = Ledger::default();
    step(
        &mut after,
        2,
        &Declare("monitor.json", &["rule 1", "rule 10", "log"]),
    );
    for claim in saved {
        after.restore(claim);
    }
    after.apply(finding(3, "rule 1 sdb", "Full", True, "still"));
    after.checked("monitor.json", "rule 1", second(4));
    // A log goes on where it stopped, and repeats nothing.
    after.checked("monitor.json", "log", second(4));
    let left: Vec<_> = after.saved().map(|claim| claim.claimant).collect();
    assert_eq!(left, ["rule 1 sdb", "rule 10 sda", ""]);
}
