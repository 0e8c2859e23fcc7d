//! What is stored and shown while the server is away, and how often the exporter asks it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lab::Lab;
use super::samples::deadlock;
use super::server::ServerFault;

#[tokio::test(start_paused = true)]
async fn a_server_that_has_just_started_forbids_for_a_moment() {
    let mut lab = Lab::start(&[], |server| {
        server.rule = Box::new(|_, now| {
            let starting = now < Duration::from_secs(4);
            starting.then_some(ServerFault::Code(403, None))
        });
    });
    lab.condition(deadlock(true));
    lab.pod_event("OOMKilling", "killed");
    lab.seconds(10).await;
    assert_eq!(lab.server().conditions["KernelDeadlock"]["status"], "True");
    assert_eq!(lab.server().total(), 2, "the Node's and the pod's");
    assert_eq!(lab.status("kubernetes conditions"), "well");
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_namespace_is_closed_to_us_holds_nothing_up() {
    let mut lab = Lab::start(&[], |server| {
        let closed = |line: &str| line.contains("/namespaces/shop/");
        server.rule = Box::new(move |line, _| closed(line).then_some(ServerFault::Code(403, None)));
    });
    for _ in 0..10 {
        lab.pod_event("OOMKilling", "killed");
        lab.seconds(10).await;
    }
    lab.seconds(60).await;
    assert_eq!(lab.server().total(), 10);
    assert_eq!(lab.status("kubernetes events"), "well");
    assert_eq!(lab.dropped(), 10);
}

/// While every request fails, there are at most two requests a second, every Event waits, and a metric
/// shows how many. When the server works again, it gets all of them.
#[track_caller]
fn check_outage(lab: &Lab, seconds: u64, kept: u64) {
    let server = lab.server();
    let failures = server
        .log
        .iter()
        .filter(|(_, line)| !line.ends_with(" 200"));
    let mut buckets = BTreeMap::<u64, u32>::new();
    for (when, _) in failures {
        *buckets.entry(when.as_secs()).or_default() += 1;
    }
    // Each task may have one on its way when they begin to fail.
    let most = buckets.values().max().copied().unwrap_or_default();
    assert!(most <= 3, "{most} in a second: {buckets:?}");
    let all: u32 = buckets.values().sum();
    assert!(u64::from(all) <= 2 + 2 * seconds, "{all} in {seconds} s");
    drop(server);
    assert_eq!(lab.waiting(), kept);
    assert_eq!(lab.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_load_balancers_moment_loses_nothing() {
    for code in [
        301, 302, 307, 308, 402, 404, 407, 409, 411, 418, 421, 425, 451, 499, 503,
    ] {
        let mut lab = Lab::start(&[], |_| {});
        lab.condition(deadlock(false));
        lab.seconds(60).await;
        lab.story();
        lab.server().rule = Box::new(move |_, _| Some(ServerFault::Code(code, None)));
        lab.condition(deadlock(true));
        for reason in 0..24 {
            lab.event(&format!("Reason{reason}"), "something");
        }
        lab.seconds(60).await;
        check_outage(&lab, 60, 24);
        lab.server().rule = Box::new(|_, _| None);
        lab.seconds(300).await;
        assert_eq!(lab.server().total(), 24, "after {code}");
        assert_eq!(lab.waiting(), 0);
        assert_eq!(lab.server().conditions["KernelDeadlock"]["status"], "True");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_contradicts_itself_is_not_asked_faster() {
    let mut lab = Lab::start(&[], |server| {
        server.rule = Box::new(|line, _| match line {
            _ if line.starts_with("POST") => Some(ServerFault::Code(409, None)),
            _ if line.contains("/events/") => Some(ServerFault::Code(404, None)),
            _ => None,
        });
    });
    lab.event("OOMKilling", "killed");
    lab.seconds(60).await;
    check_outage(&lab, 60, 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_while_the_server_is_away_is_shown() {
    let mut lab = Lab::start(&[], |server| {
        server.rule = Box::new(|_, _| Some(ServerFault::Silent));
    });
    for reason in 0..1200 {
        lab.event(&format!("Reason{reason}"), "something");
    }
    lab.seconds(1).await;
    assert_eq!(lab.waiting(), 1200);
}
