//! The events and conditions that the tests report.

use std::sync::Arc;

use jiff::Timestamp;

use crate::problem::{Condition, ConditionStatus, Event, Severity};

pub(super) fn event(reason: &str, message: &str) -> Event {
    Event {
        severity: Severity::Warning,
        timestamp: Timestamp::from_second(1_750_000_000).unwrap(),
        reason: Arc::from(reason),
        message: message.to_owned(),
        action: None,
        object: None,
        pod: None,
        dry_run: false,
    }
}

pub(super) fn deadlock(sick: bool) -> Condition {
    let (status, reason) = if sick {
        (ConditionStatus::True, "TaskHung")
    } else {
        (ConditionStatus::False, "KernelHasNoDeadlock")
    };
    Condition {
        r#type: Arc::from("KernelDeadlock"),
        status,
        transition: Timestamp::from_second(1_750_000_000).unwrap(),
        reason: Arc::from(reason),
        message: format!("{reason} it says"),
        healthy: None,
    }
}

/// A healthy condition of this type.
pub(super) fn named(r#type: &str) -> Condition {
    Condition {
        r#type: Arc::from(r#type),
        ..deadlock(false)
    }
}
