//! API servers with faults.

use std::time::Duration;

use expect_test::expect;

use super::check;
use super::lab::Lab;
use super::samples::deadlock;
use super::server::ServerFault;

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed() {
    let mut lab = Lab::start(&[], |server| {
        server.rule = Box::new(|line, now| {
            let busy = line.starts_with("PATCH") && now < Duration::from_secs(20);
            busy.then_some(ServerFault::Code(429, Some(30)))
        });
    });
    lab.condition(deadlock(true));
    lab.seconds(60).await;
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 200
        0.000 PATCH /api/v1/nodes/n1/status 429
        33.000 PATCH /api/v1/nodes/n1/status 200
    "]],
    );
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_a_server_ends_with_everything_right() {
    let mut lab = Lab::start(&[], |_| {});
    lab.condition(deadlock(false));
    lab.event("Before", "all is well");
    lab.seconds(60).await;
    lab.story();
    lab.server().rule =
        Box::new(|_, now| (now < Duration::from_mins(61)).then_some(ServerFault::Reset));
    for flip in 0..200 {
        lab.condition(deadlock(flip % 2 == 0));
        lab.event(&format!("Reason{flip}"), "something");
        lab.event("OOMKilling", &format!("Killed process {flip}"));
        lab.seconds(17).await;
    }
    assert!(
        lab.status("kubernetes conditions")
            .contains("connection reset by peer")
    );
    let tries = lab.server().log.len();
    assert!(tries < 400, "{tries} tries");
    lab.seconds(400).await;
    let server = lab.server();
    assert_eq!(server.conditions["KernelDeadlock"]["status"], "False");
    assert_eq!(server.total(), 1 + 200 + 200);
    assert_eq!(server.events.len(), 1 + 200 + 10);
    let taken = server
        .log
        .iter()
        .filter(|(_, line)| line.starts_with("PATCH /api/v1/nodes") && line.ends_with("200"));
    assert!(
        taken.count() <= 3,
        "one write with the final state, and heartbeats"
    );
    drop(server);
    assert_eq!(lab.status("kubernetes conditions"), "well");
    assert_eq!(
        lab.metrics
            .exporter_dropped
            .with_label_values(&["kubernetes"])
            .get(),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_tried_again_slowly_once_that_is_sure() {
    let mut lab = Lab::start(&[], |server| {
        server.rule = Box::new(|line, _| {
            line.starts_with('P')
                .then_some(ServerFault::Code(403, None))
        });
    });
    lab.condition(deadlock(true));
    lab.event("OOMKilling", "killed");
    lab.seconds(600).await;
    check(
        &lab,
        &expect![[r"
            0.000 GET /api/v1/nodes/n1 200
            0.000 PATCH /api/v1/nodes/n1/status 403
            0.000 POST /api/v1/namespaces/default/events 403
            0.500 PATCH /api/v1/nodes/n1/status 403
            1.000 POST /api/v1/namespaces/default/events 403
            1.500 PATCH /api/v1/nodes/n1/status 403
            2.000 POST /api/v1/namespaces/default/events 403
            3.000 PATCH /api/v1/nodes/n1/status 403
            3.500 POST /api/v1/namespaces/default/events 403
            6.000 PATCH /api/v1/nodes/n1/status 403
            6.500 POST /api/v1/namespaces/default/events 403
            11.000 PATCH /api/v1/nodes/n1/status 403
            11.500 POST /api/v1/namespaces/default/events 403
            16.000 PATCH /api/v1/nodes/n1/status 403
            16.500 POST /api/v1/namespaces/default/events 403
            21.000 PATCH /api/v1/nodes/n1/status 403
            21.500 POST /api/v1/namespaces/default/events 403
            26.000 PATCH /api/v1/nodes/n1/status 403
            26.500 POST /api/v1/namespaces/default/events 403
            31.000 PATCH /api/v1/nodes/n1/status 403
            31.500 POST /api/v1/namespaces/default/events 403
            91.000 PATCH /api/v1/nodes/n1/status 403
            91.500 POST /api/v1/namespaces/default/events 403
            151.000 PATCH /api/v1/nodes/n1/status 403
            151.500 POST /api/v1/namespaces/default/events 403
            211.000 PATCH /api/v1/nodes/n1/status 403
            211.500 POST /api/v1/namespaces/default/events 403
            271.000 PATCH /api/v1/nodes/n1/status 403
            271.500 POST /api/v1/namespaces/default/events 403
            331.000 PATCH /api/v1/nodes/n1/status 403
            331.500 POST /api/v1/namespaces/default/events 403
            391.000 PATCH /api/v1/nodes/n1/status 403
            391.500 POST /api/v1/namespaces/default/events 403
            451.000 PATCH /api/v1/nodes/n1/status 403
            451.500 POST /api/v1/namespaces/default/events 403
            511.000 PATCH /api/v1/nodes/n1/status 403
            511.500 POST /api/v1/namespaces/default/events 403
            571.000 PATCH /api/v1/nodes/n1/status 403
            571.500 POST /api/v1/namespaces/default/events 403
        "]],
    );
    expect!["patch nodes/status: 403 Forbidden: as told"].assert_eq(
        lab.status("kubernetes conditions")
            .split_once("Z: ")
            .unwrap()
            .1,
    );
    lab.server().rule = Box::new(|_, _| None);
    lab.seconds(80).await;
    assert_eq!(lab.server().total(), 1);
    assert_eq!(lab.status("kubernetes events"), "well");
}

/// Its authorizer has not read the roles yet.
#[tokio::test(start_paused = true)]
async fn a_server_that_forbids_while_it_starts_is_asked_again_soon() {
    let forbidden = |from: u64, until: u64| {
        move |_: &str, now: Duration| {
            let starting = Duration::from_secs(from)..Duration::from_secs(until);
            starting
                .contains(&now)
                .then_some(ServerFault::Code(403, None))
        }
    };
    // The agent starts with the server, and knows nothing of the Node.
    let mut lab = Lab::start(&[], |server| server.rule = Box::new(forbidden(0, 4)));
    lab.condition(deadlock(true));
    lab.event("OOMKilling", "killed");
    lab.seconds(15).await;
    let has = |lab: &Lab, status: &str, total: u64| {
        let server = lab.server();
        assert_eq!(server.conditions["KernelDeadlock"]["status"], status);
        assert_eq!(server.total(), total);
    };
    has(&lab, "True", 1);
    assert_eq!(lab.status("kubernetes conditions"), "well");

    // The server is started again, and something happens just then.
    lab.seconds(45).await;
    lab.server().rule = Box::new(forbidden(60, 64));
    lab.condition(deadlock(false));
    lab.event("OOMKilling", "killed again");
    lab.seconds(10).await;
    has(&lab, "False", 2);
}

#[tokio::test(start_paused = true)]
async fn writing_works_without_the_permission_to_read() {
    let mut lab = Lab::start(&[], |server| {
        server.rule = Box::new(|line, _| {
            line.starts_with("GET")
                .then_some(ServerFault::Code(403, None))
        });
    });
    lab.condition(deadlock(true));
    lab.event("OOMKilling", "killed");
    lab.seconds(40).await;
    check(
        &lab,
        &expect![[r"
            0.000 GET /api/v1/nodes/n1 403
            5.000 GET /api/v1/nodes/n1 403
            10.000 GET /api/v1/nodes/n1 403
            15.000 GET /api/v1/nodes/n1 403
            20.000 GET /api/v1/nodes/n1 403
            25.000 GET /api/v1/nodes/n1 403
            30.000 GET /api/v1/nodes/n1 403
            30.500 PATCH /api/v1/nodes/n1/status 200
            31.000 POST /api/v1/namespaces/default/events 201
        "]],
    );
}

#[tokio::test(start_paused = true)]
async fn what_no_server_will_ever_take_is_dropped_and_counted() {
    let mut lab = Lab::start(&[], |server| {
        let mut refusals = 0;
        server.rule = Box::new(move |line, _| {
            refusals += usize::from(line.starts_with("POST"));
            (line.starts_with("POST") && refusals == 1).then_some(ServerFault::Code(422, None))
        });
    });
    lab.event("First", "killed");
    lab.event("Second", "killed");
    lab.seconds(1).await;
    check(
        &lab,
        &expect![[r"
            0.000 GET /api/v1/nodes/n1 200
            0.000 POST /api/v1/namespaces/default/events 422
            0.500 POST /api/v1/namespaces/default/events 201
        "]],
    );
    assert_eq!(
        lab.metrics
            .exporter_dropped
            .with_label_values(&["kubernetes"])
            .get(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_died_silently_is_replaced() {
    let mut lab = Lab::start(&[], |_| {});
    lab.condition(deadlock(false));
    lab.seconds(60).await;
    lab.story();
    let start = Duration::from_mins(1);
    lab.server().rule = Box::new(move |_, now| {
        (now < start + Duration::from_secs(5)).then_some(ServerFault::Silent)
    });
    lab.condition(deadlock(true));
    lab.seconds(30).await;
    check(
        &lab,
        &expect![[r"
            60.000 PATCH /api/v1/nodes/n1/status Silent
            70.500 PATCH /api/v1/nodes/n1/status 200
        "]],
    );
    assert_eq!(lab.server().clients, 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_accepted_is_read_again() {
    let mut lab = Lab::start(&[], |server| {
        let mut first = true;
        server.rule = Box::new(move |_, _| {
            std::mem::take(&mut first).then_some(ServerFault::Code(401, None))
        });
    });
    lab.condition(deadlock(true));
    lab.seconds(10).await;
    check(
        &lab,
        &expect![[r"
        0.000 GET /api/v1/nodes/n1 401
        5.000 GET /api/v1/nodes/n1 200
        5.000 PATCH /api/v1/nodes/n1/status 200
    "]],
    );
    assert_eq!(lab.server().clients, 2);
}

#[tokio::test(start_paused = true)]
async fn answers_that_make_no_sense_or_get_lost_are_survived() {
    let mut lab = Lab::start(&[], |server| {
        let mut faults = [
            Some(ServerFault::Half),
            Some(ServerFault::Code(500, None)),
            None,
            Some(ServerFault::LoseAnswer),
            Some(ServerFault::Half),
            Some(ServerFault::LoseAnswer),
        ]
        .into_iter();
        server.rule = Box::new(move |_, _| faults.next().flatten());
    });
    lab.condition(deadlock(true));
    lab.event("OOMKilling", "killed");
    lab.event("OOMKilling", "killed");
    lab.seconds(30).await;
    check(
        &lab,
        &expect![[r"
            0.000 GET /api/v1/nodes/n1 Half
            5.000 GET /api/v1/nodes/n1 500
            10.000 GET /api/v1/nodes/n1 200
            10.000 PATCH /api/v1/nodes/n1/status LoseAnswer
            10.000 POST /api/v1/namespaces/default/events Half
            10.500 PATCH /api/v1/nodes/n1/status LoseAnswer
            11.000 POST /api/v1/namespaces/default/events 201
            11.250 PATCH /api/v1/nodes/n1/status 200
        "]],
    );
    let server = lab.server();
    assert_eq!((server.events.len(), server.total()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_is_waited_for_as_the_flags_say() {
    let flags = [
        "--apiserver-wait-timeout=20s",
        "--apiserver-wait-interval=5s",
    ];
    let mut lab = Lab::start(&flags, |server| {
        server.rule =
            Box::new(|_, now| (now < Duration::from_secs(40)).then_some(ServerFault::Reset));
    });
    lab.condition(deadlock(true));
    lab.event("OOMKilling", "killed");
    lab.seconds(90).await;
    check(
        &lab,
        &expect![[r"
            0.000 GET /api/v1/nodes/n1 Reset
            5.000 GET /api/v1/nodes/n1 Reset
            10.000 GET /api/v1/nodes/n1 Reset
            15.000 GET /api/v1/nodes/n1 Reset
            20.000 GET /api/v1/nodes/n1 Reset
            20.500 POST /api/v1/namespaces/default/events Reset
            21.000 POST /api/v1/namespaces/default/events Reset
            21.750 POST /api/v1/namespaces/default/events Reset
            23.250 POST /api/v1/namespaces/default/events Reset
            26.000 GET /api/v1/nodes/n1 Reset
            26.500 POST /api/v1/namespaces/default/events Reset
            32.500 POST /api/v1/namespaces/default/events Reset
            38.000 GET /api/v1/nodes/n1 Reset
            44.500 POST /api/v1/namespaces/default/events 201
            60.500 GET /api/v1/nodes/n1 200
            60.500 PATCH /api/v1/nodes/n1/status 200
        "]],
    );
}
