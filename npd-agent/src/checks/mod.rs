//! Common checks of a node, for images without a shell.
//!
//! A rule names one as its path, `"path": "builtin:disk"`, with its flags as `args`. The agent then
//! runs itself as any other plugin, with [`PROGRAM`] as the first word: so a check that hangs on a
//! dead disk is killed or given up like any plugin.

mod clock;
pub mod component;
mod conntrack;
mod disk;
mod dns;
mod pids;
mod systemd_unit;

use std::path::PathBuf;

use anyhow::{Context, bail};

use self::component::{Asked, ask};
use crate::go::duration::GoDuration;
use crate::go::number::parse_int;
use crate::go::pflag::{Flag, Program, duration, string};
use crate::node::Roots;
use crate::program::block_on;

/// The name of the program that runs one.
pub const PROGRAM: &str = "builtin";

/// What a rule's path begins with when it names a check.
pub const PREFIX: &str = "builtin:";

/// A check of the node.
pub struct Check {
    /// Its name, without [`PREFIX`].
    pub name: &'static str,
    /// What it checks, in one line.
    pub about: &'static str,
    /// Its arguments besides flags, for the help.
    pub words: &'static str,
    flags: &'static [Flag<CheckOptions>],
    /// Runs the check. An error means that the result is unknown.
    pub run: fn(&CheckOptions, &Roots) -> anyhow::Result<CheckResult>,
}

/// The values of the flags of all checks.
#[derive(Debug, Default)]
pub struct CheckOptions {
    max_error: GoDuration,
    above: u8,
    paths: Vec<PathBuf>,
    host: String,
    socket: String,
    timeout: GoDuration,
    /// The words that are no flags.
    pub words: Vec<String>,
}

const ABOVE: Flag<CheckOptions> = Flag::new(
    "--above",
    "PERCENT",
    "90",
    "More than this percentage is a problem",
    |options, _, value| {
        options.above = u8::try_from(parse_int(value)?).context("it must be a percentage")?;
        Ok(())
    },
);

/// Every check.
pub const CHECKS: &[Check] = &[
    Check {
        name: "clock",
        about: "Whether something sets the clock, such as NTP",
        words: "",
        flags: &[Flag::new(
            "--max-error",
            "DURATION",
            "16s",
            "How wrong the clock may be",
            |options, _, value| duration(&mut options.max_error, value),
        )],
        run: |options, _| clock::check(options.max_error.to_std().unwrap_or_default()),
    },
    Check {
        name: "conntrack",
        about: "How full the table of tracked connections is",
        words: "",
        flags: &[ABOVE],
        run: |options, roots| conntrack::check(roots, options.above),
    },
    Check {
        name: "disk",
        about: "How full file systems are, in bytes and in inodes",
        words: "",
        flags: &[
            Flag::new(
                "--path",
                "PATH",
                "",
                "A path on the file system; may be repeated [default: /]",
                |options, _, value| {
                    options.paths.push(PathBuf::from(value));
                    Ok(())
                },
            ),
            ABOVE,
        ],
        run: |options, _| {
            let root = [PathBuf::from("/")];
            let paths = Some(&*options.paths).filter(|paths| !paths.is_empty());
            disk::check(paths.unwrap_or(&root), options.above)
        },
    },
    Check {
        name: "pids",
        about: "How many of the kernel's process ids are taken",
        words: "",
        flags: &[ABOVE],
        run: |options, roots| pids::check(&roots.proc, options.above),
    },
    Check {
        name: "dns",
        about: "Whether a name can be looked up",
        words: "",
        flags: &[Flag::new(
            "--host",
            "NAME",
            "kubernetes.default",
            "The name",
            |options, _, value| string(&mut options.host, value),
        )],
        run: |options, _| Ok(dns::check(&options.host)),
    },
    Check {
        name: "systemd-unit",
        about: "Whether systemd runs a unit",
        words: " UNIT",
        flags: &[],
        run: |options, _| {
            let [unit] = &*options.words else {
                bail!("give the name of one unit");
            };
            block_on(systemd_unit::check(unit))?
        },
    },
    Check {
        name: "kubelet",
        about: "Whether the kubelet answers on its port, $KUBELET_PORT or 10248",
        words: "",
        flags: &[],
        run: |_, _| asked("the kubelet", Asked::Kubelet),
    },
    Check {
        name: "cri",
        about: "Whether the container runtime answers on its socket",
        words: "",
        flags: &[
            Flag::new(
                "--socket",
                "SOCKET",
                "unix:///var/run/containerd/containerd.sock",
                "The socket",
                |options, _, value| string(&mut options.socket, value),
            ),
            Flag::new(
                "--timeout",
                "DURATION",
                "2s",
                "How long each answer may take",
                |options, _, value| duration(&mut options.timeout, value),
            ),
        ],
        run: |options, _| {
            let socket = options.socket.clone();
            let timeout = options.timeout.to_std().unwrap_or_default();
            asked("the container runtime", Asked::Cri { socket, timeout })
        },
    },
];

/// What a check has found.
#[derive(Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// Whether there is a problem.
    pub problem: bool,
    /// What the check saw, in one sentence.
    pub message: String,
}

/// Whether there is a check of this name.
pub fn exists(name: &str) -> bool {
    CHECKS.iter().any(|check| check.name == name)
}

impl Check {
    /// Its command line.
    pub fn program(&self) -> Program<CheckOptions> {
        Program {
            name: self.name,
            about: self.about,
            words: self.words,
            after: "",
            sections: vec![("Flags", self.flags.to_vec())],
        }
    }
}

fn asked(who: &str, whom: Asked) -> anyhow::Result<CheckResult> {
    let is_well = block_on(ask(whom))??;
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
