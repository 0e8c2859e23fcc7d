//! Checks that something synchronises the clock: NTP, PTP or the hypervisor.

use std::time::Duration;

use anyhow::Context;

use super::CheckResult;
use crate::node::clock;

pub(super) fn check(max_error: Duration) -> anyhow::Result<CheckResult> {
    let error = clock::clock_error().context("reading the state of the kernel's clock")?;
    Ok(judge(error, max_error))
}

fn judge(error: Duration, max_error: Duration) -> CheckResult {
    let problem = error >= max_error;
    let error = error.as_secs_f64();
    let message = if problem {
        format!("the clock is not synchronised: it may be off by {error:.3} s or more")
    } else {
        format!("the clock is synchronised to {error:.3} s")
    };
    CheckResult { problem, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_may_be_off_by_less_than_the_limit() {
        let limit = Duration::from_secs(16);
        let found = judge(Duration::from_millis(1500), limit);
        assert!(
            !found.problem && found.message.ends_with("to 1.500 s"),
            "{found:?}"
        );
        assert!(judge(limit, limit).problem);
    }

    #[test]
    fn the_kernel_says_how_far_off_it_may_be() {
        check(Duration::from_secs(16)).unwrap();
    }
}
