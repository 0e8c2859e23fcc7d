//! Counters against `/proc`, read by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::metrics::Page;
use npd_tests::shipped;

use super::page_with;

/// Counters by series.
type Counters = BTreeMap<String, f64>;

/// What the kernel estimates, and may set back a little.
const ESTIMATES: [&str; 4] = [
    r#"state="idle""#,
    r#"state="iowait""#,
    r#"stage="idle""#,
    r#"stage="iowait""#,
];

/// Whatever the agent shows lies between what `/proc` said before it was collected and what it said
/// afterwards, twice: so the rates are right too.
pub(super) fn counters_are_those_of_proc() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let agent = Agent::start(
        folder.path(),
        &[&shipped::stats_every_second(folder.path())?],
    )?;
    page_with(&agent, "disk_avg_queue_len{")?;
    let first = Moment::of(&agent)?;
    // In /tmp, the file may be in memory.
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    work(disk.path())?;
    let second = Moment::of(&agent)?;
    let mut moved = BTreeSet::new();
    for moment in [&first, &second] {
        for (series, value) in &moment.shown.series {
            // The devices are different ones now.
            let (Some(low), Some(high)) = (moment.before.get(series), moment.after.get(series))
            else {
                continue;
            };
            let is_estimate = ESTIMATES.iter().any(|estimate| series.contains(estimate));
            let slack = if is_estimate { 1.0 } else { 0.001 };
            ensure!(
                low - slack <= *value && *value <= high + slack,
                "{series} is {value}, but {low} before and {high} after"
            );
            let earlier = first.shown.series.get(series);
            if earlier.is_some_and(|earlier| value > earlier) {
                moved.insert(series.split('{').next().unwrap_or_default());
            }
        }
    }
    for family in [
        "cpu_usage_time",
        "system_cpu_stat",
        "system_interrupts_total",
        "disk_operation_bytes_count",
        "disk_io_time",
        "net_rx_bytes",
        "net_tx_packets",
    ] {
        ensure!(moved.contains(family), "{family} did not count");
    }
    Ok(())
}

/// What the agent shows, and what `/proc` said before and afterwards.
struct Moment {
    before: Counters,
    shown: Page,
    after: Counters,
}

impl Moment {
    fn of(agent: &Agent) -> anyhow::Result<Self> {
        let before = read()?;
        let uptime = |page: &Page| {
            let mut series = page.series.iter();
            series.find_map(|(series, value)| series.starts_with("host_uptime").then_some(*value))
        };
        let start = uptime(&agent.metrics()?).context("no uptime")?;
        // Each second there is a pass; what is shown is of two of them.
        let shown = agent.wait_until("three passes", PATIENCE, || {
            let page = agent.metrics()?;
            let now = uptime(&page).context("no uptime")?;
            Ok((now >= start + 3.0).then_some(page))
        })?;
        let after = read()?;
        Ok(Self {
            before,
            shown,
            after,
        })
    }
}

/// The counters of `/proc`, as the agent should name them.
fn read() -> anyhow::Result<Counters> {
    let mut counters = BTreeMap::new();
    processors(&fs::read_to_string("/proc/stat")?, &mut counters)?;
    disks(&fs::read_to_string("/proc/diskstats")?, &mut counters)?;
    let interfaces = fs::read_to_string("/proc/1/net/dev")
        .or_else(|_| fs::read_to_string("/proc/self/net/dev"))?;
    networks(&interfaces, &mut counters)?;
    Ok(counters)
}

fn processors(stat: &str, counters: &mut Counters) -> anyhow::Result<()> {
    const STATES: [&str; 10] = [
        "user",
        "nice",
        "system",
        "idle",
        "iowait",
        "irq",
        "softirq",
        "steal",
        "guest",
        "guest_nice",
    ];
    const STAGES: [&str; 10] = [
        "user",
        "nice",
        "system",
        "idle",
        "iowait",
        "iRQ",
        "softIRQ",
        "steal",
        "guest",
        "guestNice",
    ];
    for line in stat.lines() {
        let (name, values) = line.split_once(' ').context("a line without values")?;
        let mut values = values.split_whitespace().map(str::parse::<f64>);
        let mut first = || values.next().context("a line without a value");
        match name {
            "intr" => drop(counters.insert("system_interrupts_total".to_owned(), first()??)),
            "processes" => drop(counters.insert("system_processes_total".to_owned(), first()??)),
            "cpu" => {
                for (state, ticks) in STATES.iter().zip(values) {
                    let series = format!("cpu_usage_time{{state=\"{state}\"}}");
                    counters.insert(series, ticks? / 100.0);
                }
            }
            cpu if cpu.starts_with("cpu") => {
                for (stage, ticks) in STAGES.iter().zip(values) {
                    let series = format!("system_cpu_stat{{cpu=\"{cpu}\",stage=\"{stage}\"}}");
                    counters.insert(series, ticks? / 100.0);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn disks(diskstats: &str, counters: &mut Counters) -> anyhow::Result<()> {
    for line in diskstats.lines() {
        let mut words = line.split_whitespace().skip(2);
        let device = words.next().context("a line without a device")?;
        let fields: Vec<f64> = words.map(str::parse).collect::<Result<_, _>>()?;
        for (name, read, write, unit) in [
            ("operation_count", 0, 4, 1.0),
            ("merged_operation_count", 1, 5, 1.0),
            ("operation_bytes_count", 2, 6, 512.0),
            ("operation_time", 3, 7, 1.0),
        ] {
            for (direction, field) in [("read", read), ("write", write)] {
                let labels = format!("{{device_name=\"{device}\",direction=\"{direction}\"}}");
                counters.insert(format!("disk_{name}{labels}"), fields[field] * unit);
            }
        }
        for (name, field) in [("io_time", 9), ("weighted_io", 10)] {
            let series = format!("disk_{name}{{device_name=\"{device}\"}}");
            counters.insert(series, fields[field]);
        }
    }
    Ok(())
}

fn networks(dev: &str, counters: &mut Counters) -> anyhow::Result<()> {
    const COLUMNS: [&str; 16] = [
        "rx_bytes",
        "rx_packets",
        "rx_errors",
        "rx_dropped",
        "rx_fifo",
        "rx_frame",
        "rx_compressed",
        "rx_multicast",
        "tx_bytes",
        "tx_packets",
        "tx_errors",
        "tx_dropped",
        "tx_fifo",
        "tx_collisions",
        "tx_carrier",
        "tx_compressed",
    ];
    for line in dev.lines().skip(2) {
        let (interface, values) = line.split_once(':').context("a line without a colon")?;
        for (column, value) in COLUMNS.iter().zip(values.split_whitespace()) {
            let series = format!("net_{column}{{interface_name=\"{}\"}}", interface.trim());
            counters.insert(series, value.parse()?);
        }
    }
    Ok(())
}

/// Keeps a processor, a disk and the loopback interface busy.
fn work(folder: &Path) -> anyhow::Result<()> {
    let mut file = fs::File::create(folder.join("file"))?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        file.write_all(&[0; 8192])?;
        socket.send_to(&[0; 1000], socket.local_addr()?)?;
    }
    file.sync_all()?;
    Ok(())
}
