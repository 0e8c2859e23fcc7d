//! The log and a probe see the same incident, and it is reported once. Each test is a list of findings
//! with their seconds, and the verdicts.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use jiff::Timestamp;

use super::*;
use crate::problem::{ConditionStatus, Problem};

pub(super) fn sees(
    witness: Witness,
    reason: &str,
    condition: Option<&str>,
    subject: Subject,
) -> Finding {
    Finding {
        monitor: Arc::from("monitor.json"),
        source: Arc::from("monitor"),
        problem: Arc::new(Problem {
            reason: Arc::from(reason),
            condition: condition.map(Arc::from),
            message_is_news: false,
            metrics: true,
            inert: false,
            advice: None,
        }),
        present: ConditionStatus::True,
        timestamp: Timestamp::UNIX_EPOCH,
        message: String::new(),
        claimant: String::new(),
        subject: Some(subject),
        object: None,
        repeated: false,
        witness,
        pod: None,
        occurrence: None,
    }
}

fn text(reason: &str, subject: Subject) -> Finding {
    sees(Witness::KernelText, reason, None, subject)
}

fn probe(reason: &str, subject: Subject) -> Finding {
    sees(Witness::Kernel, reason, None, subject)
}

fn sda() -> Subject {
    Subject::new("filesystem", "sda")
}

const KILL: Watched = Watched {
    probe: "oom",
    lasts: false,
};
const TASK: Watched = Watched {
    probe: "hung_task",
    lasts: true,
};
const FILESYSTEM: Watched = Watched {
    probe: "filesystem",
    lasts: true,
};

const DISK: Watched = Watched {
    probe: "block_error",
    lasts: false,
};

/// A probe starts, and answers for these conditions.
fn watch(incidents: &mut Incidents, watched: Watched, conditions: &[&str], now: Instant) {
    incidents.expect(watched, now);
    let conditions = conditions.iter().copied().map(Arc::from);
    incidents.watch(watched.probe, conditions.collect());
}

/// Watches everything, and compares the verdict on each finding, with its second.
#[track_caller]
fn check(findings: impl IntoIterator<Item = (u64, Finding)>, expect: &Expect) {
    let start = Instant::now();
    let mut incidents = Incidents::default();
    watch(&mut incidents, KILL, &[], start);
    watch(&mut incidents, TASK, &["KernelDeadlock"], start);
    watch(&mut incidents, FILESYSTEM, &["ReadonlyFilesystem"], start);
    let mut reported = String::new();
    let write = |reported: &mut String, at, what: &str, finding: &Finding| {
        let Finding {
            witness, problem, ..
        } = finding;
        writeln!(reported, "{at} {what} {witness:?} {}", problem.reason).unwrap();
    };
    for (at, finding) in findings {
        let now = start + Duration::from_secs(at);
        for late in incidents.expire(now) {
            write(&mut reported, at, "late", &late);
        }
        for verdict in incidents.admit(finding, now) {
            match verdict {
                Verdict::Report(finding) => write(&mut reported, at, "report", &finding),
                Verdict::Count(finding) => write(&mut reported, at, "count", &finding),
                Verdict::Known => writeln!(reported, "{at} known").unwrap(),
                Verdict::Held => writeln!(reported, "{at} held").unwrap(),
            }
        }
    }
    for late in incidents.expire(start + Duration::from_hours(1)) {
        write(&mut reported, 3600, "late", &late);
    }
    expect.assert_eq(&reported);
}

#[test]
fn one_kill_is_reported_once_whoever_sees_it_first() {
    check(
        [
            (0, probe("OOMKilling", Subject::new("oom", 7))),
            (1, text("OOMKilling", Subject::new("oom", 7))),
            (2, text("OOMKilling", Subject::new("oom", 8))),
            (3, probe("OOMKilling", Subject::new("oom", 8))),
        ],
        &expect![[r"
            0 report Kernel OOMKilling
            1 known
            2 held
            3 report Kernel OOMKilling
        "]],
    );
}

#[test]
fn text_reports_when_the_probe_saw_nothing() {
    check(
        [
            (0, text("OOMKilling", Subject::new("oom", 7))),
            (4, text("OOMKilling", Subject::new("oom", 8))),
        ],
        &expect![[r"
            0 held
            4 held
            3600 late KernelText OOMKilling
            3600 late KernelText OOMKilling
        "]],
    );
}

#[test]
fn a_pid_used_again_later_is_another_kill() {
    check(
        [
            (0, probe("OOMKilling", Subject::new("oom", 7))),
            (60, text("OOMKilling", Subject::new("oom", 7))),
            (70, text("OOMKilling", Subject::new("oom", 9))),
        ],
        &expect![[r"
            0 report Kernel OOMKilling
            60 held
            70 late KernelText OOMKilling
            70 held
            3600 late KernelText OOMKilling
        "]],
    );
}

#[test]
fn another_reason_for_the_same_incident_is_only_counted() {
    check(
        [
            (0, text("Ext4Error", sda())),
            (1, probe("FilesystemError", sda())),
            (300, text("Ext4Error", sda())),
        ],
        &expect![[r"
            0 held
            1 count KernelText Ext4Error
            1 report Kernel FilesystemError
            300 count KernelText Ext4Error
        "]],
    );
}

#[test]
fn a_condition_that_the_probe_answers_for_is_not_left_to_text() {
    let permanent = |condition| sees(Witness::KernelText, "Bad", Some(condition), sda());
    check(
        [
            (0, permanent("ReadonlyFilesystem")),
            (0, permanent("XfsShutdown")),
        ],
        &expect![[r"
            0 known
            0 report KernelText Bad
        "]],
    );
}

#[test]
fn without_a_probe_text_reports_at_once() {
    let mut incidents = Incidents::default();
    let now = Instant::now();
    let verdicts = incidents.admit(text("OOMKilling", Subject::new("oom", 7)), now);
    assert!(matches!(verdicts[..], [Verdict::Report(_)]));
    assert_eq!(incidents.next_expiry(), None);
}

#[test]
fn a_recovered_task_may_hang_again() {
    let now = Instant::now();
    let mut incidents = Incidents::default();
    watch(&mut incidents, TASK, &[], now);
    incidents.admit(probe("TaskHung", Subject::new("hung_task", 7)), now);
    incidents.recover(&Subject::new("hung_task", 7), now);
    let later = now + PATIENCE * 2;
    let verdicts = incidents.admit(text("TaskHung", Subject::new("hung_task", 7)), later);
    assert!(matches!(verdicts[..], [Verdict::Held]));
}

#[test]
fn memory_is_bounded_and_nothing_is_lost() {
    let now = Instant::now();
    let mut incidents = Incidents::default();
    watch(&mut incidents, KILL, &[], now);
    let kills = u32::try_from(MAX_INCIDENTS).unwrap() + 10;
    let mut reported = 0;
    for pid in 0..kills {
        let verdicts = incidents.admit(text("OOMKilling", Subject::new("oom", pid)), now);
        reported += verdicts
            .iter()
            .filter(|v| matches!(v, Verdict::Report(_)))
            .count();
        incidents.admit(probe("Other", Subject::new("oom", pid + kills)), now);
    }
    assert!(incidents.reported.len() <= MAX_INCIDENTS);
    let late = incidents.expire(now + PATIENCE).len();
    assert_eq!(reported + late, kills as usize);
}

#[test]
fn what_the_log_says_at_the_start_waits_for_the_probe() {
    let start = Instant::now();
    let later = |seconds| start + Duration::from_secs(seconds);
    let read_only = || {
        let condition = Some("ReadonlyFilesystem");
        sees(
            Witness::KernelText,
            "FilesystemIsReadOnly",
            condition,
            sda(),
        )
    };
    let mut incidents = Incidents::default();
    incidents.expect(FILESYSTEM, start);
    let verdicts = incidents.admit(read_only(), later(1));
    assert!(matches!(verdicts[..], [Verdict::Held]), "{verdicts:?}");
    // A probe that sees knows whether that is still so.
    let conditions = BTreeSet::from([Arc::from("ReadonlyFilesystem")]);
    incidents.watch(FILESYSTEM.probe, conditions);
    assert!(incidents.expire(later(6)).is_empty());
    // A probe that never reports anything is not waited for.
    let mut incidents = Incidents::default();
    incidents.expect(FILESYSTEM, start);
    incidents.admit(read_only(), later(1));
    assert_eq!(incidents.expire(later(6)).len(), 1);
    let verdicts = incidents.admit(read_only(), later(31));
    assert!(matches!(verdicts[..], [Verdict::Report(_)]), "{verdicts:?}");
}

/// The kernel runs a probe's program a moment before the agent says that the probe is attached; and a record
/// may come after its text was held for long enough.
#[test]
fn a_record_of_a_kill_that_a_text_has_reported_is_no_news() {
    let start = Instant::now();
    let later = |seconds| start + Duration::from_secs(seconds);
    let kill = |pid: u32| Subject::new("oom", pid);
    let mut incidents = Incidents::default();
    let unattached = incidents.admit(text("OOMKilling", kill(7)), start);
    assert!(
        matches!(unattached[..], [Verdict::Report(_)]),
        "{unattached:?}"
    );
    watch(&mut incidents, KILL, &[], start);
    let same = incidents.admit(probe("OOMKilling", kill(7)), later(1));
    assert!(matches!(same[..], [Verdict::Known]), "{same:?}");
    let other_reason = incidents.admit(probe("PodOOMKilling", kill(7)), later(1));
    assert!(
        matches!(other_reason[..], [Verdict::Report(_)]),
        "{other_reason:?}"
    );

    incidents.admit(text("OOMKilling", kill(8)), later(2));
    assert_eq!(incidents.expire(later(8)).len(), 1);
    let late = incidents.admit(probe("OOMKilling", kill(8)), later(9));
    assert!(matches!(late[..], [Verdict::Known]), "{late:?}");

    // The start of an agent reads texts of minutes ago. They explain no record of now.
    incidents.admit(text("OOMKilling", kill(6)), later(8));
    assert_eq!(incidents.expire(later(14)).len(), 1);
    let mut fresh = probe("OOMKilling", kill(6));
    fresh.timestamp += Duration::from_mins(1);
    let fresh = incidents.admit(fresh, later(15));
    assert!(matches!(fresh[..], [Verdict::Report(_)]), "{fresh:?}");

    // One text explains one record, and not one of much later.
    let anew = incidents.admit(probe("OOMKilling", kill(8)), later(16));
    assert!(matches!(anew[..], [Verdict::Report(_)]), "{anew:?}");
    incidents.admit(text("OOMKilling", kill(9)), later(17));
    assert_eq!(incidents.expire(later(23)).len(), 1);
    let another = incidents.admit(probe("OOMKilling", kill(9)), later(40));
    assert!(matches!(another[..], [Verdict::Report(_)]), "{another:?}");
}

/// A slow machine takes long to attach the probes.
#[test]
fn what_an_earlier_agent_reported_is_known_before_the_probe_is_attached() {
    let start = Instant::now();
    let mut incidents = Incidents::default();
    let mut before = Incidents::default();
    watch(&mut before, KILL, &[], start);
    before.admit(probe("OOMKilling", Subject::new("oom", 7)), start);
    incidents.restore(before.saved(start), start);
    let late = start + STARTING;
    let same = incidents.admit(text("OOMKilling", Subject::new("oom", 7)), late);
    assert!(matches!(same[..], [Verdict::Known]), "{same:?}");
}

#[test]
fn what_an_earlier_agent_reported_is_known() {
    let now = Instant::now();
    let mut incidents = Incidents::default();
    watch(&mut incidents, FILESYSTEM, &[], now);
    incidents.resume(sda(), Arc::from("FilesystemError"));
    let later = now + Duration::from_hours(1);
    let same = incidents.admit(text("FilesystemError", sda()), later);
    assert!(matches!(same[..], [Verdict::Known]), "{same:?}");
    let other = incidents.admit(text("Ext4Error", sda()), later);
    assert!(matches!(other[..], [Verdict::Count(_)]), "{other:?}");
    incidents.recover(&sda(), later);
    let anew = incidents.admit(text("FilesystemError", sda()), later + PATIENCE);
    assert!(matches!(anew[..], [Verdict::Held]), "{anew:?}");
}

#[test]
fn what_the_probe_knows_to_be_harmless_is_not_reported() {
    let start = Instant::now();
    let later = |seconds| start + Duration::from_secs(seconds);
    let disk = || Subject::new(DISK.probe, "sdc");
    let mut incidents = Incidents::default();
    watch(&mut incidents, DISK, &[], start);
    let early = incidents.admit(text("IOError", disk()), start);
    assert!(matches!(early[..], [Verdict::Held]), "{early:?}");
    incidents.excuse(disk(), later(1));
    assert!(incidents.expire(later(10)).is_empty());
    let known = incidents.admit(text("SCSIError", disk()), later(11));
    assert!(matches!(known[..], [Verdict::Known]), "{known:?}");
    // The probe reports a fault of the same disk, if there is one.
    let fault = incidents.admit(probe("IOError", disk()), later(12));
    assert!(matches!(fault[..], [Verdict::Report(_)]), "{fault:?}");
    let other = incidents.admit(text("IOError", Subject::new(DISK.probe, "sdd")), later(13));
    assert!(matches!(other[..], [Verdict::Held]), "{other:?}");
    let anew = incidents.admit(text("IOError", disk()), later(100));
    assert!(matches!(anew[..], [Verdict::Held]), "{anew:?}");
}

/// The log is read again from before a kill that the agent before has reported.
#[test]
fn a_restarted_agent_knows_the_kills_of_before() {
    let start = Instant::now();
    let mut before = Incidents::default();
    watch(&mut before, KILL, &[], start);
    let kill = |pid: u32| Subject::new("oom", pid);
    for pid in 0..1000 {
        let now = start + Duration::from_millis(u64::from(pid));
        before.admit(probe("OOMKilling", kill(pid)), now);
    }
    let stop = start + Duration::from_secs(1);
    let saved = serde_json::to_string(&before.saved(stop)).unwrap();

    let mut after = Incidents::default();
    let start = stop + Duration::from_secs(2);
    watch(&mut after, KILL, &[], start);
    after.restore(serde_json::from_str(&saved).unwrap(), start);
    let mut verdict = |reason, pid, seconds| {
        let now = start + Duration::from_secs(seconds);
        after.admit(text(reason, kill(pid)), now).remove(0)
    };
    assert!(matches!(verdict("OOMKilling", 999, 1), Verdict::Known));
    assert!(matches!(verdict("OOMKilling", 800, 1), Verdict::Known));
    // One of while nobody watched.
    assert!(matches!(verdict("OOMKilling", 1000, 1), Verdict::Held));
    // It is another process by now.
    assert!(matches!(verdict("OOMKilling", 999, 100), Verdict::Held));
}
