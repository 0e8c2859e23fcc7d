//! Checks that systemd runs a unit. Asks over D-Bus, so no program has to be installed.

use anyhow::Context as _;
use tokio::time::timeout;

use super::CheckResult;
use crate::systemd::{PATIENCE, Systemd, UnitState, unit};

pub(super) async fn check(name: &str) -> anyhow::Result<CheckResult> {
    let asked = async { Systemd::connect().await?.state(name).await };
    let state = timeout(PATIENCE, asked).await;
    let state = state.context("asking systemd")??;
    Ok(judge(&unit(name), &state))
}

/// As `systemctl is-active`: a unit that reloads counts as running, one that starts does not.
fn judge(unit: &str, UnitState { load, active, sub }: &UnitState) -> CheckResult {
    let problem = !matches!(&**active, "active" | "reloading" | "refreshing");
    let message = if problem && load != "loaded" {
        format!("{unit} is {active}: {load}")
    } else {
        format!("{unit} is {active} ({sub})")
    };
    CheckResult { problem, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(state: [&str; 3], problem: bool, message: &str) {
        let [load, active, sub] = state.map(str::to_owned);
        let found = judge("kubelet.service", &UnitState { load, active, sub });
        let expect = CheckResult {
            problem,
            message: message.to_owned(),
        };
        assert_eq!(found, expect);
    }

    #[test]
    fn a_unit_that_is_active_is_well() {
        check(
            ["loaded", "active", "running"],
            false,
            "kubelet.service is active (running)",
        );
        check(
            ["loaded", "reloading", "reload"],
            false,
            "kubelet.service is reloading (reload)",
        );
        check(
            ["loaded", "activating", "auto-restart"],
            true,
            "kubelet.service is activating (auto-restart)",
        );
        check(
            ["loaded", "failed", "failed"],
            true,
            "kubelet.service is failed (failed)",
        );
        check(
            ["not-found", "inactive", "dead"],
            true,
            "kubelet.service is inactive: not-found",
        );
    }
}
