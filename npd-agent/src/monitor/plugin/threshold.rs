//! How many equal results in a row are needed to report them.

use crate::problem::ConditionStatus;

/// `failureThreshold` and `successThreshold` of a rule. Both are 1 in NPD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thresholds {
    /// For results that are not OK.
    pub(super) failure: u32,
    /// For results that are OK.
    pub(super) success: u32,
}

/// Prevents that a single different result changes a condition.
#[derive(Debug)]
pub(super) struct Debounce {
    thresholds: Thresholds,
    /// The accepted result; `None` before there were enough equal results.
    settled: Option<ConditionStatus>,
    /// The last result, and how many times in a row it came.
    streak: Option<(ConditionStatus, u32)>,
}

impl Debounce {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            settled: None,
            streak: None,
        }
    }

    /// Whether to report a result: it equals the accepted one, or enough equal results came in a row.
    pub(super) fn admit(&mut self, result: ConditionStatus) -> bool {
        let times = match self.streak {
            Some((last, times)) if last == result => times.saturating_add(1),
            _ => 1,
        };
        self.streak = Some((result, times));
        let needed = match result {
            ConditionStatus::False => self.thresholds.success,
            ConditionStatus::True | ConditionStatus::Unknown => self.thresholds.failure,
        };
        if times >= needed {
            self.settled = Some(result);
        }
        self.settled == Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each result is a letter: `o`k, `n`ot ok, `u`nknown. In `expect`, a result that is not reported is `.`.
    #[track_caller]
    fn check(failure: u32, success: u32, results: &str, expect: &str) {
        let mut debounce = Debounce::new(Thresholds { failure, success });
        let reported = results.chars().map(|result| {
            let status = match result {
                'o' => ConditionStatus::False,
                'n' => ConditionStatus::True,
                _ => ConditionStatus::Unknown,
            };
            if debounce.admit(status) { result } else { '.' }
        });
        assert_eq!(reported.collect::<String>(), expect);
    }

    #[test]
    fn without_thresholds_every_result_counts() {
        check(1, 1, "onuonnuo", "onuonnuo");
    }

    #[test]
    fn a_failure_is_believed_after_a_few() {
        check(3, 1, "onnonnnno", "o..o..nno");
    }

    #[test]
    fn unknown_does_not_help_a_failure() {
        check(3, 1, "nnunnnuuu", ".....n..u");
    }

    #[test]
    fn recovery_is_believed_after_a_few() {
        check(1, 2, "nononoo", "n.n.n.o");
    }

    #[test]
    fn nothing_is_believed_before_enough_agree() {
        check(2, 2, "onoonn", "...o.n");
    }
}
