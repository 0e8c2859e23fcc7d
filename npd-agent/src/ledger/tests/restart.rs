//! The agent is started again.

use std::collections::BTreeSet;

use super::*;

/// The ledger of an agent that was started again.
fn restarted(before: &Ledger) -> Ledger {
    let saved: Vec<_> = before.saved().collect();
    let saved = serde_json::to_string(&saved).unwrap();
    let mut after = ledger();
    for claim in serde_json::from_str::<Vec<SavedClaim>>(&saved).unwrap() {
        after.restore(claim);
    }
    after
}

#[test]
fn a_claim_of_a_log_outlives_the_agent() {
    let mut before = ledger();
    before.apply(finding(1, "", "First", True, "one"));
    before.apply(finding(2, "b", "Second", True, "two"));
    let mut after = restarted(&before);
    assert_eq!(after.condition("Sick"), before.condition("Sick"));
    let again = after.apply(finding(3, "b", "Second", True, "two again"));
    assert_eq!(again, Outcome::default(), "it is no news");
    after.apply(finding(4, "b", "Second", False, ""));
    assert_eq!(&*after.condition("Sick").unwrap().reason, "First");
}

#[test]
fn claims_show_what_they_did_whatever_order_they_are_restored_in() {
    let mut before = ledger();
    for (pid, reason, message) in [(1, "A", "first"), (2, "A", "second"), (3, "B", "third")] {
        before.apply(about(pid, finding(pid.into(), "", reason, True, message)));
        let mut saved: Vec<_> = before.saved().collect();
        for _ in 0..saved.len() {
            saved.rotate_left(1);
            let mut after = ledger();
            for claim in saved.clone() {
                after.restore(claim);
            }
            assert_eq!(after.condition("Sick"), before.condition("Sick"));
        }
    }
}

#[test]
fn who_could_not_tell_is_asked_again() {
    let mut before = ledger();
    before.apply(finding(2, "plugin", "Unsure", Unknown, "who knows"));
    assert_eq!(restarted(&before).condition("Sick").unwrap().status, False);
}

#[test]
fn what_a_probe_repeats_lasts_and_the_rest_is_over() {
    let mut before = ledger();
    let hung = |pid| {
        about(
            pid,
            finding(1, "", "TaskHung", True, &format!("task {pid}")),
        )
    };
    before.apply(hung(7));
    before.apply(hung(8));
    let mut after = restarted(&before);
    let shown = after.condition("Sick").cloned();
    assert_eq!(after.apply(hung(7)), Outcome::default(), "it is no news");
    assert_eq!(after.condition("Sick"), shown.as_ref());
    let answered = BTreeSet::from([Arc::from("Sick")]);
    after.supersede("hung_task", &answered, second(3));
    let shown = after.condition("Sick").unwrap();
    assert_eq!((shown.status, &*shown.message), (True, "task 7"));
    after.recover(&Subject::new("hung_task", 7), second(4));
    assert_eq!(after.condition("Sick").unwrap().status, False);
}

#[test]
fn a_probe_replaces_what_was_saved() {
    let mut before = ledger();
    before.apply(about(7, finding(1, "", "TaskHung", True, "task 7")));
    let mut after = restarted(&before);
    after.apply(about(8, finding(2, "", "TaskHung", True, "task 8")));
    let answered = BTreeSet::from([Arc::from("Sick")]);
    assert_eq!(after.supersede("filesystem", &answered, second(3)), []);
    assert_eq!(
        after.supersede("hung_task", &BTreeSet::new(), second(3)),
        []
    );
    after.supersede("hung_task", &answered, second(3));
    let shown = after.condition("Sick").unwrap();
    assert_eq!((shown.status, &*shown.message), (True, "task 8"));
}
