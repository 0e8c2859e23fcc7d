//! The kernel's texts about incidents that probes see too: finds the subject of a line, and writes lines
//! like the kernel's for our own messages. One file for each probe; each names the kernel's source file.
//!
//! Log rules use [`subject`] to recognise that a line and a probe's record are about one incident.

pub mod block_error;
pub mod filesystem;
pub mod hung_task;
pub mod oom;
mod wording;

pub use self::wording::Wording;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::problem::{Finding, OccurrenceId, Subject};

/// A process's number is not used again within this time, in seconds.
const SAME_NUMBER: i64 = 60;

/// Every wording that is known.
pub const WORDINGS: &[Wording] = &[
    oom::WORDING,
    hung_task::WORDING,
    filesystem::WORDING,
    block_error::WORDING,
];

/// The subject of `text`, one or more lines of the kernel log, if there is a probe for such things.
pub fn subject(text: &str) -> Option<Subject> {
    text.lines().find_map(|line| {
        let about = |wording: &Wording| Some(Subject::new(wording.probe, (wording.key)(line)?));
        WORDINGS.iter().find_map(about)
    })
}

/// Identifies the incident of a finding; `None` if more than one can happen to its subject. The kernel's text
/// and a probe's record about an incident give the same id, in every agent.
pub fn incident(finding: &Finding) -> Option<OccurrenceId> {
    let subject = finding.subject.as_ref()?;
    let mut wordings = WORDINGS.iter();
    let wording = wordings.find(|wording| wording.probe == subject.probe)?;
    wording.once.then(|| {
        let minute = finding.timestamp.as_second().div_euclid(SAME_NUMBER);
        let mut hasher = DefaultHasher::new();
        (subject, &finding.problem.reason, minute).hash(&mut hasher);
        OccurrenceId {
            source: None,
            found: hasher.finish(),
        }
    })
}

/// Whose cgroup `text` names, and the path of that cgroup.
pub fn cgroup(text: &str) -> Option<(Subject, &str)> {
    text.lines().find_map(|line| {
        let about = |wording: &Wording| {
            let (key, path) = wording.cgroup?(line)?;
            Some((Subject::new(wording.probe, key), path))
        };
        WORDINGS.iter().find_map(about)
    })
}

/// The types of the file systems that `text` can be about; `None` if it may be about any.
pub fn fs_types(text: &str) -> Option<&'static [&'static str]> {
    let mut wordings = WORDINGS.iter();
    wordings.find_map(|wording| wording.fs_types?(text))
}

/// Checks what each line of a table is about.
#[cfg(test)]
#[track_caller]
fn check(lines: &[(&str, Option<&str>)]) {
    for (line, expected) in lines {
        let about = subject(line).map(|subject| subject.to_string());
        assert_eq!(about.as_deref(), *expected, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::{incident, subject};
    use crate::problem::{ConditionStatus, Finding, Problem, Subject, Witness};

    fn finding(subject: Option<Subject>, witness: Witness, second: i64) -> Finding {
        let problem = Problem {
            reason: Arc::from("OOMKilling"),
            condition: None,
            message_is_news: false,
            metrics: true,
            inert: false,
            advice: None,
        };
        Finding {
            monitor: Arc::from(""),
            source: Arc::from(""),
            problem: Arc::new(problem),
            present: ConditionStatus::True,
            timestamp: Timestamp::from_second(second).unwrap(),
            message: String::new(),
            claimant: String::new(),
            subject,
            object: None,
            repeated: false,
            witness,
            pod: None,
            occurrence: None,
        }
    }

    #[test]
    fn a_kill_is_one_incident_for_its_text_and_its_record() {
        let text = subject("Killed process 7 (x) total-vm:4kB");
        let text = incident(&finding(text, Witness::KernelText, 121));
        let record = |key: &str, second| {
            let subject = Subject::new("oom", key);
            incident(&finding(Some(subject), Witness::Kernel, second))
        };
        assert!(text.is_some());
        assert_eq!(text, record("7", 120));
        assert_ne!(text, record("8", 120));
        assert_ne!(text, record("7", 500));
        // Many requests to one device can fail.
        let device = Subject::new("block_error", "sda");
        assert_eq!(incident(&finding(Some(device), Witness::Kernel, 120)), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(
            head in "(Killed process |task |EXT4-fs |XFS \\()?",
            rest in ".{0,40}",
        ) {
            let _subject = subject(&(head + &rest));
        }
    }
}
