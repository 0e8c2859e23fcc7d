//! The rules for the kernel's log that are built in, on what kernels have written.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::sets;
use crate::monitor::log::rule_set::RuleSet;
use crate::node::clock::ClockReading;
use crate::problem::Witness;

/// The files of `deploy/config/kernel`.
fn files() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/kernel");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    paths.sort();
    let text = |path: PathBuf| fs::read_to_string(path).unwrap();
    paths.into_iter().map(text).collect()
}

/// The rules that are built in.
pub(super) fn catalogue() -> Vec<RuleSet> {
    let files = files();
    sets(&files.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The same, if they reported at once and always.
fn at_once() -> Vec<RuleSet> {
    let files = files().into_iter().map(|file| {
        let mut file: Value = serde_json::from_str(&file).unwrap();
        for rule in file["rules"].as_array_mut().unwrap() {
            let rule = rule.as_object_mut().unwrap();
            rule.remove("threshold");
            rule.remove("window");
            rule.insert("repeatAfter".to_owned(), "1ns".into());
        }
        file.to_string()
    });
    let files: Vec<_> = files.collect();
    sets(&files.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A line of a rule's fixture is reported with its reason, once as an event and at most once as a
/// condition. A near miss is not reported with this reason.
#[test]
fn what_kernels_have_written_is_reported_once() {
    let mut sets = at_once();
    for set in &sets {
        assert!(!set.matcher.spans(), "no rule spans lines");
        assert!(set.matcher.all_have_literals(), "every rule has literals");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/rules");
    let mut lines = 0;
    let mut wrong = String::new();
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
            let mut found: Vec<_> = findings
                .map(|finding| finding.problem.reason.to_string())
                .collect();
            // The task is hung, whatever the effect on the node.
            found.retain(|reason| reason == expected || reason != "TaskHung");
            found.dedup();
            let right = match mark {
                "=" => found == [expected],
                "!" => !found.iter().any(|reason| reason == expected),
                _ => panic!("{}: {line}", path.display()),
            };
            if !right {
                writeln!(wrong, "{expected} {mark} {found:?}: {text}").unwrap();
            }
            lines += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(lines > 300, "{lines}");
}

/// What begins a fault, and what ends it: the next one is news then.
const ENDS: &[(&str, &str)] = &[
    (
        "nfs: server 10.36.3.5 not responding, still trying",
        "nfs: server 10.36.3.5 OK",
    ),
    (
        "nvme nvme0: failed to connect socket: -111",
        "nvme nvme0: Successfully reconnected (3 attempts)",
    ),
    (
        "md/raid1:md0: Disk failure on sdb, disabling device.\nmd/raid1:md0: Operation continuing on 1 devices.",
        "md: md0: recovery done.",
    ),
    (
        "device-mapper: thin: 253:4: switching pool to out-of-data-space (queue IO) mode",
        "device-mapper: thin: 253:4: switching pool to write mode",
    ),
    (
        "device-mapper: thin: 253:4: switching pool to read-only mode",
        "device-mapper: thin: 253:4: switching pool to write mode",
    ),
    (
        "bond0: now running without any active interface!",
        "bond0: active interface up!",
    ),
];

#[test]
fn a_fault_is_news_again_after_the_line_that_ends_it() {
    let rules = catalogue();
    let ending = rules.iter().map(|set| set.clears.len()).sum::<usize>();
    assert_eq!(ENDS.len(), ending, "every clearPattern is tried");
    for (begins, ends) in ENDS {
        let mut sets = catalogue();
        let now = ClockReading::now();
        let mut is_news = |second, text: &str| {
            let mut now = now;
            now.monotonic += Duration::from_secs(second);
            let findings = sets
                .iter_mut()
                .flat_map(|set| set.take(now, text, Witness::KernelText));
            findings.filter(|finding| !finding.repeated).count()
        };
        assert_eq!(is_news(0, begins), 1, "{begins}");
        assert_eq!(is_news(100, begins), 0, "{begins}, again");
        assert_eq!(is_news(101, ends), 0, "{ends}");
        assert_eq!(is_news(200, begins), 1, "{begins}, after {ends}");
    }
}
