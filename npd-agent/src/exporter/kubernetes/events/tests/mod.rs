mod desk;

use std::time::Duration;

use proptest::prelude::*;

use self::desk::{Desk, clock, node};
use super::MEMORY;
use crate::exporter::kubernetes::event::InvolvedObject;
use crate::problem::Severity;

#[test]
fn the_first_goes_out_at_once_and_repeats_are_counted() {
    let mut desk = Desk::new();
    desk.add("OOMKilling", "killed 1");
    desk.deliver();
    assert_eq!(desk.server.len(), 1);
    let first = &desk.server[0];
    assert_eq!((first.count, first.severity), (1, Severity::Warning));
    assert_eq!((first.first, first.last), (clock(0), clock(0)));

    for _ in 0..5 {
        desk.add("OOMKilling", "killed 1");
    }
    desk.deliver();
    assert_eq!(desk.total(), 1, "the count waits for its pace");
    desk.pass(Duration::from_secs(1));
    assert_eq!((desk.server.len(), desk.total(), desk.writes), (1, 6, 2));
}

#[test]
fn a_storm_costs_tens_of_writes_and_ends_with_the_exact_count() {
    let mut desk = Desk::new();
    // Ten minutes of OOM kills, each with a message of its own.
    for kill in 0..10_000 {
        desk.add("OOMKilling", &format!("Killed process {kill}"));
        desk.pass(Duration::from_millis(60));
        if kill == 5_000 {
            let before = desk.server.len();
            desk.add("Ext4Error", "EXT4-fs error");
            desk.deliver();
            assert_eq!(
                desk.server.len(),
                before + 1,
                "another reason is not held up"
            );
        }
    }
    desk.pass(Duration::from_mins(2));
    assert_eq!(desk.total(), 10_001);
    assert_eq!(desk.server.len(), 9 + 1 + 1);
    assert!(desk.writes < 40, "{} writes", desk.writes);
    let combined = desk.server.iter().find(|event| event.count > 1).unwrap();
    assert_eq!(
        combined.message,
        "(combined from similar events): Killed process 9999"
    );
    assert_eq!((combined.count, combined.first), (9_991, clock(0)));
    assert_eq!(combined.last, clock(599));
}

#[test]
fn kinds_are_counted_apart() {
    let mut desk = Desk::new();
    let pod = |uid: &str| InvolvedObject::Pod {
        namespace: "shop".to_owned(),
        name: "cart".to_owned(),
        uid: uid.to_owned(),
    };
    for (source, object, reason) in [
        ("a", node(), "R"),
        ("b", node(), "R"),
        ("a", node(), "S"),
        ("a", pod("1"), "R"),
        ("a", pod("2"), "R"),
    ] {
        desk.add_of(source, object, reason, "same");
    }
    desk.deliver();
    assert_eq!((desk.server.len(), desk.total()), (5, 5));
    let mut names: Vec<&str> = desk.server.iter().map(|event| &*event.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 5, "in the same nanosecond too");
}

#[test]
fn after_a_quiet_time_messages_are_told_one_by_one_again() {
    let mut desk = Desk::new();
    for n in 0..20 {
        desk.add("R", &format!("message {n}"));
    }
    desk.pass(Duration::from_mins(11));
    assert_eq!((desk.server.len(), desk.total()), (10, 20));
    desk.add("R", "message 3");
    desk.pass(Duration::from_secs(1));
    assert_eq!(desk.server.len(), 10, "a known message is counted on");
    desk.pass(Duration::from_mins(11));
    desk.add("R", "something new");
    desk.deliver();
    assert_eq!(desk.server.last().unwrap().message, "something new");
    assert_eq!((desk.server.len(), desk.total()), (11, 22));
}

#[test]
fn an_event_that_the_server_has_let_expire_is_not_counted_on() {
    let mut desk = Desk::new();
    desk.add("R", "m");
    desk.pass(Duration::from_mins(61));
    desk.add("R", "m");
    desk.deliver();
    assert_eq!(desk.server.len(), 2);
    assert_eq!(desk.server[1].count, 1);
    assert_eq!(desk.correlator.events.len(), 1, "and is forgotten");
}

#[test]
fn a_rare_repeat_is_written_at_once() {
    let mut desk = Desk::new();
    for minute in 1..=5 {
        desk.add("R", "m");
        desk.deliver();
        assert_eq!(desk.total(), minute);
        desk.pass(Duration::from_mins(5));
    }
    assert_eq!(desk.server.len(), 1);
}

#[test]
fn a_lost_answer_does_not_make_two_events_nor_a_wrong_count() {
    let mut desk = Desk::new();
    desk.add("R", "m");
    let delivery = desk.take().unwrap();
    // The server took it, but the answer was lost.
    desk.server.push(delivery.event.clone());
    desk.correlator.failed(&delivery, desk.now);
    desk.add("R", "m");
    let again = desk.take().unwrap();
    assert!(again.create);
    assert_eq!(again.event.name, delivery.event.name);
    desk.correlator.exists(&again, desk.now);
    desk.deliver();
    assert_eq!((desk.server.len(), desk.total()), (1, 2));
}

#[test]
fn an_event_that_was_deleted_is_created_anew_with_its_count() {
    let mut desk = Desk::new();
    desk.add("R", "m");
    desk.deliver();
    desk.server.clear();
    desk.add("R", "m");
    desk.now += Duration::from_secs(1);
    let delivery = desk.take().unwrap();
    assert!(!delivery.create);
    desk.correlator.missing(&delivery, desk.now);
    desk.deliver();
    assert_eq!((desk.server.len(), desk.total()), (1, 2));
}

#[test]
fn what_fails_goes_behind_the_others() {
    let mut desk = Desk::new();
    desk.add("R", "first");
    desk.add("R", "second");
    let first = desk.take().unwrap();
    desk.correlator.failed(&first, desk.now);
    assert_eq!(desk.take().unwrap().event.message, "second");
    assert_eq!(desk.take().unwrap().event.message, "first");
    assert_eq!(desk.correlator.waiting(), 2, "both are in flight");
}

#[test]
fn a_refused_event_says_how_much_is_lost() {
    let mut desk = Desk::new();
    for _ in 0..3 {
        desk.add("R", "m");
    }
    let delivery = desk.take().unwrap();
    desk.add("R", "m");
    assert_eq!(desk.correlator.refused(&delivery), 4);
    assert!(desk.correlator.is_settled());
    assert!(desk.correlator.kinds.is_empty());
    assert_eq!(desk.correlator.bytes, 0);
}

#[test]
fn another_node_object_gets_events_of_its_own() {
    let mut desk = Desk::new();
    desk.add("R", "m");
    desk.add("S", "m");
    desk.deliver();
    desk.add("S", "m");
    desk.correlator.node_replaced(clock(5));
    desk.deliver();
    assert_eq!(
        desk.server.len(),
        3,
        "what waited to be counted is told to the new Node"
    );
    assert_eq!(desk.server[2].count, 2);
    desk.add("R", "m");
    desk.deliver();
    assert_eq!(desk.server.len(), 4);
}

#[test]
fn stopping_does_not_wait_for_the_pace() {
    let mut desk = Desk::new();
    for _ in 0..3 {
        desk.add("R", "m");
        desk.deliver();
    }
    assert!(!desk.correlator.is_settled());
    desk.correlator.write_all_now(desk.now);
    desk.deliver();
    assert!(desk.correlator.is_settled());
    desk.add("R", "m");
    desk.deliver();
    assert_eq!(desk.total(), 4);
}

#[test]
fn a_server_that_is_away_costs_bounded_memory() {
    let mut desk = Desk::new();
    let long = "x".repeat(4096);
    let mut taken = 0;
    for n in 0..2000 {
        taken += u64::from(desk.add(&format!("Reason{n}"), &long));
    }
    assert!(taken < 2000 && taken > 400, "{taken}");
    assert!(desk.correlator.bytes <= MEMORY);
    assert!(!desk.add("Another", "m") || desk.correlator.bytes <= MEMORY);
    assert!(desk.add("Reason7", &long), "what is known is still counted");
    desk.deliver();
    assert_eq!(
        desk.total(),
        taken + 1 + u64::from(desk.server.len() as u64 > taken)
    );
    for n in 0..2000 {
        assert!(
            desk.add(&format!("Later{n}"), &long),
            "settled ones make room"
        );
        desk.deliver();
    }
    assert!(desk.correlator.bytes <= MEMORY);
}

#[derive(Clone, Debug)]
enum TestStep {
    Add(u8, u8),
    Pass(u16),
    Fail,
    LoseAnswer,
    ReplaceNode,
}

fn steps() -> impl Strategy<Value = Vec<TestStep>> {
    let step = prop_oneof![
        6 => (0..3_u8, 0..14_u8).prop_map(|(reason, message)| TestStep::Add(reason, message)),
        2 => (0..900_u16).prop_map(TestStep::Pass),
        1 => Just(TestStep::Fail),
        1 => Just(TestStep::LoseAnswer),
        1 => Just(TestStep::ReplaceNode),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// Whatever happens on the way, every occurrence is counted once, and nothing is left behind.
    #[test]
    fn counts_are_exact(steps in steps()) {
        let mut desk = Desk::new();
        let mut happened = 0;
        // On a new Node object, an Event starts again with all of its count.
        let mut replaced = false;
        for step in steps {
            match step {
                TestStep::Add(reason, message) => {
                    let taken = desk.add(&format!("R{reason}"), &format!("m{message}"));
                    happened += u64::from(taken);
                }
                TestStep::Pass(seconds) => desk.pass(Duration::from_secs(u64::from(seconds))),
                TestStep::Fail => if let Some(delivery) = desk.take() {
                    desk.correlator.failed(&delivery, desk.now);
                },
                TestStep::LoseAnswer => if let Some(delivery) = desk.take() {
                    let _taken = desk.serve(&delivery);
                    desk.correlator.failed(&delivery, desk.now);
                },
                TestStep::ReplaceNode => {
                    desk.correlator.node_replaced(clock(desk.second()));
                    replaced = true;
                }
            }
        }
        desk.pass(Duration::from_mins(10));
        prop_assert!(desk.correlator.is_settled());
        if replaced {
            prop_assert!(desk.total() >= happened);
        } else {
            prop_assert_eq!(desk.total(), happened);
        }
        let weights: usize = desk.correlator.events.values().map(super::counted_event::CountedEvent::weight).sum();
        prop_assert_eq!(desk.correlator.bytes, weights);
    }
}
