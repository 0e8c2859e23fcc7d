//! The verdict for people: what is wrong comes first.

use jiff::Timestamp;

use super::verdict::{PastProblem, ScanCondition, ScanProblem, ScanState, ScanVerdict};
use crate::problem::Action;
use crate::tools::words::{age, indented};

/// The longest message in one line of the list of what is over.
const SHORT: usize = 120;

pub(super) fn shown(verdict: &ScanVerdict, now: Timestamp) -> String {
    let ScanVerdict {
        node,
        state,
        problems,
        well,
        unknown,
        unseen,
        past,
    } = verdict;
    let state = match state {
        ScanState::Well => "well",
        ScanState::Sick => "SICK",
        ScanState::Unknown => "nobody can tell; not everything could be seen",
    };
    let mut lines = vec![format!("{node}: {state}")];
    for problem in problems {
        let ScanProblem {
            condition,
            reason,
            message,
            since,
            r#where,
            action,
        } = problem;
        let what = condition.as_ref().unwrap_or(reason);
        let age = age(*since, now);
        let at = r#where
            .as_ref()
            .map_or(String::new(), |at| format!(" [{at}]"));
        lines.push(format!("  ✘ {what} for {age}{at}: {}", indented(message)));
        if let Some(advice) = action.and_then(advice) {
            lines.push(format!("      → {advice}"));
        }
    }
    if !unknown.is_empty() {
        let unknown = unknown.join(", ");
        lines.push(format!("  ? {unknown}: not known"));
    }
    lines.extend(unseen.iter().map(|unseen| format!("  ? {unseen}")));
    for ScanCondition { condition, message } in well {
        lines.push(format!("  ✔ {condition}: {}", indented(message)));
    }
    if !past.is_empty() {
        lines.push("Since boot, and over:".to_owned());
    }
    for PastProblem {
        reason,
        times,
        last,
        message,
    } in past
    {
        let age = age(*last, now);
        let first = message.lines().next().unwrap_or_default();
        let first = &first[..first.floor_char_boundary(SHORT)];
        let first = indented(first);
        lines.push(format!("  {times:>3} × {reason}, {age} ago: {first}"));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// What to do, in words.
fn advice(action: Action) -> Option<&'static str> {
    Some(match action {
        Action::None => return None,
        Action::RestartWorkload => "restart what was hit",
        Action::Drain => "drain the node",
        Action::Reboot => "drain and reboot the node",
        Action::ResetDevice => "reset the device",
        Action::Replace => "drain the node and replace the hardware",
        Action::Inspect => "look closer: docs/reasons.md says what it means",
    })
}
