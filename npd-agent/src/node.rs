//! The machine: its name, its boot, its clocks, and where its /proc and /sys are.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};
use rtime_clock::adjtime::{Timex, adjtimex};

/// The machine that the agent looks at.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name of its Node object.
    pub name: String,
    /// Where its kernel's file systems are mounted.
    pub roots: Roots,
    /// The kernel's random id of this boot; empty if it cannot be read.
    pub boot_id: String,
}

/// Where the host's trees are, as seen from here. In a container they may be mounted elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// `/proc`, or `$HOST_PROC`.
    pub proc: PathBuf,
    /// `/sys`, or `$HOST_SYS`.
    pub sys: PathBuf,
    /// `/dev`, or `$HOST_DEV`.
    pub dev: PathBuf,
    /// `/run`, or `$HOST_RUN`.
    pub run: PathBuf,
    /// `/var/log`, or `$HOST_VAR_LOG`: pods' names are read from its `pods` folder.
    pub log: PathBuf,
}

impl Roots {
    /// Reads the roots from the environment; the names are those that NPD's collectors honour.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Self {
        let root = |name, default: &str| {
            PathBuf::from(
                var(name)
                    .filter(|v| !v.is_empty())
                    .unwrap_or_else(|| default.to_owned()),
            )
        };
        Self {
            proc: root("HOST_PROC", "/proc"),
            sys: root("HOST_SYS", "/sys"),
            dev: root("HOST_DEV", "/dev"),
            run: root("HOST_RUN", "/run"),
            log: root("HOST_VAR_LOG", "/var/log"),
        }
    }
}

impl Node {
    /// Describes the machine. `hostname_override` is the flag; see [`name`].
    pub fn new(
        hostname_override: &str,
        var: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let roots = Roots::from_env(&var);
        let boot_id = boot_id(&roots.proc).unwrap_or_default();
        Ok(Self {
            name: name(hostname_override, var)?,
            roots,
            boot_id,
        })
    }
}

/// The name of the machine's Node object: that of the flag, else `$NODE_NAME`, else the host name,
/// as in NPD.
pub fn name(
    hostname_override: &str,
    var: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<String> {
    let chosen = Some(hostname_override.to_owned()).filter(|name| !name.is_empty());
    if let Some(name) = chosen.or_else(|| var("NODE_NAME").filter(|name| !name.is_empty())) {
        return Ok(name);
    }
    let name = nix::unistd::gethostname().context("reading the host name")?;
    name.into_string()
        .map_err(|name| anyhow::anyhow!("the host name {} is not UTF-8", name.display()))
}

fn boot_id(proc: &Path) -> Option<String> {
    let id = std::fs::read_to_string(proc.join("sys/kernel/random/boot_id")).ok()?;
    Some(id.trim().to_owned())
}

/// The time since boot without suspend: the clock of the kernel's log.
pub fn monotonic() -> Duration {
    clock(ClockId::CLOCK_MONOTONIC)
}

/// The time since boot with suspend.
pub fn uptime() -> Duration {
    clock(ClockId::CLOCK_BOOTTIME)
}

/// When the kernel's clock stood at `stamp`, by the wall clock as it is set now. Computed anew for
/// each record, because suspend and clock steps move the two apart (NPD's #479).
pub fn wall_time(stamp: Duration) -> Timestamp {
    let ago = SignedDuration::try_from(monotonic().saturating_sub(stamp));
    let now = Timestamp::now();
    ago.ok()
        .and_then(|ago| now.checked_sub(ago).ok())
        .unwrap_or(now)
}

/// The time from which on the kernel takes its clock for unsynchronised (`NTP_PHASE_LIMIT`).
pub const CLOCK_LOST: Duration = Duration::from_secs(16);

/// How far off the wall clock may be. The kernel lets this grow by 500 ppm until something sets the
/// clock again, up to [`CLOCK_LOST`]: then nothing has set it for hours.
///
/// Its flag `STA_UNSYNC` is not looked at: chronyd leaves it set when it does not write to the
/// hardware clock, and systemd does not look at it either.
///
/// # Errors
///
/// If the kernel does not tell, as under a system call filter.
pub fn clock_error() -> io::Result<Duration> {
    let mut clock = Timex::default();
    adjtimex(&mut clock)?;
    let error = u64::try_from(clock.0.maxerror).unwrap_or_default();
    Ok(Duration::from_micros(error))
}

fn clock(id: ClockId) -> Duration {
    // Both clocks exist on every Linux since 2.6.39; zero would mean "just booted".
    clock_gettime(id).map(Duration::from).unwrap_or_default()
}
