//! `health-checker`: a plugin that checks the kubelet, the container runtime or kube-proxy.
//!
//! It asks the component itself, over its port or socket, and asks systemd over D-Bus. So the image needs
//! no other program and no shell. If it cannot ask a component (the socket is not mounted, the host name
//! cannot be resolved), the result is unknown and not unhealthy, and nothing is repaired.

mod flags;
mod grep;
mod logs;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context;
use nix::sys::signal::Signal;
use tokio::time::timeout;

use self::flags::{Component, HealthCheckerOptions};
use crate::checks::component::ask;
use crate::node::Roots;
use crate::program::{Tool, block_on, complain};
use crate::systemd::{self, Systemd, unit};
use crate::threads::ThreadPool;

/// The program.
pub const TOOL: Tool = Tool {
    name: "health-checker",
    help: || flags::program().help(),
    run,
};

/// Exit codes of a plugin.
const UNHEALTHY: u8 = 1;
const UNKNOWN: u8 = 2;

fn run(line: Vec<OsString>) -> ExitCode {
    let mut options = match HealthCheckerOptions::read(line) {
        Ok(options) => options,
        Err(code) => return code,
    };
    if let Err(error) = options.check() {
        return say(&format!("{error:#}"), UNKNOWN);
    }
    let component = options.component;
    match block_on(check(&options)).flatten() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            let (service, repair) = (options.service(), options.enable_repair);
            let said = format!("{component}:{service} was found unhealthy; repair flag : {repair}");
            say(&said, UNHEALTHY)
        }
        Err(error) => say(
            &format!("error checking {component} health: {error:#}"),
            UNKNOWN,
        ),
    }
}

fn say(what: &str, code: u8) -> ExitCode {
    // If nobody reads the output, the exit code is enough.
    drop(writeln!(std::io::stdout(), "{what}"));
    ExitCode::from(code)
}

/// Whether the component is healthy. Repairs it if it is not, if repairs are enabled, and if its unit
/// has been up for the cool-down time.
async fn check(options: &HealthCheckerOptions) -> anyhow::Result<bool> {
    let limit = options.health_check_timeout();
    let healthy = match timeout(limit, ask(options.asked())).await {
        Ok(answer) => answer?,
        // The component exists, but does not answer.
        Err(_) => false,
    };
    let healthy = !logs_too_much(options).await? && healthy;
    if !healthy && options.enable_repair {
        let repaired = timeout(systemd::PATIENCE, repair(options)).await;
        // As in NPD, a repair that fails does not change the result.
        if let Err(error) = repaired.unwrap_or_else(|elapsed| Err(elapsed.into())) {
            let service = options.service();
            complain(TOOL.name, format_args!("repairing {service}: {error:#}"));
        }
    }
    Ok(healthy)
}

/// Whether the component's unit has written too many lines with a log pattern since it was started.
async fn logs_too_much(options: &HealthCheckerOptions) -> anyhow::Result<bool> {
    let patterns = options.log_patterns().clone();
    if patterns.is_empty() {
        return Ok(false);
    }
    let service = options.service().to_owned();
    let longest = options.loopback_time();
    let threads = ThreadPool::new("journal", 1);
    let counted = timeout(systemd::PATIENCE, async {
        let uptime = Systemd::connect().await?.uptime(&service).await?;
        let span = longest.map_or(uptime, |longest| longest.min(uptime));
        let count = move || {
            let roots = Roots::from_env(|name| std::env::var(name).ok());
            logs::complain(&patterns, &unit(&service), span, &roots)
        };
        threads.ready()?.run(count).await?
    });
    let counted = counted.await.context("reading the journal")?;
    counted.context("reading the journal")
}

/// Ends the unit's main process. systemd starts it again if the unit is configured so.
async fn repair(options: &HealthCheckerOptions) -> anyhow::Result<()> {
    let service = options.service();
    let mut systemd = Systemd::connect().await?;
    if systemd.uptime(service).await? <= options.cooldown_time() {
        return Ok(());
    }
    if options.component == Component::Docker {
        // On SIGUSR1, dockerd writes the stacks of its goroutines to its log, for debugging.
        systemd.kill_main(service, Signal::SIGUSR1).await?;
    }
    systemd.kill_main(service, Signal::SIGTERM).await
}

#[cfg(test)]
mod tests;
