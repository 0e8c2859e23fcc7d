//! The command line of `health-checker`.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{ArgAction, Parser, ValueEnum};

use super::Asked;
use super::logs::Patterns;
use crate::go::boolean::parse_bool;
use crate::go::duration::GoDuration;
use crate::tools::klog::Klog;

/// Says by its exit code whether a component of this node is well: 0 yes, 1 no, 2 unknown
#[derive(Parser, Debug)]
#[command(
    name = "health-checker",
    args_override_self = true,
    disable_version_flag = true
)]
pub(super) struct HealthCheckerOptions {
    /// What to check
    #[arg(long, value_enum, default_value = "kubelet")]
    pub(super) component: Component,

    /// Its systemd unit [default: the component, or containerd for cri]
    #[arg(
        long,
        alias = "systemd-service",
        default_value = "",
        hide_default_value = true
    )]
    service: String,

    /// When it is unhealthy, end its unit's main process, so that systemd starts it again
    #[arg(long, default_value = "false")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = parse_bool, action = ArgAction::Set, value_name = "BOOL")]
    pub(super) enable_repair: bool,

    /// Accepted for NPD's sake: the runtime is asked over its socket, without crictl
    #[arg(long, default_value = "/usr/bin/crictl", hide = true)]
    crictl_path: String,

    /// Where the container runtime listens
    #[arg(long, default_value = "unix:///var/run/containerd/containerd.sock")]
    cri_socket_path: String,

    /// How long each answer of the container runtime may take
    #[arg(long, default_value = "2s", value_name = "DURATION")]
    cri_timeout: GoDuration,

    /// Repair only a unit that has been up for longer than this
    #[arg(long, default_value = "2m0s", value_name = "DURATION")]
    cooldown_time: GoDuration,

    /// How far back to look for log patterns; 0 since the unit's start
    #[arg(long, default_value = "0s", value_name = "DURATION")]
    loopback_time: GoDuration,

    /// `COUNT:PATTERN`: so many lines of the unit's in the journal are unhealthy; may be repeated
    #[arg(long, value_delimiter = ',', value_parser = log_pattern, value_name = "COUNT:PATTERN")]
    log_pattern: Vec<(String, i64)>,

    /// How long the check may take
    #[arg(long, default_value = "10s", value_name = "DURATION")]
    health_check_timeout: GoDuration,

    #[command(flatten)]
    _klog: Klog,
}

/// What can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Component {
    /// GET `/healthz` on its port, `$KUBELET_PORT` or 10248
    Kubelet,
    /// GET `/_ping` on its socket
    Docker,
    /// The Version and Status of the container runtime
    Cri,
    /// GET `/livez` on its port, `$KUBEPROXY_PORT` or 10256
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
    /// Reads a command line; prints and exits as clap does on `--help` and on errors.
    pub(super) fn parse(line: Vec<OsString>) -> Self {
        Self::parse_from(line)
    }

    /// Refuses what NPD refuses.
    pub(super) fn check(&self) -> anyhow::Result<()> {
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
    pub(super) fn log_patterns(&self) -> Patterns {
        self.log_pattern.iter().cloned().collect()
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
    let count: i64 = count.parse().context("the count is no number")?;
    ensure!(count != 0, "the count is 0");
    ensure!(!pattern.is_empty(), "the pattern is empty");
    Ok((pattern.to_owned(), count))
}

/// What ends before it begins takes no time.
fn not_negative(duration: GoDuration) -> Duration {
    duration.to_std().unwrap_or_default()
}
