//! Everything that the agent talks to is bad at once: the API server, and the clients of its own pages.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, get};
use npd_tests::harness::{Need, Test};
use serde_json::json;

use crate::crowd::Crowd;
use crate::lab::wait_until;
use crate::scripted_server::{ApiFault, ScriptedServer};

pub(crate) const TEST: Test = Test {
    name: "a_failing_api_server_and_rude_clients_cost_no_answer_and_no_event_that_is_not_counted",
    needs: &[Need::Agent],
    run: a_failing_api_server_and_rude_clients_cost_no_answer_and_no_event_that_is_not_counted,
};

/// Answers that are not the expected one. Those about what is gone (404, 410) make the agent wait for 20 s;
/// the exporter's own tests have them, with a clock that they move.
const CODES: [u16; 27] = [
    301, 302, 303, 304, 305, 307, 308, 400, 401, 403, 405, 406, 407, 408, 409, 411, 413, 415, 418,
    421, 422, 425, 429, 500, 502, 503, 504,
];

/// How many reasons there are. Each is an Event of its own.
const REASONS: u64 = 30;

fn config() -> String {
    let rule = |number| json!({"type": "temporary", "reason": format!("Bad{number}"), "pattern": format!("bad {number} .*")});
    let mut rules: Vec<_> = (0..REASONS).map(rule).collect();
    rules.push(json!({
        "type": "permanent", "condition": "AppBroken", "reason": "Broken", "pattern": "broken .*",
    }));
    json!({
        "plugin": "filelog", "logPath": "app.log", "source": "app", "lookback": "1h",
        "pluginConfig": {"timestamp": "^.{20}", "message": "^.{20} (.*)",
                         "timestampFormat": "2006-01-02T15:04:05Z07:00"},
        "conditions": [{"type": "AppBroken", "reason": "AppWorks", "message": "the app works"}],
        "rules": rules,
    })
    .to_string()
}

fn a_failing_api_server_and_rude_clients_cost_no_answer_and_no_event_that_is_not_counted()
-> anyhow::Result<()> {
    let hard = [ApiFault::Silent, ApiFault::Reset, ApiFault::Half];
    let node = CODES
        .into_iter()
        .step_by(2)
        .map(ApiFault::Proxy)
        .chain(hard);
    // Refused after an answer was lost, nobody could know whether the server has the Event.
    let events = CODES.into_iter().map(ApiFault::Refusal).chain(hard);
    let events = events.chain([ApiFault::Proxy(200), ApiFault::LoseAnswer]);
    let server = ScriptedServer::start(events.collect(), node.collect())?;
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("app.json"), config())?;
    fs::write(folder.path().join("app.log"), "")?;
    let api_server = format!(
        "--apiserver-override=http://127.0.0.1:{}?inClusterConfig=false",
        server.port
    );
    let arguments = [
        "--config.system-log-monitor=app.json",
        "--hostname-override=n1",
        "--k8s-exporter-heartbeat-period=500ms",
        "--apiserver-wait-interval=1s",
        &*api_server,
    ];
    let mut agent = Agent::start(folder.path(), &arguments)?;
    let servers = [agent.port(), agent.prometheus_port()];
    let crowd = Crowd::of(&servers.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))));

    let mut found = happen(&agent, folder.path(), 1)?;
    let faults = server.faults_left();
    for left in (0..faults).rev() {
        wait_until("the next fault", || {
            check(&agent, &server, found)?;
            Ok(server.faults_left() <= left)
        })?;
        if left == faults / 2 {
            found += happen(&agent, folder.path(), 2)?;
        }
    }
    wait_until("everything is written", || {
        let waiting = check(&agent, &server, found)?;
        Ok(waiting == 0.0)
    })?;
    drop(crowd);
    let status = agent.page("/status")?;
    for task in ["kubernetes events", "kubernetes conditions"] {
        wait_until("the exporter is well", || {
            Ok(agent.page("/status")?["exporters"][task] == "well")
        })
        .with_context(|| status.to_string())?;
    }
    ensure!(server.condition("AppBroken").as_deref() == Some("True"));
    ensure!(agent.stop()?.success(), "it was asked to stop");
    Ok(())
}

/// Has the agent find a problem for each reason, and the first time one that changes the condition. Returns how
/// many Events that are.
fn happen(agent: &Agent, folder: &Path, time: u64) -> anyhow::Result<f64> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let mut lines: Vec<_> = (0..REASONS)
        .map(|number| format!("{now} bad {number} again\n"))
        .collect();
    if time == 1 {
        lines.insert(0, format!("{now} broken for good\n"));
    }
    let mut log = File::options().append(true).open(folder.join("app.log"))?;
    log.write_all(lines.concat().as_bytes())?;
    wait_until("the problems are found", || {
        let page = agent.metrics()?;
        let each = page.series.iter();
        let found = each.filter(|(series, _)| series.starts_with("problem_counter{reason=\"Bad"));
        Ok(found.map(|(_, count)| count).sum::<f64>() >= (time * REASONS) as f64)
    })?;
    Ok(lines.len() as f64)
}

/// The agent answers, and its gauges are true. Returns how many Events wait.
fn check(agent: &Agent, server: &ScriptedServer, found: f64) -> anyhow::Result<f64> {
    ensure!(get(agent.port(), "/healthz")? == "ok");
    let page = agent.metrics()?;
    let waiting = page.value("npd_events_waiting")?;
    let dropped = page.value("npd_exporter_dropped_total{exporter=\"kubernetes\"}")?;
    // Asked after the page, so it may be more.
    let told = server.told() as f64;
    let state = format!("{told} told, {dropped} dropped, {waiting} wait, {found} found");
    ensure!(told + dropped <= found, "{state}");
    ensure!(told + dropped >= found || waiting > 0.0, "{state}");
    Ok(waiting)
}
