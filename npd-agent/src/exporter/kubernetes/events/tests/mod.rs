mod bench;

use std::time::Duration;

use proptest::prelude::*;

use self::bench::{CorrelatorBench, clock, node};
use super::MEMORY;
use crate::exporter::kubernetes::event::InvolvedObject;
use crate::problem::Severity;

#[test]
fn the_first_goes_out_at_once_and_repeats_are_counted() {
    let mut bench = CorrelatorBench::new();
    bench.add("OOMKilling", "killed 1");
    bench.deliver();
    assert_eq!(bench.server.len(), 1);
    let first = &bench.server[0];
    assert_eq!((first.count, first.severity), (1, Severity::Warning));
    assert_eq!((first.first, first.last), (clock(0), clock(0)));

    for _ in 0..5 {
        bench.add("OOMKilling", "killed 1");
    }
    bench.deliver();
    assert_eq!(bench.total(), 1, "the count waits for its pace");
    bench.pass(Duration::from_secs(1));
    assert_eq!((bench.server.len(), bench.total(), bench.writes), (1, 6, 2));
}

#[test]
fn a_storm_costs_tens_of_writes_and_ends_with_the_exact_count() {
    let mut bench = CorrelatorBench::new();
    // Ten minutes of OOM kills, each with a message of its own.
    for kill in 0..10_000 {
        bench.add("OOMKilling", &format!("Killed process {kill}"));
        bench.pass(Duration::from_millis(60));
        if kill == 5_000 {
            let before = bench.server.len();
            bench.add("Ext4Error", "EXT4-fs error");
            bench.deliver();
            assert_eq!(
                bench.server.len(),
                before + 1,
                "another reason is not held up"
            );
        }
    }
    bench.pass(Duration::from_mins(2));
    assert_eq!(bench.total(), 10_001);
    assert_eq!(bench.server.len(), 9 + 1 + 1);
    assert!(bench.writes < 40, "{} writes", bench.writes);
    let combined = bench.server.iter().find(|event| event.count > 1).unwrap();
    assert_eq!(
        combined.message,
        "(combined from similar events): Killed process 9999"
    );
    assert_eq!((combined.count, combined.first), (9_991, clock(0)));
    assert_eq!(combined.last, clock(599));
}

#[test]
fn kinds_are_counted_apart() {
    let mut bench = CorrelatorBench::new();
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
        bench.add_of(source, object, reason, "same");
    }
    bench.deliver();
    assert_eq!((bench.server.len(), bench.total()), (5, 5));
    let mut names: Vec<&str> = bench.server.iter().map(|event| &*event.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 5, "in the same nanosecond too");
}

#[test]
fn after_a_quiet_time_each_message_is_an_event_again() {
    let mut bench = CorrelatorBench::new();
    for n in 0..20 {
        bench.add("R", &format!("message {n}"));
    }
    bench.pass(Duration::from_mins(11));
    assert_eq!((bench.server.len(), bench.total()), (10, 20));
    bench.add("R", "message 3");
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.server.len(), 10, "a known message is counted on");
    bench.pass(Duration::from_mins(11));
    bench.add("R", "something new");
    bench.deliver();
    assert_eq!(bench.server.last().unwrap().message, "something new");
    assert_eq!((bench.server.len(), bench.total()), (11, 22));
}

#[test]
fn an_event_that_the_server_has_let_expire_is_not_counted_on() {
    let mut bench = CorrelatorBench::new();
    bench.add("R", "m");
    bench.pass(Duration::from_mins(61));
    bench.add("R", "m");
    bench.deliver();
    assert_eq!(bench.server.len(), 2);
    assert_eq!(bench.server[1].count, 1);
    assert_eq!(bench.correlator.events.len(), 1, "and is forgotten");
}

#[test]
fn a_rare_repeat_is_written_at_once() {
    let mut bench = CorrelatorBench::new();
    for minute in 1..=5 {
        bench.add("R", "m");
        bench.deliver();
        assert_eq!(bench.total(), minute);
        bench.pass(Duration::from_mins(5));
    }
    assert_eq!(bench.server.len(), 1);
}

#[test]
fn a_lost_answer_does_not_make_two_events_nor_a_wrong_count() {
    let mut bench = CorrelatorBench::new();
    bench.add("R", "m");
    let delivery = bench.take().unwrap();
    // The server took it, but the answer was lost.
    bench.server.push(delivery.event.clone());
    bench.correlator.failed(&delivery, bench.now);
    bench.add("R", "m");
    let again = bench.take().unwrap();
    assert!(again.create);
    assert_eq!(again.event.name, delivery.event.name);
    bench.correlator.exists(&again, bench.now);
    bench.deliver();
    assert_eq!((bench.server.len(), bench.total()), (1, 2));
}

/// An agent was killed after it had written Events, before it saved that.
#[test]
fn what_is_found_again_after_a_restart_is_not_written_twice() {
    let mut killed = CorrelatorBench::of_boot("b");
    killed.find(1, node(), "R", "first");
    killed.find(2, node(), "R", "second");
    killed.deliver();
    killed.find(3, node(), "R", "third");

    let mut restarted = CorrelatorBench::of_boot("b");
    restarted.server = killed.server;
    restarted.find(2, node(), "R", "second");
    restarted.find(3, node(), "R", "third");
    restarted.deliver();
    assert_eq!((restarted.server.len(), restarted.total()), (3, 3));
    restarted.find(4, node(), "R", "second");
    restarted.pass(Duration::from_mins(2));
    assert_eq!((restarted.server.len(), restarted.total()), (3, 4));

    let mut rebooted = CorrelatorBench::of_boot("b2");
    rebooted.server = restarted.server;
    rebooted.find(2, node(), "R", "second");
    rebooted.deliver();
    assert_eq!((rebooted.server.len(), rebooted.total()), (4, 5));
}

/// An Event that counts others too is not replaced by one of them.
#[test]
fn a_restart_leaves_combined_events_alone() {
    let mut killed = CorrelatorBench::of_boot("b");
    for kill in 0..100 {
        killed.find(
            kill,
            node(),
            "OOMKilling",
            &format!("Killed process {kill}"),
        );
    }
    killed.pass(Duration::from_mins(2));
    assert_eq!((killed.server.len(), killed.total()), (10, 100));
    let mut restarted = CorrelatorBench::of_boot("b");
    restarted.server = killed.server;
    restarted.find(9, node(), "OOMKilling", "Killed process 9");
    restarted.deliver();
    let counts = restarted.server.iter().map(|event| event.count);
    assert_eq!(counts.max(), Some(91));
}

#[test]
fn events_about_one_occurrence_have_names_of_their_own() {
    let pod = || InvolvedObject::Pod {
        namespace: "default".to_owned(),
        name: "n1".to_owned(),
        uid: "u".to_owned(),
    };
    let mut bench = CorrelatorBench::of_boot("b");
    bench.find(1, node(), "R", "m");
    bench.find(1, pod(), "R", "m");
    bench.find(1, node(), "S", "m");
    bench.find(1, node(), "R", "the same in other words");
    bench.deliver();
    assert_eq!((bench.server.len(), bench.total()), (4, 4));
}

#[test]
fn an_event_that_was_deleted_is_created_again_with_its_count() {
    let mut bench = CorrelatorBench::new();
    bench.add("R", "m");
    bench.deliver();
    bench.server.clear();
    bench.add("R", "m");
    bench.now += Duration::from_secs(1);
    let delivery = bench.take().unwrap();
    assert!(!delivery.create);
    bench.correlator.missing(&delivery, bench.now);
    bench.deliver();
    assert_eq!((bench.server.len(), bench.total()), (1, 2));
}

#[test]
fn what_fails_goes_behind_the_others() {
    let mut bench = CorrelatorBench::new();
    bench.add("R", "first");
    bench.add("R", "second");
    let first = bench.take().unwrap();
    bench.correlator.failed(&first, bench.now);
    assert_eq!(bench.take().unwrap().event.message, "second");
    assert_eq!(bench.take().unwrap().event.message, "first");
    assert_eq!(bench.correlator.waiting(), 2, "both are in flight");
}

#[test]
fn a_refused_event_says_how_much_is_lost() {
    let mut bench = CorrelatorBench::new();
    for _ in 0..3 {
        bench.add("R", "m");
    }
    let delivery = bench.take().unwrap();
    bench.add("R", "m");
    assert_eq!(bench.correlator.refused(&delivery), 4);
    assert!(bench.correlator.is_settled());
    assert!(bench.correlator.kinds.is_empty());
    assert_eq!(bench.correlator.bytes, 0);
}

#[test]
fn another_node_object_gets_events_of_its_own() {
    let mut bench = CorrelatorBench::new();
    bench.add("R", "m");
    bench.add("S", "m");
    bench.deliver();
    bench.add("S", "m");
    bench.correlator.node_replaced(clock(5));
    bench.deliver();
    assert_eq!(
        bench.server.len(),
        3,
        "what waited to be counted is told to the new Node"
    );
    assert_eq!(bench.server[2].count, 2);
    bench.add("R", "m");
    bench.deliver();
    assert_eq!(bench.server.len(), 4);
}

#[test]
fn stopping_does_not_wait_for_the_pace() {
    let mut bench = CorrelatorBench::new();
    for _ in 0..3 {
        bench.add("R", "m");
        bench.deliver();
    }
    assert!(!bench.correlator.is_settled());
    bench.correlator.write_all_now(bench.now);
    bench.deliver();
    assert!(bench.correlator.is_settled());
    bench.add("R", "m");
    bench.deliver();
    assert_eq!(bench.total(), 4);
}

#[test]
fn a_server_that_is_away_costs_bounded_memory() {
    let mut bench = CorrelatorBench::new();
    let long = "x".repeat(4096);
    let mut taken = 0;
    for n in 0..2000 {
        taken += u64::from(bench.add(&format!("Reason{n}"), &long));
    }
    assert!(taken < 2000 && taken > 400, "{taken}");
    assert!(bench.correlator.bytes <= MEMORY);
    assert!(!bench.add("Another", "m") || bench.correlator.bytes <= MEMORY);
    assert!(
        bench.add("Reason7", &long),
        "what is known is still counted"
    );
    bench.deliver();
    assert_eq!(
        bench.total(),
        taken + 1 + u64::from(bench.server.len() as u64 > taken)
    );
    for n in 0..2000 {
        assert!(
            bench.add(&format!("Later{n}"), &long),
            "settled ones make room"
        );
        bench.deliver();
    }
    assert!(bench.correlator.bytes <= MEMORY);
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
        let mut bench = CorrelatorBench::new();
        let mut happened = 0;
        // On a new Node object, an Event starts again with all of its count.
        let mut replaced = false;
        for step in steps {
            match step {
                TestStep::Add(reason, message) => {
                    let taken = bench.add(&format!("R{reason}"), &format!("m{message}"));
                    happened += u64::from(taken);
                }
                TestStep::Pass(seconds) => bench.pass(Duration::from_secs(u64::from(seconds))),
                TestStep::Fail => if let Some(delivery) = bench.take() {
                    bench.correlator.failed(&delivery, bench.now);
                },
                TestStep::LoseAnswer => if let Some(delivery) = bench.take() {
                    let _taken = bench.serve(&delivery);
                    bench.correlator.failed(&delivery, bench.now);
                },
                TestStep::ReplaceNode => {
                    bench.correlator.node_replaced(clock(bench.second()));
                    replaced = true;
                }
            }
        }
        bench.pass(Duration::from_mins(10));
        prop_assert!(bench.correlator.is_settled());
        if replaced {
            prop_assert!(bench.total() >= happened);
        } else {
            prop_assert_eq!(bench.total(), happened);
        }
        let weights: usize = bench.correlator.events.values().map(super::counted_event::CountedEvent::weight).sum();
        prop_assert_eq!(bench.correlator.bytes, weights);
    }
}
