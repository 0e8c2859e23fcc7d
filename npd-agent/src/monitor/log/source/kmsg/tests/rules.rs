//! The rules for the kernel's log that are built in, on what kernels have written.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::sets;
use crate::monitor::log::rule_set::RuleSet;
use crate::node::clock::ClockReading;
use crate::problem::{ConditionStatus, Witness};

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
            rule.remove("fault");
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
            let begun = findings.filter(|finding| finding.present == ConditionStatus::True);
            let mut found: Vec<_> = begun
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
        "md: md0: recover done.",
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
    (
        "bond0: (slave eth1): link status definitely down, disabling slave",
        "bond0: (slave eth1): link status definitely up, 25000 Mbps full duplex",
    ),
    (
        "Lustre: fs-OST0000-osc-ffff8881: Connection to fs-OST0000 (at 10.0.0.7@tcp) was lost; in progress operations using this service will wait for recovery to complete",
        "Lustre: fs-OST0000-osc-ffff8881: Connection restored to fs-OST0000 (at 10.0.0.7@tcp)",
    ),
];

#[test]
fn a_fault_is_news_again_after_the_line_that_ends_it() {
    let rules = catalogue();
    let ending = rules.iter().flat_map(|set| {
        let ending = set.clears.iter().map(|index| &set.rules[*index]);
        ending.filter(|rule| rule.problem.condition.is_none())
    });
    let ending = ending.count();
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

/// What rules report for lines that come one after the other, a second apart.
fn reported_of(lines: &[&str]) -> Vec<String> {
    let mut sets = catalogue();
    let start = ClockReading::now();
    let mut reported = Vec::new();
    for (second, line) in (0..).zip(lines) {
        let now = ClockReading {
            monotonic: start.monotonic + Duration::from_secs(second),
            ..start
        };
        let findings = sets
            .iter_mut()
            .flat_map(|set| set.take(now, line, Witness::KernelText));
        let news = findings.filter(|finding| !finding.repeated);
        reported.extend(news.map(|finding| {
            let condition = finding.problem.condition.as_deref().unwrap_or("-");
            format!("{} {condition} {}", finding.problem.reason, finding.present)
        }));
    }
    reported
}

#[test]
fn several_lines_about_a_lost_gpu_are_one_claim() {
    let lost = [
        "NVRM: Xid (PCI:0000:9b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
        "NVRM: GPU 0000:9b:00.0: GPU has fallen off the bus.",
        "NVRM: Xid (PCI:0000:9b:00): 154, GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)",
    ];
    assert_eq!(reported_of(&lost[..2]), ["NvidiaXid GPUFailing True"]);
    assert_eq!(reported_of(&lost), ["NvidiaXid GPUFailing True"]);
    let another = lost[0].replace("9b", "44");
    let two = reported_of(&[lost[0], &another]);
    assert_eq!(two.len(), 2, "another GPU is another fault");
}

#[test]
fn a_gpu_that_was_reset_is_well() {
    let xid = "NVRM: Xid (PCI:0000:9b:00): 154, GPU recovery action changed from";
    let lines = [
        &*format!("{xid} 0x0 (None) to 0x1 (GPU Reset Required)"),
        &*format!("{xid} 0x1 (GPU Reset Required) to 0x0 (None)"),
    ];
    assert_eq!(
        reported_of(&lines),
        ["NvidiaXid GPUFailing True", "NvidiaXid GPUFailing False"]
    );
}

#[test]
fn storage_fails_after_several_errors_of_one_disk() {
    let line = |disk: &str, sector: usize| {
        format!(
            "I/O error, dev {disk}, sector {sector} op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2"
        )
    };
    let of_both: Vec<_> = (0..9)
        .flat_map(|n| [line("sda", n), line("sdb", n)])
        .collect();
    let mut lines: Vec<_> = of_both.iter().map(String::as_str).collect();
    assert_eq!(reported_of(&lines), ["IOError - True", "IOError - True"]);
    let last = line("sda", 10);
    lines.push(&last);
    let after_all = reported_of(&lines);
    assert_eq!(after_all.last().unwrap(), "IOError StorageFailing True");
}
