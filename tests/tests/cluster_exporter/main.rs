//! What the agent writes to a real API server, with the rights of NPD's `ClusterRole` and no others.

mod aliases;
mod first_write;
mod kills;
mod shared;

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use npd_tests::agent::PATIENCE;
use npd_tests::cluster::{ApiServer, Lab, eventually};
use npd_tests::harness::{self, Need, Test};
use serde_json::json;
use tempfile::TempDir;

use self::shared::{lab, requests, stop};

/// Those that wait longest begin.
const TESTS: &[Test] = &[
    Test {
        name: "an_outage_loses_nothing",
        needs: &[Need::Agent, Need::ApiServer],
        run: an_outage_loses_nothing,
    },
    Test {
        name: "a_missing_permission_is_named_once",
        needs: &[Need::Agent, Need::Cluster],
        run: a_missing_permission_is_named_once,
    },
    Test {
        name: "kills_at_random_moments_lose_and_double_nothing",
        needs: &[Need::Agent, Need::Cluster],
        run: kills::kills_at_random_moments_lose_and_double_nothing,
    },
    Test {
        name: "a_healthy_node_costs_heartbeats_and_nothing_else",
        needs: &[Need::Agent, Need::ApiServer],
        run: a_healthy_node_costs_heartbeats_and_nothing_else,
    },
    Test {
        name: "conditions_and_events_reach_the_node",
        needs: &[Need::Agent, Need::Cluster],
        run: conditions_and_events_reach_the_node,
    },
    Test {
        name: "a_sick_node_stays_sick_when_npd_is_replaced",
        needs: &[Need::Agent, Need::Cluster],
        run: first_write::a_sick_node_stays_sick_when_npd_is_replaced,
    },
    Test {
        name: "a_restart_writes_nothing_that_is_there_already",
        needs: &[Need::Agent, Need::Cluster],
        run: a_restart_writes_nothing_that_is_there_already,
    },
    Test {
        name: "conditions_no_longer_configured_go_and_others_stay",
        needs: &[Need::Agent, Need::Cluster],
        run: conditions_no_longer_configured_go_and_others_stay,
    },
    Test {
        name: "uninstalling_removes_what_this_agent_wrote",
        needs: &[Need::Agent, Need::Cluster],
        run: uninstalling_removes_what_this_agent_wrote,
    },
    Test {
        name: "an_alias_follows_its_sources_over_a_restart",
        needs: &[Need::Agent, Need::Cluster],
        run: aliases::an_alias_follows_its_sources_over_a_restart,
    },
    Test {
        name: "an_event_storm_ends_with_the_exact_count",
        needs: &[Need::Agent, Need::Cluster],
        run: an_event_storm_ends_with_the_exact_count,
    },
    Test {
        name: "a_node_that_is_created_again_is_followed",
        needs: &[Need::Agent, Need::Cluster],
        run: a_node_that_is_created_again_is_followed,
    },
    Test {
        name: "stopping_finishes_what_was_begun",
        needs: &[Need::Agent, Need::Cluster],
        run: stopping_finishes_what_was_begun,
    },
];

/// Each test has a Node of its own, and most of them wait: for heartbeats, for an outage, for half a
/// minute until a refusal is believed.
fn main() -> ExitCode {
    let code = harness::parallel(TESTS);
    stop();
    code
}

/// How long it may take until the agent believes that it lacks permissions, or tries again after an
/// outage.
const LATE: Duration = Duration::from_mins(5);

fn conditions_and_events_reach_the_node() -> anyhow::Result<()> {
    let lab = lab()?;
    let ready = lab.condition("Ready")?;
    let mut agent = lab.start(&lab.config("a.json", &["AppSick", "AppSad"], 1)?)?;
    lab.expect("AppSick", "False", "IsWell", PATIENCE)?;
    lab.expect("AppSad", "False", "IsWell", PATIENCE)?;

    lab.say(["AppSick is Broken by 100% load", "oops 0 it happened"])?;
    let condition = lab.expect("AppSick", "True", "Broken", PATIENCE)?;
    ensure!(condition["message"] == "AppSick is Broken by 100% load");
    let events = lab.expect_events("Oops0", 1, PATIENCE)?;
    let uid = &lab.object()?["metadata"]["uid"];
    ensure!(&events[0]["involvedObject"]["uid"] == uid, "{events:#?}");
    ensure!(events[0]["source"]["component"] == "app-monitor");
    ensure!(events[0]["source"]["host"] == *lab.node);
    lab.expect_events("Broken", 1, PATIENCE)?;

    let page = lab.admin.kubectl(&["describe", "node", &lab.node])?;
    for text in ["AppSick", "100% load", "oops 0 it happened"] {
        ensure!(page.contains(text), "{text} is not in:\n{page}");
    }
    ensure!(
        lab.condition("Ready")? == ready,
        "another's condition was touched"
    );
    agent.stop()?;
    let log = agent.log();
    let warning = log.lines().find(|line| line.starts_with('W'));
    ensure!(warning.is_none() && log.starts_with('I'), "{log}");
    Ok(())
}

fn a_restart_writes_nothing_that_is_there_already() -> anyhow::Result<()> {
    let lab = lab()?;
    let config = lab.config("a.json", &["AppSick"], 1)?;
    let mut agent = lab.start(&config)?;
    let before = lab.expect("AppSick", "False", "IsWell", PATIENCE)?;
    agent.stop()?;

    let agent = lab.start(&config)?;
    agent.wait_until("the agent to read the Node", PATIENCE, || {
        Ok((requests(&agent, "get", "nodes", 200) > 0).then_some(()))
    })?;
    sleep(Duration::from_secs(1));
    let writes = requests(&agent, "patch", "nodes/status", 200);
    ensure!(writes == 0, "nothing was to be written");
    ensure!(lab.condition("AppSick")? == before);
    Ok(())
}

fn conditions_no_longer_configured_go_and_others_stay() -> anyhow::Result<()> {
    let lab = lab()?;
    // One that another agent began and this one took over; one that this one wrote and another
    // took over; one that this agent never knew.
    lab.write_condition("node-problem-detector", "Adopted", "IsBad")?;
    lab.write_condition("node-problem-detector", "Foreign", "IsBad")?;
    let mut agent =
        lab.start(&lab.config("a.json", &["AppSick", "Adopted", "Lost", "Old"], 0)?)?;
    for r#type in ["AppSick", "Adopted", "Lost", "Old"] {
        lab.expect(r#type, "False", "IsWell", PATIENCE)?;
    }
    agent.stop()?;
    lab.write_condition("somebody", "Lost", "IsBad")?;

    // The sooner it expects a heartbeat, the sooner it knows that there is none.
    let config = lab.config("b.json", &["AppSick"], 0)?;
    let _agent = lab.start_as(&lab.agent, &config, "1s")?;
    eventually(PATIENCE, || {
        let node = lab.object()?;
        let conditions = node["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten();
        let mut types: Vec<&str> = conditions.filter_map(|c| c["type"].as_str()).collect();
        types.sort_unstable();
        ensure!(
            types == ["AppSick", "Foreign", "Lost", "Ready"],
            "{types:?}"
        );
        Ok(())
    })
}

fn uninstalling_removes_what_this_agent_wrote() -> anyhow::Result<()> {
    let lab = lab()?;
    let mut agent = lab.start(&lab.config("a.json", &["AppSick", "AppSad", "Lost"], 0)?)?;
    for r#type in ["AppSick", "AppSad", "Lost"] {
        lab.expect(r#type, "False", "IsWell", PATIENCE)?;
    }
    agent.stop()?;
    lab.write_condition("somebody", "Lost", "IsBad")?;

    let node = &*lab.node;
    let (said, succeeded) = lab.uninstall(&["no-such-node", node])?;
    let lines: Vec<&str> = said.lines().collect();
    ensure!(!succeeded, "one Node does not exist: {said}");
    ensure!(
        lines[0] == format!("{node}: removed AppSad, AppSick"),
        "{said}"
    );
    ensure!(lines[1].contains("no-such-node"), "{said}");
    let conditions = lab.object()?["status"]["conditions"].clone();
    let left = conditions.as_array().into_iter().flatten();
    let left: Vec<_> = left.map(|condition| &condition["type"]).collect();
    ensure!(left == ["Lost", "Ready"], "{left:?}");

    let again = lab.uninstall(&[node])?;
    let expected = format!("{node}: this agent has written no condition\n");
    ensure!(again == (expected, true), "{again:?}");
    Ok(())
}

/// Counted by the server.
fn a_healthy_node_costs_heartbeats_and_nothing_else() -> anyhow::Result<()> {
    let dir = TempDir::new()?;
    let server = ApiServer::start(dir.path())?;
    let (beating, silent) = (Lab::new(&server.client)?, Lab::new(&server.client)?);
    let mut agents = Vec::new();
    let started = Instant::now();
    for (lab, heartbeat) in [(&beating, "4s"), (&silent, "0")] {
        let config = lab.config("a.json", &["AppSick", "AppSad"], 2)?;
        agents.push(lab.start_as(&lab.agent, &config, heartbeat)?);
        lab.expect("AppSick", "False", "IsWell", PATIENCE)?;
        lab.expect("AppSad", "False", "IsWell", PATIENCE)?;
    }
    sleep(Duration::from_secs(20));
    let of = |lab: &Lab, writes: &[String]| {
        let write = format!("patch nodes {}", lab.node);
        writes.iter().filter(|line| **line == write).count()
    };
    // Both conditions at once, and a heartbeat every 3.2 to 4.8 seconds.
    let writes = eventually(PATIENCE, || {
        let writes = server.writes("npd-test")?;
        ensure!(of(&beating, &writes) >= 5, "{writes:?}");
        Ok(writes)
    })?;
    let most = 1.0 + started.elapsed().as_secs_f64() / 3.2;
    let beats = of(&beating, &writes);
    ensure!(beats as f64 <= most, "{beats} of {most:.1}: {writes:?}");
    ensure!(of(&silent, &writes) == 1, "{writes:?}");
    ensure!(writes.len() == beats + 1, "{writes:?}");
    Ok(())
}

fn an_event_storm_ends_with_the_exact_count() -> anyhow::Result<()> {
    let lab = lab()?;
    let agent = lab.start(&lab.config("a.json", &[], 2)?)?;
    lab.say((0..5000).map(|kill| format!("oops 0 killed process {kill}")))?;
    lab.say(["oops 1 and something else"])?;
    lab.say((5000..10_000).map(|kill| format!("oops 0 killed process {kill}")))?;
    lab.expect_events("Oops1", 1, PATIENCE)?;
    let events = lab.expect_events("Oops0", 10_000, PATIENCE)?;
    ensure!(events.len() == 10, "{} Events", events.len());
    let created = requests(&agent, "create", "events", 201);
    let counted = requests(&agent, "patch", "events", 200);
    ensure!(
        created == 11 && counted < 20,
        "{created} created, {counted} patched"
    );
    Ok(())
}

fn a_node_that_is_created_again_is_followed() -> anyhow::Result<()> {
    let lab = lab()?;
    let _agent = lab.start(&lab.config("a.json", &["AppSick", "AppSad"], 2)?)?;
    lab.say(["oops 0 before"])?;
    lab.expect_events("Oops0", 1, PATIENCE)?;
    lab.expect("AppSick", "False", "IsWell", PATIENCE)?;
    lab.admin.kubectl(&["delete", "node", &lab.node])?;
    lab.create_node()?;

    lab.say(["AppSick is Broken again"])?;
    lab.expect("AppSick", "True", "Broken", PATIENCE)?;
    lab.expect("AppSad", "False", "IsWell", PATIENCE)?;
    lab.say(["oops 1 after"])?;
    let events = lab.expect_events("Oops1", 1, PATIENCE)?;
    ensure!(events[0]["involvedObject"]["uid"] == lab.object()?["metadata"]["uid"]);
    Ok(())
}

fn a_missing_permission_is_named_once() -> anyhow::Result<()> {
    let lab = lab()?;
    let binding = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": "npd-test-powerless", "namespace": "default" },
    });
    lab.admin.apply(&binding.to_string())?;
    let token = lab
        .admin
        .kubectl(&["create", "token", "npd-test-powerless"])?;
    let powerless = lab.admin.with_token("powerless", token.trim())?;
    let agent = lab.start_as(&powerless, &lab.config("a.json", &["AppSick"], 1)?, "5m")?;
    lab.say([
        "AppSick is Broken",
        "AppSick is Burnt",
        "oops 0 it happened",
    ])?;
    // A server that has just started refuses for a moment: each refusal is believed after half a
    // minute, and conditions are written when that of reading the Node is.
    let named = |log: &str| log.matches("Permission is missing").count();
    agent.wait_until("three refusals", LATE, || {
        Ok((named(&agent.log()) == 3).then_some(()))
    })?;
    ensure!(requests(&agent, "patch", "nodes/status", 403) > 0);
    sleep(Duration::from_secs(2));
    let log = agent.log();
    let warnings: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("Permission is missing"))
        .collect();
    ensure!(warnings.len() == 3, "{log}");
    for right in [
        "\"get\" resource=\"nodes\"",
        "\"patch\" resource=\"nodes/status\"",
        "\"create\" resource=\"events\"",
    ] {
        ensure!(
            warnings.iter().any(|line| line.contains(right)),
            "{right} is not in {log}"
        );
    }
    Ok(())
}

fn stopping_finishes_what_was_begun() -> anyhow::Result<()> {
    let lab = lab()?;
    let mut agent = lab.start(&lab.config("a.json", &["AppSick"], 1)?)?;
    lab.expect("AppSick", "False", "IsWell", PATIENCE)?;
    lab.say((0..300).map(|_| "oops 0 again"))?;
    lab.say(["AppSick is Broken by c"])?;
    agent.wait_until("the condition", PATIENCE, || {
        Ok((agent.condition("AppSick")?["status"] == "True").then_some(()))
    })?;
    ensure!(agent.stop()?.success());
    // It is stopped: there is nothing to wait for.
    lab.expect("AppSick", "True", "Broken", Duration::ZERO)?;
    lab.expect_events("Oops0", 300, Duration::ZERO)?;
    Ok(())
}

fn an_outage_loses_nothing() -> anyhow::Result<()> {
    const OUTAGE: Duration = Duration::from_mins(1);
    let dir = TempDir::new()?;
    let mut server = ApiServer::start(dir.path())?;
    let lab = Lab::new(&server.client)?;
    let agent = lab.start(&lab.config("a.json", &["AppSick"], 500)?)?;
    lab.expect("AppSick", "False", "IsWell", PATIENCE)?;

    let mut outage = None;
    for step in 0..200 {
        if step == 20 {
            server.kill9();
            outage = Some(Instant::now());
        }
        let state = ["Broken", "Burnt"][step % 2];
        lab.say([format!("AppSick is {state} at {step}")])?;
        lab.say((0..5).map(|n| format!("oops {} at {step}", (step * 5 + n) % 500)))?;
        sleep(Duration::from_millis(50));
    }
    let passed = outage.context("there was no outage")?.elapsed();
    sleep(OUTAGE.saturating_sub(passed));
    server.restart()?;

    // The condition had the same reason before the outage; only the message differs.
    eventually(LATE, || {
        let condition = lab.expect("AppSick", "True", "Burnt", Duration::ZERO)?;
        ensure!(condition["message"] == "AppSick is Burnt at 199");
        Ok(())
    })?;
    let events = lab.expect_events("Oops", 1000, LATE)?;
    ensure!(
        events.len() == 1000,
        "two messages each for 500 reasons: {}",
        events.len()
    );
    lab.expect_events("B", 200, LATE)?;
    ensure!(agent.metric(r#"npd_exporter_dropped_total{exporter="kubernetes"}"#)? == 0);
    Ok(())
}
