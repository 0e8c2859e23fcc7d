use super::*;
use crate::problem::ConditionStatus::{False, True, Unknown};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// `KernelReady`, of `Deadlock` and `Hardware`.
fn kernel_ready(well: ConditionStatus) -> Alias {
    Alias {
        healthy: Healthy {
            r#type: Arc::from("KernelReady"),
            reason: Arc::from("KernelIsReady"),
            message: "the kernel is well".to_owned(),
        },
        well,
        sources: vec![Arc::from("Deadlock"), Arc::from("Hardware")],
    }
}

/// A condition in the short form `type status reason second`.
fn condition(text: &str) -> Condition {
    let words: Vec<&str> = text.split(' ').collect();
    let [r#type, status, reason, second] = words[..] else {
        panic!("{text}");
    };
    let statuses = [True, False, Unknown];
    let status = statuses.into_iter().find(|s| s.to_string() == status);
    Condition {
        r#type: Arc::from(r#type),
        status: status.unwrap(),
        transition: at(second.parse().unwrap()),
        reason: Arc::from(reason),
        message: format!("about {reason}"),
        healthy: None,
    }
}

/// The alias after an update with these conditions; `-` if it is not published.
fn after(aliases: &mut Aliases, published: &[&str]) -> String {
    let conditions: Vec<_> = published.iter().map(|text| condition(text)).collect();
    let published: Vec<_> = conditions.iter().collect();
    aliases.update(&published);
    let shown = aliases.shown().map(|shown| {
        let second = shown.transition.as_second();
        format!("{} {} {second}", shown.status, shown.reason)
    });
    shown.last().unwrap_or_else(|| "-".to_owned())
}

#[track_caller]
fn check(well: ConditionStatus, steps: &[(&[&str], &str)]) {
    let mut aliases = Aliases::new(vec![kernel_ready(well)]);
    for (published, expect) in steps {
        assert_eq!(after(&mut aliases, published), *expect, "{published:?}");
    }
}

#[test]
fn an_alias_says_what_its_sources_say() {
    let (deadlock, hardware) = ("Deadlock False NoDeadlock 1", "Hardware False NoError 2");
    check(
        True,
        &[
            (&[], "-"),
            (&[deadlock], "-"),
            (&["Deadlock Unknown NoDeadlock 1"], "-"),
            (&[deadlock, hardware], "True KernelIsReady 2"),
            // The first in the order of the sources is the reason, and the time is that of the status.
            (&[deadlock, "Hardware True Broken 5"], "False Broken 5"),
            (
                &["Deadlock True Hung 7", "Hardware True Broken 5"],
                "False Hung 5",
            ),
            (
                &["Deadlock False NoDeadlock 9", "Hardware True Broken 5"],
                "False Broken 5",
            ),
            (
                &["Deadlock False NoDeadlock 9", "Hardware Unknown NoError 11"],
                "Unknown NoError 11",
            ),
            (
                &["Deadlock True Hung 12", "Hardware Unknown NoError 11"],
                "False Hung 12",
            ),
            (
                &["Deadlock False NoDeadlock 13", "Hardware False NoError 14"],
                "True KernelIsReady 14",
            ),
        ],
    );
}

#[test]
fn a_sick_alias_does_not_wait_for_other_sources() {
    check(True, &[(&["Hardware True Broken 5"], "False Broken 5")]);
}

#[test]
fn an_alias_may_have_npds_polarity() {
    check(
        False,
        &[
            (
                &["Deadlock False NoDeadlock 1", "Hardware False NoError 2"],
                "False KernelIsReady 2",
            ),
            (
                &["Deadlock True Hung 3", "Hardware False NoError 2"],
                "True Hung 3",
            ),
        ],
    );
}

#[test]
fn a_restarted_agent_continues_with_the_transition_time() {
    let mut first = Aliases::new(vec![kernel_ready(True)]);
    after(&mut first, &["Hardware True Broken 5"]);
    after(
        &mut first,
        &["Hardware True Broken 5", "Deadlock True Hung 7"],
    );
    let restarted = || {
        let mut next = Aliases::new(vec![kernel_ready(True)]);
        next.restore(first.saved());
        assert_eq!(
            next.saved(),
            first.saved(),
            "saved again before it is known"
        );
        next
    };
    // The first source has recovered meanwhile: the node has been sick all the time.
    let still_sick = ["Hardware False NoError 9", "Deadlock True Hung 7"];
    assert_eq!(after(&mut restarted(), &still_sick), "False Hung 5");
    let well = ["Hardware False NoError 9", "Deadlock False NoDeadlock 9"];
    let mut recovered = restarted();
    assert_eq!(after(&mut recovered, &well), "True KernelIsReady 9");
    // What was before the recovery is over.
    let again = ["Hardware False NoError 9", "Deadlock True Hung 11"];
    assert_eq!(after(&mut recovered, &again), "False Hung 11");
}

#[test]
fn only_changes_are_published() {
    let mut aliases = Aliases::new(vec![kernel_ready(True)]);
    let (deadlock, hardware) = (
        condition("Deadlock False NoDeadlock 1"),
        condition("Hardware False NoError 2"),
    );
    let unseen = aliases.unseen(&[&deadlock]);
    assert_eq!(
        unseen,
        [(Arc::from("KernelReady"), vec!["Hardware".to_owned()])]
    );
    assert_eq!(aliases.update(&[&deadlock, &hardware]).len(), 1);
    assert_eq!(aliases.update(&[&deadlock, &hardware]), []);
    assert_eq!(aliases.unseen(&[&deadlock, &hardware]), []);
}
