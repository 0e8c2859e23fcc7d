//! System stats, of this machine and of a very large one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::harness;
use npd_tests::machine::Machine;
use npd_tests::shipped;

use super::{field, mebibytes, quantiles, read};

/// How long the agent collects, once a second. Its processor time is counted in hundredths of one.
const COLLECTING: Duration = Duration::from_secs(30);

/// How often the page is asked for.
const SCRAPES: usize = 100;

/// What both shipped configs cost.
struct Figures {
    series: usize,
    /// The processor time of one collection of both.
    collection: Duration,
    resident: u64,
    anonymous: u64,
    page: u64,
    scrapes: Vec<Duration>,
}

const ROWS: [&str; 6] = [
    "series",
    "processor time of one collection",
    "resident memory",
    "…of which anonymous",
    "size of the page",
    "scrape",
];

/// A table, in Markdown.
pub(crate) fn table() -> anyhow::Result<String> {
    let here = Figures::measure(Command::new(harness::agent()?))?.cells();
    let machine = Machine::of_size(256, 500, 2000)?;
    let big = Figures::measure(machine.agent()?)?.cells();
    let heading = "| system stats | this machine | 256 processors, 500 disks, 2,000 interfaces |\n\
                   | --- | --- | --- |\n";
    let cells = ROWS.iter().zip(here).zip(big);
    let rows = cells.map(|((what, here), big)| format!("| {what} | {here} | {big} |\n"));
    Ok(heading.to_owned() + &rows.collect::<String>())
}

impl Figures {
    /// Measures an agent that `command` starts.
    fn measure(command: Command) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let flag = shipped::stats_every_second(folder.path())?;
        let agent = Agent::start_as(command, folder.path(), &[&flag])?;
        let page = agent.wait_until("every series", PATIENCE, || {
            let page = agent.metrics()?;
            Ok(page.text.contains("\ndisk_avg_queue_len{").then_some(page))
        })?;
        let process = PathBuf::from(format!("/proc/{}", agent.id()));
        let before = processor_time(&process)?;
        std::thread::sleep(COLLECTING);
        let spent = processor_time(&process)?.saturating_sub(before);
        let mut scrapes = Vec::new();
        for _ in 0..SCRAPES {
            let begun = Instant::now();
            agent.metrics_text()?;
            scrapes.push(begun.elapsed());
        }
        let status = read(&process.join("status"))?;
        Ok(Self {
            series: page.series.len(),
            collection: spent.div_f64(COLLECTING.as_secs_f64()),
            resident: field(&status, "VmRSS:")? * 1024,
            anonymous: field(&status, "RssAnon:")? * 1024,
            page: page.text.len() as u64,
            scrapes,
        })
    }

    /// In the order of [`ROWS`].
    fn cells(self) -> [String; 6] {
        [
            self.series.to_string(),
            format!("{:.2} ms", self.collection.as_secs_f64() * 1000.0),
            mebibytes(self.resident),
            mebibytes(self.anonymous),
            mebibytes(self.page),
            quantiles(self.scrapes),
        ]
    }
}

/// The time that all threads of a process have run, also those that have ended.
fn processor_time(process: &Path) -> anyhow::Result<Duration> {
    let stat = read(&process.join("stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("a process without a name")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<_, _>>().context("reading its times")?;
    Ok(Duration::from_millis(ticks * 10))
}
