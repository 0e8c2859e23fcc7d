//! An agent that is killed again and again while it reports.

use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::harness;

use crate::shared::{lab, requests};

/// How many times the agent is killed; with `NPD_TEST_KILLS`, that often.
const KILLS: u64 = 12;

/// How long it may live after it has found something, in milliseconds. An Event takes a few.
const LIFE: u64 = 60;

/// How many reasons there are. Each has few Events, so that none counts for others.
const REASONS: usize = 500;

/// Every incident is an Event of its own: none is missing, none is there twice.
pub(crate) fn kills_at_random_moments_lose_and_double_nothing() -> anyhow::Result<()> {
    let kills = harness::amount("NPD_TEST_KILLS", KILLS)?;
    let lab = lab()?;
    let config = lab.config("a.json", &[], REASONS)?;
    let config = format!("--config.system-log-monitor={}", config.display());
    let start = || lab.start_with(&[&config, "--state-dir=state"]);
    let mut random = Random::new()?;
    let mut incidents = 0;
    for kill in 0..kills {
        let agent = start()?;
        // Some are killed before they have read the Node, but most while they write.
        if kill % 4 > 0 {
            wait_for_start(&agent)?;
        }
        for _ in 0..=random.below(3) {
            let reason = incidents % REASONS;
            lab.say([format!("oops {reason} for the {incidents}th time")])?;
            incidents += 1;
            sleep(Duration::from_millis(random.below(LIFE)));
        }
        agent.kill()?;
    }
    let mut agent = start()?;
    // All Events may be there already, and a process that has just begun does not handle SIGTERM yet.
    wait_for_start(&agent)?;
    let total = u64::try_from(incidents)?;
    let events = lab.expect_events("Oops", total, PATIENCE)?;
    ensure!(agent.stop()?.success());
    ensure!(
        events.len() == incidents,
        "{} Events of {incidents} incidents (seed {})",
        events.len(),
        random.seed
    );
    // Whatever it still had to write, it has written when it is stopped.
    lab.expect_events("Oops", total, Duration::ZERO)?;
    Ok(())
}

fn wait_for_start(agent: &Agent) -> anyhow::Result<()> {
    agent.wait_until("the agent to read the Node", PATIENCE, || {
        Ok((requests(agent, "get", "nodes", 200) > 0).then_some(()))
    })
}

/// Numbers that differ in each run; the seed is in the error.
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    fn new() -> anyhow::Result<Self> {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        Ok(Self { seed, state: seed })
    }

    /// A number less than `end`.
    fn below(&mut self, end: u64) -> u64 {
        // The constants are Knuth's (MMIX).
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % end
    }
}
