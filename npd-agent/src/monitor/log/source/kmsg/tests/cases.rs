//! What real nodes have written, and what the catalogue reports for it.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::rules::catalogue;
use crate::monitor::log::node_storage::NodeStorage;
use crate::monitor::log::rule_set::RuleSet;
use crate::node::clock::ClockReading;
use crate::problem::{Finding, Witness};

const CASES: &str = include_str!("../../../../../../../tests/fixtures/cases/kernel-log.txt");

/// What is reported for these lines, each a record of the kernel, one a second from the start of a day,
/// on a machine that needs none of these devices.
fn reported(sets: &mut [RuleSet], day: u64, lines: &[String]) -> Vec<String> {
    let nothing = NodeStorage::default();
    let mut reported = Vec::new();
    for (second, line) in (day * 86_400..).zip(lines) {
        let at = ClockReading {
            wall: Timestamp::from_second(second.cast_signed()).unwrap(),
            monotonic: Duration::from_secs(second),
        };
        let findings = sets.iter_mut().flat_map(|set| {
            let findings = set.take(at, line, Witness::KernelText).into_iter();
            let placed = findings.map(|finding| set.placed(finding, &nothing, at));
            placed.collect::<Vec<_>>()
        });
        let news = findings.filter(|finding| !finding.repeated);
        reported.extend(news.map(|finding| shown(&finding)));
    }
    reported.sort_unstable();
    reported
}

fn shown(finding: &Finding) -> String {
    let object = finding.object.as_ref().map(ToString::to_string);
    let condition = finding.problem.condition.as_ref();
    format!(
        "{} {} {}{}",
        finding.problem.reason,
        finding.problem.severity().as_str(),
        object.as_deref().unwrap_or("-"),
        condition.map_or(String::new(), |condition| format!(" {condition}")),
    )
}

#[test]
fn every_fault_is_reported_once_and_every_harmless_line_is_quiet() {
    let mut sets = catalogue();
    let mut cases = 0;
    let mut wrong = String::new();
    for case in CASES.split("\n## ").skip(1) {
        let lines = case.lines().filter_map(|line| line.strip_prefix("> "));
        let lines: Vec<_> = lines
            .map(|line| line.replace("\\n", "\n").replace("\\\\", "\\"))
            .collect();
        let expected = case.lines().filter_map(|line| line.strip_prefix("= "));
        let mut expected: Vec<_> = expected.filter(|line| *line != "quiet").collect();
        expected.sort_unstable();
        let found = reported(&mut sets, cases, &lines);
        if found != expected {
            let name = case.lines().next().unwrap_or_default();
            writeln!(
                wrong,
                "{name}\n  expected {expected:?}\n  reported {found:?}"
            )
            .unwrap();
        }
        cases += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases >= 70, "{cases}");
}
