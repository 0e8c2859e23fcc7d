//! The kernel log, `/dev/kmsg`.
//!
//! One read returns one whole record. Records are numbered without gaps. So after an overrun, a record
//! that is too large, or a restart, the reader continues after the last record that it has seen, and
//! knows exactly how many it has lost. Reads never block.
//!
//! It cannot see records that the kernel has overwritten before they were read.

mod device;
#[cfg(any(test, fuzzing))]
pub(in crate::monitor::log) mod fuzz;
mod plugin_kills;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

use self::device::{Kmsg, KmsgDevice};
use self::plugin_kills::PluginKills;
use super::super::node_storage::NodeStorage;
use super::super::report::report;
use super::super::rule_set::{Remembered, RuleSet};
use crate::logs::kmsg::KmsgRecord;
use crate::logs::matcher::LiteralSet;
use crate::monitor::{Declaration, Monitor, Task};
use crate::node::clock::{self, ClockReading};
use crate::node::mountinfo::WatchedMountinfo;
use crate::problem::{Finding, Forever, Witness};
use crate::reporter::Reporter;

/// Names the source in metrics and `/status`.
const NAME: &str = "kmsg";

/// The size of the read buffer. No kernel so far makes records larger than this
/// (`CONSOLE_EXT_LOG_MAX`, 8192, up to 6.2; `PRINTK_MESSAGE_MAX`, 2048, since).
const BUFFER: usize = 8192;

/// How large the buffer may grow for a kernel that does.
const LARGEST_BUFFER: usize = 1 << 20;

/// How often the mount table is read while a claim ends when a device is unmounted.
const STORAGE_CHECK: Duration = Duration::from_secs(5);

/// How often the reading position is reported when nothing was found.
const SAVE: Duration = Duration::from_secs(1);

/// Follows the kernel log for all rule sets on it.
pub(crate) struct KernelLog {
    name: Arc<str>,
    sets: Vec<RuleSet>,
    /// The literals of all their patterns.
    literals: LiteralSet,
    /// For each set: the time from which on records count, by the log's clock. Set at the first start.
    starts: Vec<Duration>,
    /// When it was first run, by the log's clock, and the time of the newest record.
    began: Duration,
    newest: Duration,
    /// Whether it has been reported that everything is read that was there then.
    checked: bool,
    /// The sequence number of the next record.
    next: Option<u64>,
    /// Whether records that an earlier agent has read must still go into the matchers' buffers.
    fills_buffers: bool,
    plugin_kills: PluginKills,
    /// The mount table, once a rule has asked for it.
    mountinfo: Option<WatchedMountinfo>,
    /// When the reading position was last reported.
    reported: Instant,
    buffer: Vec<u8>,
}

/// What is saved for the next start of the agent.
#[derive(Serialize, Deserialize)]
struct KmsgPosition {
    /// The sequence number of the next record.
    next: u64,
    rules: Remembered,
}

/// [`KernelLog::follow`] asks to open the device again.
struct Reopen;

impl KernelLog {
    pub(crate) fn new(sets: Vec<RuleSet>) -> anyhow::Result<Self> {
        let matchers = sets.iter().map(|set| &set.matcher);
        Ok(Self {
            name: Arc::from(NAME),
            literals: LiteralSet::of(matchers).context("combining the rules' patterns")?,
            sets,
            starts: Vec::new(),
            began: Duration::ZERO,
            newest: Duration::ZERO,
            checked: false,
            next: None,
            fills_buffers: false,
            plugin_kills: PluginKills::default(),
            mountinfo: None,
            reported: Instant::now(),
            buffer: vec![0; BUFFER],
        })
    }

    async fn watch(&mut self, reporter: &Reporter) -> Forever {
        self.start(clock::monotonic(), reporter.saved(NAME));
        let path = reporter.node.roots.dev.join("kmsg");
        loop {
            let mut device = Kmsg::open(&path)
                .with_context(|| format!("opening the kernel log {}", path.display()))?;
            reporter.source_up(NAME, true);
            reporter.set_kernel_log_is_read(true);
            let Reopen = self.follow(&mut device, reporter).await?;
        }
    }

    /// Decides where to begin, at the first start only: at the saved record, or else by the windows.
    fn start(&mut self, now: Duration, saved: Option<KmsgPosition>) {
        if !self.starts.is_empty() {
            return;
        }
        if let Some(KmsgPosition { rules, .. }) = &saved {
            self.sets.iter_mut().for_each(|set| set.remember(rules));
        }
        self.began = now;
        let saved = saved.map(|position| position.next);
        let windows = self.sets.iter().map(|set| match saved {
            Some(_) => set.window.resumed(),
            None => set.window,
        });
        self.starts = windows.map(|window| window.start(now)).collect();
        self.next = saved;
        self.fills_buffers = saved.is_some();
    }

    /// Reads until the device must be opened again.
    async fn follow(
        &mut self,
        device: &mut impl KmsgDevice,
        reporter: &Reporter,
    ) -> anyhow::Result<Reopen> {
        loop {
            let read = if let Some(read) = self.unread(device) {
                Some(read)
            } else {
                self.caught_up(reporter).await?;
                self.read(device).await
            };
            let Some(read) = read else {
                let over = self.over(reporter).await;
                self.report(over, reporter).await?;
                continue;
            };
            match read {
                Ok(0) => bail!("reading the kernel log: unexpected end of file"),
                Ok(length) => self.take(length, reporter).await?,
                Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                    // The record is larger than the buffer, and the kernel has moved past it. After
                    // the device is opened again, it can be read.
                    Errno::EINVAL if self.buffer.len() < LARGEST_BUFFER => {
                        self.buffer.resize(self.buffer.len() * 2, 0);
                        return Ok(Reopen);
                    }
                    // An overrun, or a record that is too large. The number of the next record shows
                    // how many are lost.
                    Errno::EPIPE | Errno::EINVAL => {}
                    _ => return Err(error).context("reading the kernel log"),
                },
            }
            // Let other tasks run during a flood of records.
            consume_budget().await;
        }
    }

    /// Reads a record that was there when this was first run. In a flood of records this must end, so the
    /// times of the records are checked as well.
    fn unread(&mut self, device: &mut impl KmsgDevice) -> Option<io::Result<usize>> {
        if self.checked || self.newest >= self.began {
            return None;
        }
        device.read_now(&mut self.buffer)
    }

    /// Reports, once, that everything that was there at the start is read.
    async fn caught_up(&mut self, reporter: &Reporter) -> anyhow::Result<()> {
        if !std::mem::replace(&mut self.checked, true) {
            for declaration in self.declarations() {
                declaration.all_checked(reporter).await?;
            }
        }
        Ok(())
    }

    async fn take(&mut self, length: usize, reporter: &Reporter) -> anyhow::Result<()> {
        let findings = self.find(length, reporter);
        let findings = self.placed(findings, reporter).await;
        self.report(findings, reporter).await
    }

    /// Changes findings about devices that are not the node's into events. If the mount table cannot be
    /// read, every device may be the node's.
    async fn placed(&mut self, findings: Vec<Finding>, reporter: &Reporter) -> Vec<Finding> {
        let concerns = |finding: &Finding| {
            let mut sets = self.sets.iter();
            sets.any(|set| set.monitor == finding.monitor && set.is_about_storage(finding))
        };
        if !findings.iter().any(concerns) {
            return findings;
        }
        let Some(storage) = self.storage(reporter).await else {
            return findings;
        };
        let now = ClockReading::now();
        let placed = findings.into_iter().map(|finding| {
            let mut sets = self.sets.iter_mut();
            match sets.find(|set| set.monitor == finding.monitor) {
                Some(set) => set.placed(finding, &storage, now),
                None => finding,
            }
        });
        placed.collect()
    }

    /// The node's devices, as the mount table has them now.
    async fn storage(&mut self, reporter: &Reporter) -> Option<NodeStorage> {
        let paths = self.sets.iter().flat_map(RuleSet::storage_paths).collect();
        let roots = &reporter.node.roots;
        let mountinfo = match &self.mountinfo {
            Some(mountinfo) => mountinfo,
            None => self.mountinfo.insert(WatchedMountinfo::open(roots).ok()?),
        };
        let storage = NodeStorage::read(mountinfo, &reporter.threads, roots, &paths);
        storage.await.ok()
    }

    /// Reports what is over, because no match has come for long enough, or a device is unmounted.
    async fn over(&mut self, reporter: &Reporter) -> Vec<Finding> {
        let mut storage = None;
        if self.sets.iter().any(RuleSet::claims_storage) {
            storage = self.storage(reporter).await;
        }
        let now = ClockReading::now();
        let over = self.sets.iter_mut().flat_map(|set| {
            let mut over = set.expired(now);
            over.extend(
                storage
                    .iter()
                    .flat_map(|storage| set.unmounted(storage, now)),
            );
            over
        });
        over.collect()
    }

    /// Reports findings, and the reading position.
    async fn report(&mut self, findings: Vec<Finding>, reporter: &Reporter) -> anyhow::Result<()> {
        let news = !findings.is_empty();
        report(reporter, &self.name, self.next, findings).await?;
        if news || self.reported.elapsed() >= SAVE {
            self.reported = Instant::now();
            if let Some(next) = self.next {
                let rules = Remembered::of(&self.sets);
                let position = serde_json::to_value(KmsgPosition { next, rules })?;
                reporter.progress(NAME, position).await?;
            }
        }
        Ok(())
    }

    /// Reads a record. `None` if a claim may end before one comes.
    async fn read(&mut self, device: &mut impl KmsgDevice) -> Option<io::Result<usize>> {
        let read = device.read(&mut self.buffer);
        let expiry = self.sets.iter().filter_map(RuleSet::expiry).min();
        let left = expiry.map(|expiry| expiry.saturating_sub(clock::monotonic()));
        let check = self
            .sets
            .iter()
            .any(RuleSet::claims_storage)
            .then_some(STORAGE_CHECK);
        let Some(left) = left.into_iter().chain(check).min() else {
            return Some(read.await);
        };
        timeout(left, read).await.ok()
    }

    /// The findings of the record in the buffer.
    fn find(&mut self, length: usize, reporter: &Reporter) -> Vec<Finding> {
        let Self {
            sets,
            literals,
            starts,
            newest,
            next,
            fills_buffers,
            plugin_kills,
            buffer,
            ..
        } = self;
        let Some(record) = KmsgRecord::parse(&buffer[..length]) else {
            let malformed = reporter
                .metrics
                .records_malformed
                .with_label_values(&[NAME]);
            malformed.inc();
            // The invalid record had a sequence number too.
            *next = next.map(|next| next.saturating_add(1));
            return Vec::new();
        };
        *newest = record.stamp;
        let written = ClockReading {
            wall: clock::wall_time(record.stamp),
            monotonic: record.stamp,
        };
        let concerned = sets
            .iter_mut()
            .zip(&*starts)
            .filter(|(set, start)| record.stamp >= **start && !set.skips(&record.text))
            .map(|(set, _)| set);
        let expected = next.unwrap_or(record.sequence);
        if record.sequence < expected {
            // The record was read before, by this agent or an earlier one.
            if *fills_buffers {
                concerned.for_each(|set| set.matcher.push_seen(written.wall, &record.text));
            }
            return Vec::new();
        }
        *fills_buffers = false;
        let lost = record.sequence - expected;
        if lost > 0 {
            let counter = reporter.metrics.records_lost.with_label_values(&[NAME]);
            counter.inc_by(lost);
        }
        *next = Some(record.sequence.saturating_add(1));
        if starts.iter().all(|start| record.stamp < *start) {
            let too_old = &reporter.metrics.logs.too_old;
            too_old.with_label_values(&[NAME]).inc();
            return Vec::new();
        }
        let witness = if record.is_from_kernel() {
            Witness::KernelText
        } else {
            Witness::Other
        };
        if record.is_from_kernel() {
            plugin_kills.read(&record.text);
        }
        let has_literal = literals.is_in_entry(&record.text);
        let mut findings: Vec<_> = concerned
            .flat_map(|set| {
                if has_literal || set.matcher.is_armed() {
                    return set.take(written, &record.text, witness);
                }
                set.matcher.push_unmatched(written.wall, &record.text);
                Vec::new()
            })
            .collect();
        plugin_kills.explain(&mut findings);
        findings
    }
}

impl Monitor for KernelLog {
    fn name(&self) -> &str {
        NAME
    }

    fn declarations(&self) -> Vec<Declaration> {
        self.sets.iter().map(RuleSet::declaration).collect()
    }

    fn run<'a>(&'a mut self, reporter: &'a Reporter) -> Task<'a> {
        Box::pin(async move {
            let result = self.watch(reporter).await;
            if let Err(error) = &result {
                reporter.source_down(NAME, true, format!("{error:#}"));
                reporter.set_kernel_log_is_read(false);
            }
            result
        })
    }
}

#[cfg(test)]
mod tests;
