//! The command line of `health-checker`.

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::logs::Patterns;
use crate::checks::component::Asked;
use crate::go::duration::GoDuration;
use crate::go::pflag::{Flag, Program, boolean, duration, string};
use crate::program::read_flags;
use crate::tools::klog;

/// The values of the flags.
#[derive(Debug, Default)]
pub(super) struct HealthCheckerOptions {
    component_name: String,
    /// What `component_name` names, once [`HealthCheckerOptions::check`] has succeeded.
    pub(super) component: Component,
    service: String,
    pub(super) enable_repair: bool,
    crictl_path: String,
    cri_socket_path: String,
    cri_timeout: GoDuration,
    cooldown_time: GoDuration,
    loopback_time: GoDuration,
    log_patterns: Patterns,
    health_check_timeout: GoDuration,
}

const FLAGS: &[Flag<HealthCheckerOptions>] = &[
    Flag::new(
        "--component",
        "COMPONENT",
        "kubelet",
        "What to check: kubelet, kube-proxy, docker or cri",
        |options, _, value| string(&mut options.component_name, value),
    ),
    Flag::new(
        "--service",
        "UNIT",
        "",
        "Its systemd unit [default: the component, or containerd for cri]",
        |options, _, value| string(&mut options.service, value),
    ),
    Flag::new(
        "--systemd-service",
        "UNIT",
        "",
        "The older name of --service",
        |options: &mut HealthCheckerOptions, _, value| string(&mut options.service, value),
    )
    .deprecated("--service"),
    Flag::boolean(
        "--enable-repair",
        "false",
        "When it is unhealthy, end its unit's main process, so that systemd starts it again",
        |options, _, value| boolean(&mut options.enable_repair, value),
    ),
    Flag::new(
        "--crictl-path",
        "FILE",
        "/usr/bin/crictl",
        "Accepted and ignored: the runtime is asked over its socket, without crictl",
        |options: &mut HealthCheckerOptions, _, value| string(&mut options.crictl_path, value),
    )
    .hidden(),
    Flag::new(
        "--cri-socket-path",
        "SOCKET",
        "unix:///var/run/containerd/containerd.sock",
        "The socket of the container runtime",
        |options, _, value| string(&mut options.cri_socket_path, value),
    ),
    Flag::new(
        "--cri-timeout",
        "DURATION",
        "2s",
        "How long each answer of the container runtime may take",
        |options, _, value| duration(&mut options.cri_timeout, value),
    ),
    Flag::new(
        "--cooldown-time",
        "DURATION",
        "2m0s",
        "Repair only a unit that has been up for longer than this",
        |options, _, value| duration(&mut options.cooldown_time, value),
    ),
    Flag::new(
        "--loopback-time",
        "DURATION",
        "0s",
        "How far back to look for log patterns; 0 since the unit's start",
        |options, _, value| duration(&mut options.loopback_time, value),
    ),
    Flag::new(
        "--log-pattern",
        "COUNT:PATTERN",
        "",
        "Unhealthy if the journal has COUNT matching lines of the unit; may be repeated",
        |options, _, value| {
            let patterns = value.split(',').map(log_pattern);
            let patterns = patterns.collect::<anyhow::Result<Vec<_>>>()?;
            options.log_patterns.extend(patterns);
            Ok(())
        },
    ),
    Flag::new(
        "--health-check-timeout",
        "DURATION",
        "10s",
        "How long the check may take",
        |options, _, value| duration(&mut options.health_check_timeout, value),
    ),
];

/// The program's command line.
pub(super) fn program() -> Program<HealthCheckerOptions> {
    Program {
        name: super::TOOL.name,
        about: "Checks a component of this node. Exit code: 0 healthy, 1 unhealthy, 2 unknown.",
        words: "",
        after: "The components, and how each is checked:
  kubelet     GET /healthz on its port, $KUBELET_PORT or 10248
  kube-proxy  GET /livez on its port, $KUBEPROXY_PORT or 10256
  docker      GET /_ping on its socket
  cri         the Version and Status of the container runtime",
        sections: vec![("Flags", [FLAGS, &klog::flags()].concat())],
    }
}

/// What can be checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Component {
    /// The kubelet.
    #[default]
    Kubelet,
    /// Docker.
    Docker,
    /// The container runtime.
    Cri,
    /// kube-proxy.
    KubeProxy,
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kubelet => "kubelet",
            Self::Docker => "docker",
            Self::Cri => "cri",
            Self::KubeProxy => "kube-proxy",
        })
    }
}

impl HealthCheckerOptions {
    /// Reads a command line, or gives the exit code if there is nothing to run.
    pub(super) fn read(line: Vec<OsString>) -> Result<Self, ExitCode> {
        read_flags(&program(), line)
    }

    /// Refuses what NPD refuses: of a repeated flag only the last value counts.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.component = match &*self.component_name {
            "kubelet" => Component::Kubelet,
            "kube-proxy" => Component::KubeProxy,
            "docker" => Component::Docker,
            "cri" => Component::Cri,
            _ => bail!(
                "--component={}: must be kubelet, kube-proxy, docker or cri",
                self.component_name
            ),
        };
        if self.component == Component::Cri {
            ensure!(
                !self.crictl_path.is_empty(),
                "--crictl-path must not be empty"
            );
            ensure!(
                !self.cri_socket_path.is_empty(),
                "--cri-socket-path must not be empty"
            );
        }
        Ok(())
    }

    /// The component's systemd unit.
    pub(super) fn service(&self) -> &str {
        match self.component {
            _ if !self.service.is_empty() => &self.service,
            Component::Kubelet => "kubelet",
            Component::Docker => "docker",
            Component::Cri => "containerd",
            Component::KubeProxy => "kube-proxy",
        }
    }

    /// Whom to ask.
    pub(super) fn asked(&self) -> Asked {
        match self.component {
            Component::Kubelet => Asked::Kubelet,
            Component::KubeProxy => Asked::KubeProxy,
            Component::Docker => Asked::Docker,
            Component::Cri => Asked::Cri {
                socket: self.cri_socket_path.clone(),
                timeout: not_negative(self.cri_timeout),
            },
        }
    }

    /// How many lines of what are unhealthy. Of a pattern that is given twice the last count holds.
    pub(super) fn log_patterns(&self) -> &Patterns {
        &self.log_patterns
    }

    /// How far back to look for them, at most.
    pub(super) fn loopback_time(&self) -> Option<Duration> {
        let time = not_negative(self.loopback_time);
        (!time.is_zero()).then_some(time)
    }

    pub(super) fn cooldown_time(&self) -> Duration {
        not_negative(self.cooldown_time)
    }

    pub(super) fn health_check_timeout(&self) -> Duration {
        not_negative(self.health_check_timeout)
    }
}

fn log_pattern(text: &str) -> anyhow::Result<(String, i64)> {
    let (count, pattern) = text.split_once(':').context("it is COUNT:PATTERN")?;
    let count: i64 = count.parse().context("the count is not a number")?;
    ensure!(count != 0, "the count is 0");
    ensure!(!pattern.is_empty(), "the pattern is empty");
    Ok((pattern.to_owned(), count))
}

/// A negative duration counts as zero.
fn not_negative(duration: GoDuration) -> Duration {
    duration.to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::go::pflag::tests::recorded::{self, outcome};

    fn value(options: &HealthCheckerOptions, flag: &str) -> Value {
        let pattern = |(pattern, count): (&String, &i64)| format!("{pattern}:{count}");
        let value = match flag {
            "--component" => options.component_name.clone(),
            "--service" | "--systemd-service" => options.service.clone(),
            "--enable-repair" => options.enable_repair.to_string(),
            "--crictl-path" => options.crictl_path.clone(),
            "--cri-socket-path" => options.cri_socket_path.clone(),
            "--cri-timeout" => options.cri_timeout.to_string(),
            "--cooldown-time" => options.cooldown_time.to_string(),
            "--loopback-time" => options.loopback_time.to_string(),
            "--health-check-timeout" => options.health_check_timeout.to_string(),
            "--log-pattern" => {
                let patterns = options.log_patterns.iter().map(pattern);
                patterns.collect::<Vec<_>>().join(" ")
            }
            _ => panic!("{flag}"),
        };
        json!(value)
    }

    #[test]
    fn every_line_is_read_as_npd_reads_it() {
        let program = program();
        recorded::check("health-checker", |line| outcome(&program, line), value);
    }
}
