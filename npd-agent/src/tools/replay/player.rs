//! Passes entries to the rules, and prints what the agent would report.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::line::EntryTime;
use crate::exporter::Exporter;
use crate::exporter::terminal;
use crate::flags::TerminalFormat;
use crate::go::duration::GoDuration;
use crate::hub::Hub;
use crate::journal::EntryFilter;
use crate::metrics::Metrics;
use crate::monitor::ConfigFile;
use crate::monitor::log::replay::{LoggedEntry, ReplayRules, by_wall_clock};
use crate::node::clock::ClockReading;
use crate::problem::{ConditionStatus, Finding, Update};
use crate::reporter::Report;
use crate::status_page::StatusPage;

/// From when on entries count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ReplayStart {
    /// By the time since boot, in a log that has no other time.
    Boot(Duration),
    /// By the wall clock.
    Wall(Timestamp),
}

/// If the clock of the kernel's log goes back by more than this, the machine has booted again. The records
/// of two processors may differ a little.
const BOOTED: Duration = Duration::from_secs(10);

/// The agent's rules and what they have seen.
pub(super) struct Player<W> {
    files: Vec<ConfigFile>,
    metrics: Metrics,
    json: bool,
    start: Option<ReplayStart>,
    output: W,
    rules: ReplayRules,
    hub: Hub,
    updates: Receiver<Update>,
    /// The conditions that are True now.
    sick: BTreeSet<Arc<str>>,
    /// The time of the last entry, and whether it is the time since boot.
    last: ClockReading,
    is_since_boot: bool,
    pub(super) zone: TimeZone,
    /// The journal's id of the boot.
    boot: Vec<u8>,
    found: Vec<Finding>,
    /// How many entries were read, and how many reports the agent would have made.
    pub(super) entries: usize,
    pub(super) reports: usize,
}

/// Takes the updates of the hub.
struct UpdateQueue(Sender<Update>);

impl Exporter for UpdateQueue {
    fn export(&mut self, update: &Update) {
        // The player reads them after each entry.
        drop(self.0.send(update.clone()));
    }
}

impl<W: Write> Player<W> {
    pub(super) fn new(
        files: Vec<ConfigFile>,
        rules: ReplayRules,
        zone: TimeZone,
        json: bool,
        start: Option<ReplayStart>,
        output: W,
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::new().context("registering the metrics")?;
        let (hub, updates) = hub(&metrics, &rules);
        Ok(Self {
            files,
            metrics,
            json,
            start,
            output,
            rules,
            hub,
            updates,
            sick: BTreeSet::new(),
            last: by_wall_clock(Timestamp::UNIX_EPOCH),
            is_since_boot: true,
            zone,
            boot: Vec::new(),
            found: Vec::new(),
            entries: 0,
            reports: 0,
        })
    }

    /// Which entries of a journal the rules read.
    pub(super) fn filters(&self) -> Vec<EntryFilter> {
        self.rules.filters().cloned().collect()
    }

    /// Takes the next entry.
    pub(super) fn take(
        &mut self,
        time: EntryTime,
        text: &str,
        from_kernel: bool,
        accepts: impl Fn(&EntryFilter) -> bool,
    ) -> anyhow::Result<()> {
        self.entries += 1;
        let written = match time {
            EntryTime::Boot(since) => {
                if self.is_since_boot && since + BOOTED < self.last.monotonic {
                    self.reboot()?;
                }
                since_boot(since)
            }
            EntryTime::Wall(time) => by_wall_clock(time),
            EntryTime::Unknown => self.last,
        };
        if time != EntryTime::Unknown {
            self.last = written;
            self.is_since_boot = matches!(time, EntryTime::Boot(_));
        }
        if !self.counts(time)? {
            return Ok(());
        }
        let entry = LoggedEntry {
            written,
            text,
            from_kernel,
        };
        self.rules.take(&entry, accepts, &mut self.found);
        self.report()
    }

    /// Takes the next line of a text for the rules of log files.
    pub(super) fn take_line(&mut self, line: &str) -> anyhow::Result<()> {
        let start = self.start;
        let counts = |time| match start {
            Some(ReplayStart::Wall(start)) => time >= start,
            _ => true,
        };
        self.rules.take_line(line, counts, &mut self.found);
        if self.found.is_empty() {
            return Ok(());
        }
        self.is_since_boot = false;
        self.report()
    }

    /// The next entries are of the boot with this id.
    pub(super) fn of_boot(&mut self, id: &[u8]) -> anyhow::Result<()> {
        if self.boot != id {
            let is_first = self.boot.is_empty();
            self.boot = id.to_vec();
            if !is_first {
                self.reboot()?;
            }
        }
        Ok(())
    }

    /// The agent starts with the machine, and knows nothing of what was before.
    fn reboot(&mut self) -> anyhow::Result<()> {
        self.rules = ReplayRules::load(&self.files, self.zone.clone(), &mut Vec::new())?;
        (self.hub, self.updates) = hub(&self.metrics, &self.rules);
        self.sick.clear();
        Ok(())
    }

    fn counts(&self, time: EntryTime) -> anyhow::Result<bool> {
        Ok(match (self.start, time) {
            (None, _) => true,
            (Some(ReplayStart::Boot(start)), EntryTime::Boot(time)) => time >= start,
            (Some(ReplayStart::Wall(start)), EntryTime::Wall(time)) => time >= start,
            (Some(ReplayStart::Boot(start)), EntryTime::Unknown) => self.last.monotonic >= start,
            (Some(ReplayStart::Wall(start)), EntryTime::Unknown) => self.last.wall >= start,
            (Some(ReplayStart::Boot(_)), EntryTime::Wall(_)) => {
                bail!("the log has dates: give --since as a date, such as 2026-11-30T11:00:00Z")
            }
            (Some(ReplayStart::Wall(_)), EntryTime::Boot(_)) => {
                bail!("the log has the time since boot: give --since as such a time, such as 1h30m")
            }
        })
    }

    /// Prints what the agent would report.
    fn report(&mut self) -> anyhow::Result<()> {
        for finding in self
            .found
            .drain(..)
            .filter(|finding| !finding.problem.inert)
        {
            self.hub
                .take(Report::Finding(Box::new(finding)), Instant::now());
        }
        while let Ok(update) = self.updates.try_recv() {
            self.reports += 1;
            for condition in &update.conditions {
                if condition.status == ConditionStatus::True {
                    self.sick.insert(Arc::clone(&condition.r#type));
                } else {
                    self.sick.remove(&condition.r#type);
                }
            }
            let line = if self.json {
                terminal::line(TerminalFormat::Json, &update, &|time| time.to_string())
            } else {
                terminal::line(TerminalFormat::Text, &update, &|time| self.shown(time))
            };
            self.output
                .write_all(line.as_bytes())
                .context("writing to standard output")?;
        }
        Ok(())
    }

    /// A time as the log writes it: since boot, or local.
    fn shown(&self, time: Timestamp) -> String {
        if self.is_since_boot {
            let seconds = time.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64();
            return format!("[{seconds:12.6}]");
        }
        terminal::local(time, &self.zone)
    }

    /// Ends, and says which conditions are True.
    pub(super) fn finish(mut self) -> anyhow::Result<Summary> {
        self.output.flush().context("writing to standard output")?;
        Ok(Summary {
            entries: self.entries,
            reports: self.reports,
            untranslated: self.rules.untranslated,
            sick: self.sick.into_iter().collect(),
        })
    }
}

/// What was replayed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) entries: usize,
    pub(super) reports: usize,
    pub(super) untranslated: usize,
    /// The conditions that are True at the end.
    pub(super) sick: Vec<Arc<str>>,
}

/// A hub that has seen nothing.
fn hub(metrics: &Metrics, rules: &ReplayRules) -> (Hub, Receiver<Update>) {
    let (sender, updates) = channel();
    let now = Timestamp::UNIX_EPOCH;
    let status_page = StatusPage::new("replay".to_owned(), now);
    let exporters: Vec<Box<dyn Exporter>> = vec![Box::new(UpdateQueue(sender))];
    let mut hub = Hub::new(metrics.clone(), status_page, exporters);
    for declaration in rules.declarations() {
        hub.declare(&declaration, now);
        for detector in declaration.detectors {
            let monitor = Arc::clone(&declaration.monitor);
            let detector = detector.name;
            hub.take(Report::Checked { monitor, detector }, Instant::now());
        }
    }
    hub.begin(now);
    // That all is well at the beginning is no news.
    while updates.try_recv().is_ok() {}
    (hub, updates)
}

/// A time since boot, by both clocks: the wall clock of that machine is not known.
fn since_boot(since: Duration) -> ClockReading {
    let wall = jiff::SignedDuration::try_from(since).ok();
    let wall = wall.and_then(|since| Timestamp::UNIX_EPOCH.checked_add(since).ok());
    ClockReading {
        wall: wall.unwrap_or(Timestamp::MAX),
        monotonic: since,
    }
}

impl ReplayStart {
    /// Reads a date, or a time since boot.
    pub(super) fn parse(text: &str, zone: &TimeZone) -> anyhow::Result<Self> {
        if let Ok(since) = text.parse::<GoDuration>() {
            let nanoseconds = u64::try_from(since.as_nanos()).unwrap_or_default();
            return Ok(Self::Boot(Duration::from_nanos(nanoseconds)));
        }
        if let Ok(time) = text.parse() {
            return Ok(Self::Wall(time));
        }
        let local: Option<DateTime> = text.parse().ok();
        let local = local.and_then(|local| zone.to_timestamp(local).ok());
        local.map(Self::Wall).context(
            "it is neither a date, such as 2026-11-30T11:00:00Z or 2026-11-30, \
             nor a time since boot, such as 1h30m",
        )
    }
}
