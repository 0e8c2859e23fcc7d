//! The sum of fates: whatever the server does, what it has and what is counted as dropped is what was
//! found.

use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime;

use super::lab::Lab;
use super::samples::deadlock;
use super::server::{ResponseRule, ServerFault};

/// Every answer that is not the expected one.
const CODES: [u16; 29] = [
    301, 302, 303, 304, 305, 307, 308, 400, 401, 403, 404, 405, 406, 407, 408, 409, 410, 411, 413,
    415, 418, 421, 422, 425, 429, 500, 502, 503, 504,
];

/// What the server does for some time.
#[derive(Clone, Debug)]
struct Phase {
    fault: ServerFault,
    /// Every how many requests.
    every: u64,
    seconds: u64,
    /// How often something happens.
    happens: u64,
    /// Whether it also hits a pod.
    hits_pod: bool,
}

/// A server that does as the phase says. But it is never wrong about an Event that is gone: one that it
/// has would be counted twice.
fn rule(phase: &Phase) -> ResponseRule {
    let Phase { fault, every, .. } = phase.clone();
    let mut requests = 0;
    Box::new(move |line, _| {
        requests += 1;
        let is_wrong =
            matches!(fault, ServerFault::Code(404 | 410, _)) && line.contains("/events/");
        let fault = if is_wrong {
            ServerFault::Code(503, None)
        } else {
            fault.clone()
        };
        u64::is_multiple_of(requests, every).then_some(fault)
    })
}

/// What was found, as Events: those of pods count, too.
struct Story {
    lab: Lab,
    found: u64,
    seconds: u64,
}

impl Story {
    async fn tell(phases: &[Phase]) {
        let mut story = Self {
            lab: Lab::start(&[], |_| {}),
            found: 0,
            seconds: 0,
        };
        story.lab.condition(deadlock(false));
        for phase in phases {
            story.pass(phase).await;
        }
        story.end(phases).await;
    }

    async fn pass(&mut self, phase: &Phase) {
        self.lab.server().rule = rule(phase);
        for second in 0..phase.seconds {
            if second < phase.happens {
                self.happen(second, phase.hits_pod);
            }
            self.lab.pass(Duration::from_secs(1)).await;
            self.check(phase);
        }
        self.seconds += phase.seconds;
    }

    fn happen(&mut self, number: u64, hits_pod: bool) {
        // Some are the first with their reason, and others repeat.
        let reason = format!("Reason{}", number % 3);
        let message = format!("something {}", number % 2);
        if hits_pod {
            self.lab.pod_event(&reason, &message);
        } else {
            self.lab.event(&reason, &message);
        }
        self.found += 1 + u64::from(hits_pod);
        self.lab.condition(deadlock(number.is_multiple_of(2)));
    }

    fn told(&self) -> u64 {
        self.lab.server().total() + self.lab.dropped()
    }

    /// What the server does not have is known to wait.
    #[track_caller]
    fn check(&self, phase: &Phase) {
        let (told, waiting) = (self.told(), self.lab.waiting());
        assert!(told <= self.found, "{told} of {}: {phase:?}", self.found);
        assert!(
            told == self.found || waiting > 0,
            "{told} of {}: {phase:?}",
            self.found
        );
    }

    /// The server is itself again.
    async fn end(&mut self, phases: &[Phase]) {
        let failures = {
            let server = self.lab.server();
            let fine = |line: &str| line.ends_with(" 200") || line.ends_with(" 201");
            server.log.iter().filter(|(_, line)| !fine(line)).count()
        };
        // Each of the two tasks may have a request on its way when they begin to fail.
        let most = 2 * self.seconds + 2 * phases.len() as u64;
        assert!(failures as u64 <= most, "{failures} failures: {phases:?}");
        self.lab.server().rule = Box::new(|_, _| None);
        self.lab.condition(deadlock(true));
        self.lab.seconds(1200).await;
        assert_eq!(self.told(), self.found, "{phases:?}");
        assert_eq!(self.lab.waiting(), 0, "{phases:?}");
        let server = self.lab.server();
        assert_eq!(
            server.conditions["KernelDeadlock"]["status"], "True",
            "{phases:?}"
        );
        drop(server);
        assert_eq!(self.lab.status("kubernetes conditions"), "well");
    }
}

fn live(phases: &[Phase]) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(Story::tell(phases));
}

fn faults() -> Vec<ServerFault> {
    let codes = CODES.map(|code| ServerFault::Code(code, None)).into_iter();
    codes
        .chain([
            ServerFault::Code(429, Some(7)),
            ServerFault::Code(503, Some(7)),
            ServerFault::Silent,
            ServerFault::Reset,
            ServerFault::Half,
        ])
        .collect()
}

#[test]
fn each_fate_alone() {
    for fault in faults().into_iter().chain([ServerFault::LoseAnswer]) {
        for every in [1, 2] {
            live(&[Phase {
                fault: fault.clone(),
                every,
                seconds: 60,
                happens: 30,
                hits_pod: every == 2,
            }]);
        }
    }
}

prop_compose! {
    fn phase(faults: Vec<ServerFault>)(
        fault in prop::sample::select(faults),
        every in 1..4_u64,
        seconds in 1..60_u64,
        happens in 0..20_u64,
        hits_pod in any::<bool>(),
    ) -> Phase {
        Phase { fault, every, seconds, happens, hits_pod }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn one_after_another(phases in prop::collection::vec(phase(faults()), 1..6)) {
        live(&phases);
    }

    /// An answer that is lost and then a refusal: nobody can know which of the two was true.
    #[test]
    fn answers_get_lost(phases in prop::collection::vec(phase(vec![
        ServerFault::LoseAnswer,
        ServerFault::Reset,
        ServerFault::Half,
        ServerFault::Code(302, None),
        ServerFault::Code(503, None),
    ]), 1..6)) {
        live(&phases);
    }
}
