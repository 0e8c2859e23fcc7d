//! Measures the agent in `NPD_AGENT` on this machine and prints what `docs/benchmarks.md` shows.
//! `cargo xtask bench` builds the agent and runs this, `cargo xtask bench logs` or `plugins` with an
//! argument.

mod logs;
mod plugins;
mod stats;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, Line, PATIENCE};
use npd_tests::faults::cgroup::MemoryCgroup;
use npd_tests::faults::disk::{Disk, Type};
use npd_tests::harness;

/// How often each fault is caused.
const RUNS: usize = 50;

/// How long the idle agent is watched, after a while in which it settles.
const IDLE: Duration = Duration::from_mins(2);
const SETTLING: Duration = Duration::from_secs(10);

fn main() -> anyhow::Result<()> {
    let page = match std::env::args().nth(1).as_deref() {
        Some("logs") => format!("{}\n\n{}", machine()?, logs::table()?),
        Some("plugins") => format!("{}\n\n{}", machine()?, table(plugins::rows()?)),
        _ => page()?,
    };
    std::io::stdout()
        .write_all(page.as_bytes())
        .context("printing")
}

fn page() -> anyhow::Result<String> {
    let oom = oom_latencies()?;
    let ext4 = ext4_latencies()?;
    let idle = Idle::measure()?;
    let binary = fs::metadata(harness::agent()?).context("measuring the agent's file")?;
    let rows = [
        ("OOM kill to terminal line", quantiles(oom)),
        ("ext4 error to terminal line", quantiles(ext4)),
        ("resident memory, idle", mebibytes(idle.resident)),
        ("…of which anonymous", mebibytes(idle.anonymous)),
        (
            "CPU time, idle",
            format!("{:.4} s a minute", idle.cpu_seconds_a_minute),
        ),
        (
            "BPF maps",
            format!("{:.1} KiB", idle.map_bytes as f64 / 1024.0),
        ),
        ("threads", idle.threads.to_string()),
        ("binary", mebibytes(binary.len())),
    ];
    let rows = table(rows.into_iter().chain(plugins::rows()?));
    Ok(format!("{}\n\n{rows}\n{}", machine()?, stats::table()?))
}

fn table(rows: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let rows = rows.into_iter();
    let rows = rows.map(|(what, measured)| format!("| {what} | {measured} |\n"));
    let rows: String = rows.collect();
    format!("| what | measured |\n| --- | --- |\n{rows}")
}

/// From the moment when the kernel chose its victim, which the event contains, to the line.
fn oom_latencies() -> anyhow::Result<Vec<Duration>> {
    let agent = start()?;
    let cgroup = MemoryCgroup::new("npd-bench")?;
    let mut latencies = Vec::new();
    for _ in 0..RUNS {
        let pid = cgroup.kill_one()?.to_string();
        let line = agent.wait_for("a kill", PATIENCE, |line| line.is_event("OOMKilling", &pid))?;
        let chosen = event_time(&line)?;
        latencies.push(line.time.duration_since(chosen).unwrap_or_default());
    }
    Ok(latencies)
}

/// From just before the fault to the line.
fn ext4_latencies() -> anyhow::Result<Vec<Duration>> {
    let agent = start()?;
    let disk = Disk::new(Type::Ext4)?;
    let mut latencies = Vec::new();
    for run in 1..=RUNS {
        let mount = disk.mount("errors=remount-ro")?;
        let begun = SystemTime::now();
        mount.ext4_error()?;
        let mut errors = 0;
        let line = agent.wait_for("an error", PATIENCE, |line| {
            errors += usize::from(line.is_event("FilesystemError", disk.name()));
            errors == run
        })?;
        latencies.push(line.time.duration_since(begun).unwrap_or_default());
        drop(mount);
        disk.repair()?;
    }
    Ok(latencies)
}

/// Starts the agent with the built-in monitors and waits until its probes are attached.
fn start() -> anyhow::Result<Agent> {
    let agent = Agent::start(Path::new("/"), &[])?;
    agent.wait_until("probes to be attached", PATIENCE, || {
        let status = agent.page("/status")?;
        let probes = status["probes"].as_object().context("no probes")?;
        let attached = probes.values().all(|p| p["backend"] == "raw_tracepoint");
        Ok((attached && !probes.is_empty()).then_some(()))
    })?;
    Ok(agent)
}

fn event_time(line: &Line) -> anyhow::Result<SystemTime> {
    let timestamp = line.report["event"]["timestamp"].as_str();
    let timestamp = timestamp.context("an event without a time")?;
    let timestamp: jiff::Timestamp = timestamp.parse().context("reading an event's time")?;
    Ok(timestamp.into())
}

/// What the agent takes while nothing happens.
struct Idle {
    resident: u64,
    anonymous: u64,
    cpu_seconds_a_minute: f64,
    map_bytes: u64,
    threads: usize,
}

impl Idle {
    fn measure() -> anyhow::Result<Self> {
        let agent = start()?;
        let process = PathBuf::from(format!("/proc/{}", agent.id()));
        std::thread::sleep(SETTLING);
        let before = cpu_time(&process)?;
        std::thread::sleep(IDLE);
        let spent = cpu_time(&process)?.saturating_sub(before);
        let status = read(&process.join("status"))?;
        Ok(Self {
            resident: field(&status, "VmRSS:")? * 1024,
            anonymous: field(&status, "RssAnon:")? * 1024,
            cpu_seconds_a_minute: spent.as_secs_f64() / IDLE.as_secs_f64() * 60.0,
            map_bytes: map_bytes(&process)?,
            threads: entries(&process.join("task"))?.len(),
        })
    }
}

/// The time that all threads of a process have run.
fn cpu_time(process: &Path) -> anyhow::Result<Duration> {
    let mut nanoseconds = 0;
    for thread in entries(&process.join("task"))? {
        let times = read(&thread.join("schedstat"))?;
        let running = times.split(' ').next().unwrap_or_default();
        nanoseconds += running.parse::<u64>().context("reading a running time")?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// What the kernel charges for the BPF maps that a process holds.
fn map_bytes(process: &Path) -> anyhow::Result<u64> {
    let mut maps = BTreeMap::new();
    for descriptor in entries(&process.join("fdinfo"))? {
        let info = read(&descriptor)?;
        if let Ok(id) = field(&info, "map_id:") {
            maps.insert(id, field(&info, "memlock:")?);
        }
    }
    ensure!(!maps.is_empty(), "the agent holds no BPF map");
    Ok(maps.values().sum())
}

/// The number after `name` in a list of fields.
fn field(text: &str, name: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    let number = number.with_context(|| format!("{name} is missing"))?;
    number.parse().with_context(|| format!("reading {name}"))
}

fn quantiles(mut latencies: Vec<Duration>) -> String {
    latencies.sort();
    let at = |percent: usize| {
        let place = (latencies.len() * percent).div_ceil(100).saturating_sub(1);
        latencies.get(place).copied().unwrap_or_default()
    };
    let shown = [(50, "p50"), (90, "p90"), (99, "p99"), (100, "max")]
        .map(|(percent, name)| format!("{name} {:.2} ms", at(percent).as_secs_f64() * 1000.0));
    format!("{} ({} runs)", shown.join(", "), latencies.len())
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20))
}

fn machine() -> anyhow::Result<String> {
    let kernel = read(Path::new("/proc/sys/kernel/osrelease"))?;
    let cpus = std::thread::available_parallelism().context("counting CPUs")?;
    Ok(format!("Linux {}, {cpus} CPUs", kernel.trim()))
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    paths.collect()
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
