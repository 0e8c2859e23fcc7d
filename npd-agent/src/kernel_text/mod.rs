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

use crate::problem::Subject;

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
    use proptest::prelude::*;

    use super::subject;

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
