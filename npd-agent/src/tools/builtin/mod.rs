//! `builtin`: common checks of a node, for images without a shell.
//!
//! A rule names one as its path, `"path": "builtin:disk"`, with its flags as `args`. The agent then
//! runs itself as any other plugin: a check that hangs on a dead disk is killed or given up like one.

mod clock;
mod conntrack;
mod disk;
mod dns;
mod pids;
mod systemd_unit;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use super::health_checker::{self, Asked};
use super::{Tool, block_on};
use crate::go::duration::GoDuration;
use crate::node::Roots;

/// The program.
pub const TOOL: Tool = Tool {
    name: "builtin",
    run,
};

/// What a rule's path begins with when it names a check.
pub const PREFIX: &str = "builtin:";

/// Checks this node. Exit codes: 0 all is well, 1 there is a problem, 2 cannot tell
#[derive(Parser, Debug)]
#[command(name = "builtin")]
struct BuiltinArgs {
    #[command(subcommand)]
    check: Check,
}

#[derive(Subcommand, Debug)]
enum Check {
    /// Whether the clock is kept right, by NTP or in another way
    Clock {
        /// How far off it may be
        #[arg(long, default_value = "16s", value_name = "DURATION")]
        max_error: GoDuration,
    },
    /// How full the table of tracked connections is
    Conntrack {
        /// The percentage over which that is a problem
        #[arg(long, default_value_t = 90, value_name = "PERCENT")]
        above: u8,
    },
    /// How full file systems are, in bytes and in inodes
    Disk {
        /// A path on the file system; may be repeated
        #[arg(long = "path", default_value = "/", value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// The percentage over which that is a problem
        #[arg(long, default_value_t = 90, value_name = "PERCENT")]
        above: u8,
    },
    /// How many of the kernel's process ids are taken
    Pids {
        /// The percentage over which that is a problem
        #[arg(long, default_value_t = 90, value_name = "PERCENT")]
        above: u8,
    },
    /// Whether a name can be looked up
    Dns {
        /// The name
        #[arg(long, default_value = "kubernetes.default", value_name = "NAME")]
        host: String,
    },
    /// Whether systemd runs a unit
    SystemdUnit {
        /// Its name; a service if it does not say what it is
        #[arg(value_name = "UNIT")]
        unit: String,
    },
    /// Whether the kubelet answers on its port, `$KUBELET_PORT` or 10248
    Kubelet,
    /// Whether the container runtime answers on its socket
    Cri {
        /// The socket
        #[arg(long, default_value = "unix:///var/run/containerd/containerd.sock")]
        socket: String,
        /// How long each answer may take
        #[arg(long, default_value = "2s", value_name = "DURATION")]
        timeout: GoDuration,
    },
}

/// What a check has found.
#[derive(Debug, PartialEq, Eq)]
struct CheckResult {
    problem: bool,
    message: String,
}

/// Whether there is a check of this name.
pub fn exists(name: &str) -> bool {
    BuiltinArgs::command().find_subcommand(name).is_some()
}

fn run(line: Vec<OsString>) -> ExitCode {
    let BuiltinArgs { check } = BuiltinArgs::parse_from(line);
    let roots = Roots::from_env(|name| std::env::var(name).ok());
    let (message, code) = match check.run(&roots) {
        Ok(CheckResult { problem, message }) => (message, u8::from(problem)),
        Err(error) => (format!("{error:#}"), 2),
    };
    // Without a reader the exit code is all there is to say.
    drop(writeln!(std::io::stdout(), "{message}"));
    ExitCode::from(code)
}

impl Check {
    fn run(self, roots: &Roots) -> anyhow::Result<CheckResult> {
        match self {
            Self::Clock { max_error } => clock::check(max_error.to_std().unwrap_or_default()),
            Self::Conntrack { above } => conntrack::check(roots, above),
            Self::Disk { paths, above } => disk::check(&paths, above),
            Self::Pids { above } => pids::check(&roots.proc, above),
            Self::Dns { host } => Ok(dns::check(&host)),
            Self::SystemdUnit { unit } => block_on(systemd_unit::check(&unit))?,
            Self::Kubelet => asked("the kubelet", Asked::Kubelet),
            Self::Cri { socket, timeout } => {
                let timeout = timeout.to_std().unwrap_or_default();
                asked("the container runtime", Asked::Cri { socket, timeout })
            }
        }
    }
}

fn asked(who: &str, whom: Asked) -> anyhow::Result<CheckResult> {
    let is_well = block_on(health_checker::ask(whom))??;
    let verb = if is_well {
        "answers"
    } else {
        "does not answer as it should"
    };
    Ok(CheckResult {
        problem: !is_well,
        message: format!("{who} {verb}"),
    })
}

/// How much of something is used, in whole percents, rounded up.
fn percent(used: u64, of: u64) -> u64 {
    let used = u128::from(used) * 100;
    let percent = used.div_ceil(u128::from(of.max(1)));
    u64::try_from(percent).unwrap_or(u64::MAX)
}
