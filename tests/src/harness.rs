//! Runs tests of the built agent, and counts those that cannot run here as ignored, by name and
//! with the reason, never as passed.
//!
//! After the tests it prints which of them took long, and each failure once more in a line of its own,
//! because a log is read from its end.
//!
//! A file `tests/NAME.rs` with `harness = false` in `Cargo.toml` holds a slice of [`Test`] and a
//! `main` that hands it to [`parallel`] or [`serial`].

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::cluster;

/// Lets `setpriv` run a program as a user without rights.
pub const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/// A test.
#[derive(Clone, Copy)]
pub struct Test {
    /// What the agent does, as in `one_event_per_oom_kill`.
    pub name: &'static str,
    /// Without these it cannot run.
    pub needs: &'static [Need],
    /// Fails the test by returning an error or by panicking.
    pub run: fn() -> anyhow::Result<()>,
}

/// What a test cannot do without.
#[derive(Clone, Copy)]
pub enum Need {
    /// The built agent: see [`agent`].
    Agent,
    /// The powers of root.
    Root,
    /// A kernel that describes its types, for eBPF programs.
    Btf,
    /// That process 1 has the mounts of this process: the agent reads which file systems there are
    /// in `/proc/1`. Not so in a toolbox or a chroot with a mount namespace of its own.
    MountsOfProcess1,
    /// That a process has the same id here and in the kernel's log, which takes the first pid
    /// namespace. Not so in a container.
    FirstPidNamespace,
    /// A cgroup hierarchy that limits memory.
    MemoryCgroup,
    /// A Kubernetes cluster to read and write: see [`cluster::connect`].
    Cluster,
    /// What [`cluster::ApiServer`] is made of.
    ApiServer,
    /// What [`cluster::Node`] is made of.
    Node,
    /// What [`cluster::Helm`] is built from.
    Helm,
    /// What [`cluster::Karpenter`] is built from.
    Karpenter,
    /// Somebody who waits for minutes: `NPD_TEST_LONG` is set. Names the task that sets it.
    Long(&'static str),
    /// The network, as far as the first of Debian's package sources that apt knows.
    DebianSources,
    /// A program on the `PATH`.
    Tool(&'static str),
    /// A file or a folder.
    File(&'static str),
    /// A part of the kernel: built in, or loaded. A test loads no modules.
    Module(&'static str),
    /// That this is the guest of `cargo xtask vm`, where a test may change what everybody shares.
    Guest,
    /// That a user without rights may make user namespaces.
    UserNamespaces,
    /// Every one of these.
    All(&'static [Self]),
}

/// Runs tests that disturb neither each other nor the machine.
#[must_use]
pub fn parallel(tests: &[Test]) -> ExitCode {
    run(&Arguments::from_args(), tests)
}

/// Runs tests that share something there is one of, like the kernel, one after the other.
/// Cargo does the same with files of tests.
#[must_use]
pub fn serial(tests: &[Test]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    run(&arguments, tests)
}

/// The agent under test, which `cargo xtask test` builds and names in `NPD_AGENT`. A test that
/// uses it [needs](Need::Agent) it, so that a bare `cargo test` neither builds nor breaks anything.
pub fn agent() -> anyhow::Result<PathBuf> {
    let agent = std::env::var_os("NPD_AGENT");
    agent.map(PathBuf::from).context("NPD_AGENT is not set")
}

/// How much a test of endurance does: what the environment says under this name, else `default`.
pub fn amount(name: &str, default: u64) -> anyhow::Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_unset) => Ok(default),
    }
}

/// What the tests' end is to be followed by.
static ENDED: Mutex<Vec<Ended>> = Mutex::new(Vec::new());

/// Tests that took less are not worth a line.
const LONG: Duration = Duration::from_secs(1);

/// A test that has run.
struct Ended {
    name: &'static str,
    took: Duration,
    /// Why it failed, in one line, if it did.
    failure: Option<String>,
}

fn run(arguments: &Arguments, tests: &[Test]) -> ExitCode {
    let trial = |test: &Test| trial(arguments, *test);
    let conclusion = libtest_mimic::run(arguments, tests.iter().map(trial).collect());
    let mut ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
    ended.sort_by_key(|test| std::cmp::Reverse(test.took));
    for Ended { name, took, .. } in ended.iter().filter(|test| test.took >= LONG) {
        eprintln!("{:7.1} s {name}", took.as_secs_f64());
    }
    for Ended { name, failure, .. } in &*ended {
        if let Some(failure) = failure {
            eprintln!("FAILED {name}: {failure}");
        }
    }
    conclusion.exit_code()
}

fn trial(arguments: &Arguments, test: Test) -> Trial {
    let Test { name, needs, .. } = test;
    let unmet = needs.iter().find_map(|need| need.unmet());
    let skipped = unmet.clone();
    let trial = Trial::ignorable_test(name, move || {
        if let Some(reason) = skipped {
            return Ok(Completion::ignored_with(reason));
        }
        run_one(test)?;
        Ok(Completion::Completed)
    });
    if let Some(reason) = unmet
        && !arguments.is_filtered_out(&trial)
    {
        eprintln!("SKIPPED {name}: {reason}");
    }
    trial
}

/// Runs a test and notes how it ended. The whole error is the result's; no backtrace hides it.
fn run_one(Test { name, run, .. }: Test) -> Result<(), Failed> {
    let started = Instant::now();
    let result = std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(anyhow::anyhow!("it panicked: {}", text.unwrap_or_default()))
    });
    let ended = Ended {
        name,
        took: started.elapsed(),
        failure: result.as_ref().err().map(in_one_line),
    };
    let mut all = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
    all.push(ended);
    result.map_err(|error| Failed::from(format!("{error:#}")))
}

/// The first line of every error of the chain: below it are logs.
fn in_one_line(error: &anyhow::Error) -> String {
    let texts = error.chain().map(ToString::to_string);
    let first = |text: String| text.lines().next().unwrap_or_default().to_owned();
    texts.map(first).collect::<Vec<_>>().join(": ")
}

impl Need {
    /// Why it is not there, if it is not.
    fn unmet(self) -> Option<String> {
        let (is_met, reason) = match self {
            Self::All(needs) => return needs.iter().find_map(|need| need.unmet()),
            Self::Cluster => return cluster::connect_missing(),
            Self::ApiServer => return cluster::api_server_missing(),
            Self::Node => return cluster::node_missing(),
            Self::Helm => return cluster::helm_missing(),
            Self::Karpenter => return cluster::karpenter_missing(),
            Self::Long(task) => (
                std::env::var_os("NPD_TEST_LONG").is_some(),
                format!("it takes minutes; `cargo xtask {task}` runs it"),
            ),
            Self::Agent => (
                agent().is_ok(),
                "no agent to test; `cargo xtask test` builds it".into(),
            ),
            Self::Root => (nix::unistd::geteuid().is_root(), "not root".into()),
            Self::Btf => (
                Path::new("/sys/kernel/btf/vmlinux").exists(),
                "the kernel has no BTF".into(),
            ),
            Self::MountsOfProcess1 => (
                has_mounts_of_process_1(),
                "process 1 has other mounts (this is a mount namespace of its own)".into(),
            ),
            Self::FirstPidNamespace => (
                is_in_first_pid_namespace(),
                "the kernel's log has other process ids (this is a pid namespace of its own)"
                    .into(),
            ),
            Self::MemoryCgroup => (
                has_memory_cgroup(),
                "no cgroup hierarchy that limits memory".into(),
            ),
            Self::DebianSources => (
                has_debian_sources(),
                "apt's source of Debian packages does not answer (no network?)".into(),
            ),
            Self::Guest => (
                std::env::var_os("NPD_GUEST").is_some(),
                "this is not a guest of `cargo xtask vm`".into(),
            ),
            Self::UserNamespaces => (
                has_user_namespaces(),
                "a user without rights may not make user namespaces".into(),
            ),
            Self::Tool(tool) => (
                is_on_path(tool),
                format!("the program {tool} is not installed"),
            ),
            Self::File(path) => (Path::new(path).exists(), format!("{path} is missing")),
            Self::Module(name) => (
                Path::new("/sys/module").join(name).exists(),
                format!("the kernel has no module {name}, or it is not loaded"),
            ),
        };
        (!is_met).then_some(reason)
    }
}

/// Whether a mount of this process is one of process 1, too: no other namespace has its id.
fn has_mounts_of_process_1() -> bool {
    let mounts = |process: &str| {
        let path = format!("/proc/{process}/mountinfo");
        std::fs::read_to_string(path).unwrap_or_default()
    };
    let id = |line: &str| line.split(' ').next().map(str::to_owned);
    let ours: HashSet<_> = mounts("self").lines().filter_map(id).collect();
    mounts("1")
        .lines()
        .filter_map(id)
        .any(|id| ours.contains(&id))
}

/// Whether the inode of our pid namespace is that of the first one, which is the same under every
/// kernel (`PROC_PID_INIT_INO`, since 3.8).
fn is_in_first_pid_namespace() -> bool {
    let namespace = Path::new("/proc/self/ns/pid").metadata();
    namespace.is_ok_and(|namespace| namespace.ino() == 0xEFFF_FFFC)
}

/// Whether the memory controller is mounted (cgroup v1) or available at the root (v2).
fn has_memory_cgroup() -> bool {
    Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists()
        || std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
            .is_ok_and(|controllers| controllers.split_whitespace().any(|name| name == "memory"))
}

fn has_user_namespaces() -> bool {
    let mut command = Command::new("setpriv");
    command
        .args(NOBODY)
        .args(["unshare", "--user", "--map-root-user", "--mount", "true"]);
    let output = command.output();
    output.is_ok_and(|output| output.status.success())
}

fn has_debian_sources() -> bool {
    const FETCH: &str = r#"
        release='$(REPO_URI)dists/$(RELEASE)/InRelease'
        release=$(apt-get indextargets --format "$release" 'Origin: Debian' | head -1)
        exec timeout 30 /usr/lib/apt/apt-helper download-file "$release" "$0/InRelease""#;
    let Ok(folder) = tempfile::tempdir() else {
        return false;
    };
    let mut command = Command::new("sh");
    command.args(["-c", FETCH]).arg(folder.path());
    let output = command.output();
    output.is_ok_and(|output| output.status.success())
}

fn is_on_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}
