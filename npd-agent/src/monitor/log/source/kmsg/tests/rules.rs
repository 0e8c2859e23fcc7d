//! The rules for the kernel's log, NPD's and ours together, on what kernels have written.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::sets;
use crate::monitor::log::rule_set::RuleSet;
use crate::node::clock::ClockReading;
use crate::problem::Witness;

/// NPD's rules that are built in, and ours, which report at once.
fn rules() -> Vec<RuleSet> {
    let ours = include_str!("../../../../../../../deploy/config/kernel-faults.json");
    let mut ours: Value = serde_json::from_str(ours).unwrap();
    for rule in ours["rules"].as_array_mut().unwrap() {
        let rule = rule.as_object_mut().unwrap();
        rule.remove("threshold");
        rule.remove("window");
    }
    sets(&[
        include_str!("../../../../../../../deploy/config/kernel-monitor.json"),
        include_str!("../../../../../../../deploy/config/readonly-monitor.json"),
        &ours.to_string(),
    ])
}

#[test]
fn what_kernels_have_written_is_reported_once() {
    let mut sets = rules();
    for set in &sets {
        assert!(!set.matcher.spans(), "no rule spans lines");
        assert!(set.matcher.all_have_literals(), "every rule has literals");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/rules");
    let mut lines = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let expected = path.file_stem().unwrap().to_str().unwrap();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let Some((mark, text)) = line.split_once(' ').filter(|(mark, _)| *mark != "#") else {
                continue;
            };
            let findings = sets
                .iter_mut()
                .flat_map(|set| set.take(ClockReading::now(), text.trim(), Witness::KernelText));
            let found: Vec<_> = findings
                .map(|finding| finding.problem.reason.to_string())
                .collect();
            match mark {
                // NPD's rule for Docker is one of its rules for any task, too.
                "=" if expected == "DockerHung" => assert_eq!(found, ["TaskHung", expected]),
                "=" => assert_eq!(found, [expected], "{text}"),
                "!" => assert_eq!(found, [""; 0], "{text}"),
                _ => panic!("{}: {line}", path.display()),
            }
            lines += 1;
        }
    }
    assert!(lines > 100, "{lines}");
}
