//! `health-checker`: is the kubelet, the container runtime or kube-proxy well? For use as a plugin.
//!
//! It asks the component itself, over its port or socket, and systemd over D-Bus: nothing has to be
//! installed in the image, and no shell is needed. What it cannot ask (a socket that is not mounted,
//! a host name that means nothing) is unknown rather than unhealthy, and is never repaired.

mod cri;
mod dbus;
mod flags;
mod grep;
mod http;
mod logs;
mod socket;
pub(super) mod systemd;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use self::flags::{Component, HealthCheckerOptions};
use self::systemd::{Systemd, unit};
use super::{Tool, block_on};
use crate::node::Roots;

/// The program.
pub const TOOL: Tool = Tool {
    name: "health-checker",
    run,
};

/// How long systemd may take to answer, as NPD lets `systemctl`.
pub(super) const SYSTEMD_PATIENCE: Duration = Duration::from_secs(10);

/// Exit codes of a plugin.
const UNHEALTHY: u8 = 1;
const UNKNOWN: u8 = 2;

fn run(line: Vec<OsString>) -> ExitCode {
    let options = HealthCheckerOptions::parse(line);
    let checked = options.check().and_then(|()| {
        let healthy = block_on(check(&options))??;
        Ok(healthy)
    });
    let HealthCheckerOptions { component, .. } = options;
    let (said, code) = match checked {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {
            let (service, repair) = (options.service(), options.enable_repair);
            let said = format!("{component}:{service} was found unhealthy; repair flag : {repair}");
            (said, UNHEALTHY)
        }
        Err(error) => (
            format!("error checking {component} health: {error:#}"),
            UNKNOWN,
        ),
    };
    // Without a reader the exit code is all there is to say.
    drop(writeln!(std::io::stdout(), "{said}"));
    ExitCode::from(code)
}

/// Whether the component is well. Repairs it if it is not, is to be, and has had time to settle.
async fn check(options: &HealthCheckerOptions) -> anyhow::Result<bool> {
    let limit = options.health_check_timeout();
    let healthy = match timeout(limit, ask(options.asked())).await {
        Ok(answer) => answer?,
        // It is there, and does not answer.
        Err(_) => false,
    };
    let healthy = !complains(options).await? && healthy;
    if !healthy && options.enable_repair {
        let repaired = timeout(SYSTEMD_PATIENCE, repair(options)).await;
        // As in NPD, a repair that fails changes nothing about the answer.
        if let Err(error) = repaired.unwrap_or_else(|elapsed| Err(elapsed.into())) {
            eprintln!("health-checker: repairing {}: {error:#}", options.service());
        }
    }
    Ok(healthy)
}

/// Whether the component's unit complains too much in the journal, since it was started.
async fn complains(options: &HealthCheckerOptions) -> anyhow::Result<bool> {
    let patterns = options.log_patterns();
    if patterns.is_empty() {
        return Ok(false);
    }
    let service = options.service().to_owned();
    let longest = options.loopback_time();
    let looked = timeout(SYSTEMD_PATIENCE, async {
        let uptime = Systemd::connect().await?.uptime(&service).await?;
        let span = longest.map_or(uptime, |longest| longest.min(uptime));
        let look = move || {
            let roots = Roots::from_env(|name| std::env::var(name).ok());
            logs::complain(&patterns, &unit(&service), span, &roots)
        };
        spawn_blocking(look).await?
    });
    let looked = looked.await.context("looking at the journal")?;
    looked.context("looking at the journal")
}

/// Whom to ask, and how.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// The kubelet.
    Kubelet,
    /// kube-proxy.
    KubeProxy,
    /// Docker.
    Docker,
    /// The container runtime.
    Cri {
        /// Its socket.
        socket: String,
        /// How long each answer may take.
        timeout: Duration,
    },
}

/// Whether a component is well, by its own answer.
pub(super) async fn ask(whom: Asked) -> anyhow::Result<bool> {
    match whom {
        Asked::Kubelet => http::kubelet().await,
        Asked::KubeProxy => http::kube_proxy().await,
        Asked::Docker => http::docker().await,
        Asked::Cri { socket, timeout } => cri::probe(&socket, timeout).await,
    }
}

/// Ends the unit's main process; systemd starts it again if its unit says so.
async fn repair(options: &HealthCheckerOptions) -> anyhow::Result<()> {
    let service = options.service();
    let mut systemd = Systemd::connect().await?;
    if systemd.uptime(service).await? <= options.cooldown_time() {
        return Ok(());
    }
    if options.component == Component::Docker {
        // It writes the stacks of its goroutines to its log, for whoever asks why.
        systemd.kill_main(service, Signal::SIGUSR1).await?;
    }
    systemd.kill_main(service, Signal::SIGTERM).await
}

#[cfg(test)]
mod tests;
