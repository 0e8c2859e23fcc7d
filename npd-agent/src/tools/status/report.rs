//! The pages as a text that is understood in five seconds: what is wrong comes first.

use anyhow::Context;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::{Condition, ConditionStatus};
use crate::program::plural;
use crate::status_page::{ProbeState, StatusModel};
use crate::tools::words::{age, indented};

use crate::tools::pages::AgentPages;

/// How many events are shown, the last ones.
const EVENTS: usize = 5;

/// The text, and whether the node and the agent are well.
#[derive(Debug)]
pub(super) struct StatusReport {
    pub(super) text: String,
    pub(super) is_well: bool,
}

#[derive(Deserialize)]
struct ShownEvent {
    timestamp: Timestamp,
    reason: String,
    message: String,
}

impl StatusReport {
    pub(super) fn new(pages: &AgentPages, now: Timestamp) -> anyhow::Result<Self> {
        let status: StatusModel = parse("/status", &pages.status)?;
        let conditions: Option<Vec<Condition>> = parse("/conditions", &pages.conditions)?;
        let events: Vec<ShownEvent> = parse("/events", &pages.events)?;
        let mut conditions = conditions.unwrap_or_default();
        conditions
            .sort_by(|a, b| (rank(a.problem()), &a.r#type).cmp(&(rank(b.problem()), &b.r#type)));
        let is_sick = |condition: &&Condition| condition.problem() != ConditionStatus::False;
        let sick = conditions.iter().filter(is_sick).count();
        let failures = failures(&status, now);
        let result = match (sick, status.unseen.len(), failures.len()) {
            (0, 0, 0) => "well",
            (0, 0, _) => "well as far as the agent sees",
            (0, ..) => "not known yet",
            _ => "SICK",
        };
        let types = conditions.iter().map(|condition| condition.r#type.len());
        let types = types.chain(status.unseen.keys().map(|r#type| r#type.len()));
        let width = types.max().unwrap_or_default();
        let mut lines = vec![format!("{}: {result}", status.node)];
        for condition in &conditions {
            let Condition {
                r#type,
                reason,
                message,
                ..
            } = condition;
            let (mark, age) = (mark(condition.problem()), age(condition.transition, now));
            let message = indented(message);
            lines.push(format!(
                "  {mark} {type:width$} for {age:>4}  {reason}: {message}"
            ));
        }
        for (condition, detectors) in &status.unseen {
            let detectors = detectors.join(", ");
            lines.push(format!(
                "  ? {condition:width$} is not known yet: waits for {detectors}"
            ));
        }
        let running = age(status.started, now);
        lines.push(format!("\nAgent {}, running for {running}", status.version));
        lines.extend(failures.iter().map(|failure| format!("  ✘ {failure}")));
        lines.extend(notes(&status, now).iter().map(|note| format!("  ! {note}")));
        lines.push(format!("  {}", parts(&status)));
        if !events.is_empty() {
            lines.push("\nLast events".to_owned());
        }
        for ShownEvent {
            timestamp,
            reason,
            message,
        } in events.iter().rev().take(EVENTS)
        {
            let age = age(*timestamp, now);
            lines.push(format!("  {age:>4} ago  {reason}: {}", indented(message)));
        }
        lines.push(String::new());
        let is_well = result == "well";
        Ok(Self {
            text: lines.join("\n"),
            is_well,
        })
    }
}

/// What does not work, although it should.
fn failures(status: &StatusModel, now: Timestamp) -> Vec<String> {
    let down = down_sources(status, now, true);
    let stopped = status
        .monitors
        .iter()
        .filter(|(_, monitor)| !monitor.running);
    let stopped = stopped.map(|(name, monitor)| {
        let error = monitor.last_error.as_deref().unwrap_or("it has ended");
        format!("monitor {name} does not run: {error}")
    });
    let failing = status
        .exporters
        .iter()
        .filter(|(_, state)| *state != "well");
    let failing = failing.map(|(name, state)| format!("exporter {name}: {state}"));
    down.chain(stopped).chain(failing).collect()
}

/// What is not as good as it could be.
fn notes(status: &StatusModel, now: Timestamp) -> Vec<String> {
    let down = down_sources(status, now, false);
    let probes = status.probes.iter();
    let probes = probes.filter_map(|(name, ProbeState { backend, reason })| {
        let reason = reason.as_ref()?;
        Some(format!("probe {name} uses {backend}: {reason}"))
    });
    let degraded = status.sources.iter().filter_map(|(name, source)| {
        let reason = source.degraded.as_ref()?;
        Some(format!("source {name} is degraded: {reason}"))
    });
    let config = status.config_problems.iter().map(ToString::to_string);
    down.chain(degraded).chain(probes).chain(config).collect()
}

fn down_sources(
    status: &StatusModel,
    now: Timestamp,
    mandatory: bool,
) -> impl Iterator<Item = String> {
    let down = status.sources.iter();
    let down = down.filter(move |(_, source)| !source.up && source.mandatory == mandatory);
    down.map(move |(name, source)| {
        let reason = source.reason.as_deref().unwrap_or("unknown reason");
        let since = age(source.since, now);
        format!("source {name} is down for {since}: {reason}")
    })
}

/// What the agent consists of.
fn parts(status: &StatusModel) -> String {
    [
        plural(status.monitors.len(), "monitor"),
        plural(status.sources.len(), "source"),
        plural(status.probes.len(), "probe"),
        plural(status.exporters.len(), "exporter"),
    ]
    .join(", ")
}

fn parse<T: DeserializeOwned>(page: &str, value: &Value) -> anyhow::Result<T> {
    T::deserialize(value).with_context(|| format!("{page} is not as this version writes it"))
}

/// The order of conditions: the bad ones first.
fn rank(status: ConditionStatus) -> u8 {
    match status {
        ConditionStatus::True => 0,
        ConditionStatus::Unknown => 1,
        ConditionStatus::False => 2,
    }
}

fn mark(status: ConditionStatus) -> char {
    match status {
        ConditionStatus::True => '✘',
        ConditionStatus::Unknown => '?',
        ConditionStatus::False => '✔',
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut AgentPages), is_well: bool, expect: &Expect) {
        let mut pages = AgentPages {
            status: json!({
                "node": "node-1", "version": "0.1.0", "started": "2026-01-01T00:00:00Z",
                "monitors": {"kernel": {"running": true, "restarts": 0}},
                "sources": {"kmsg": {"up": true, "mandatory": true, "since": "2026-01-01T00:00:00Z"}},
                "probes": {"oom": {"backend": "raw_tracepoint"}},
                "exporters": {"kubernetes": "well"},
            }),
            conditions: json!([{
                "type": "KernelDeadlock", "status": "False", "transition": "2026-01-01T00:00:00Z",
                "reason": "KernelHasNoDeadlock", "message": "kernel has no deadlock",
            }]),
            events: json!([]),
        };
        change(&mut pages);
        let report = StatusReport::new(&pages, "2026-01-01T03:00:00Z".parse().unwrap()).unwrap();
        expect.assert_eq(&report.text);
        assert_eq!(report.is_well, is_well);
    }

    #[test]
    fn of_a_well_node_there_is_little_to_say() {
        check(
            |_| {},
            true,
            &expect![[r#"
            node-1: well
              ✔ KernelDeadlock for   3h  KernelHasNoDeadlock: kernel has no deadlock

            Agent 0.1.0, running for 3h
              1 monitor, 1 source, 1 probe, 1 exporter
        "#]],
        );
    }

    #[test]
    fn what_is_wrong_comes_first() {
        let sick = |pages: &mut AgentPages| {
            let conditions = pages.conditions.as_array_mut().unwrap();
            conditions.push(json!({
                "type": "ReadonlyFilesystem", "status": "True", "transition": "2026-01-01T02:48:00Z",
                "reason": "FilesystemIsReadOnly", "message": "Remounting filesystem read-only\nas mounted",
            }));
            pages.events = json!([
                {"timestamp": "2026-01-01T02:48:00Z", "reason": "Ext4Error", "message": "EXT4-fs error"},
                {"timestamp": "2026-01-01T02:59:59Z", "reason": "IOError", "message": "Buffer I/O error"},
            ]);
        };
        check(
            sick,
            false,
            &expect![[r#"
                node-1: SICK
                  ✘ ReadonlyFilesystem for  12m  FilesystemIsReadOnly: Remounting filesystem read-only
                      as mounted
                  ✔ KernelDeadlock     for   3h  KernelHasNoDeadlock: kernel has no deadlock

                Agent 0.1.0, running for 3h
                  1 monitor, 1 source, 1 probe, 1 exporter

                Last events
                    1s ago  IOError: Buffer I/O error
                   12m ago  Ext4Error: EXT4-fs error
            "#]],
        );
    }

    #[test]
    fn what_nobody_has_checked_is_not_called_well() {
        let unseen = |pages: &mut AgentPages| {
            pages.status["unseen"] = json!({"NTPProblem": ["rule NTPIsDown"]});
        };
        check(
            unseen,
            false,
            &expect![[r#"
            node-1: not known yet
              ✔ KernelDeadlock for   3h  KernelHasNoDeadlock: kernel has no deadlock
              ? NTPProblem     is not known yet: waits for rule NTPIsDown

            Agent 0.1.0, running for 3h
              1 monitor, 1 source, 1 probe, 1 exporter
        "#]],
        );
    }

    #[test]
    fn what_the_agent_lacks_is_listed() {
        let lacking = |pages: &mut AgentPages| {
            let down = json!({"up": false, "mandatory": true, "since": "2026-01-01T02:57:00Z", "reason": "denied"});
            pages.status["sources"]["kmsg"] = down;
            pages.status["sources"]["app.log"] = json!({"up": false, "mandatory": false, "since": "2026-01-01T00:00:00Z", "reason": "it is not there"});
            pages.status["monitors"]["kernel"] =
                json!({"running": false, "restarts": 1, "last_error": "no thread"});
            pages.status["exporters"]["kubernetes"] = json!("failing since 02:00: 503");
            pages.status["probes"]["oom"] = json!({"backend": "kmsg", "reason": "no BTF"});
            pages.status["config_problems"] = json!([
                {"file": "x.json", "line": 2, "column": 5, "field": "rules[0]", "message": "has no effect"}]);
        };
        check(
            lacking,
            false,
            &expect![[r#"
            node-1: well as far as the agent sees
              ✔ KernelDeadlock for   3h  KernelHasNoDeadlock: kernel has no deadlock

            Agent 0.1.0, running for 3h
              ✘ source kmsg is down for 3m: denied
              ✘ monitor kernel does not run: no thread
              ✘ exporter kubernetes: failing since 02:00: 503
              ! source app.log is down for 3h: it is not there
              ! probe oom uses kmsg: no BTF
              ! x.json:2:5: rules[0]: has no effect
              1 monitor, 2 sources, 1 probe, 1 exporter
        "#]],
        );
    }
}
