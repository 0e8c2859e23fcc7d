//! The kernel's log, `/dev/kmsg`.
//!
//! One read returns one record, whole. Records are numbered without gaps, so that whatever happens
//! to the reader (overrun by a flood, a record too large, a restart) it goes on after the last
//! record it has seen, and knows exactly how many it has missed. Reads never block.
//!
//! It cannot see what was overwritten before it came to it, and what the kernel printed before
//! `/dev/kmsg`'s oldest record.

mod device;
#[cfg(any(test, fuzzing))]
pub(in crate::monitor::log) mod fuzz;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jiff::Timestamp;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

use self::device::{Kmsg, KmsgDevice};
use super::super::report::report;
use super::super::rule_set::{Remembered, RuleSet};
use crate::logs::kmsg::KmsgRecord;
use crate::monitor::{Declaration, Monitor, Task};
use crate::node::clock;
use crate::problem::{Finding, Forever, Witness};
use crate::reporter::Reporter;

/// Names the source in metrics and `/status`.
const NAME: &str = "kmsg";

/// The size of the read buffer. No kernel so far makes records larger than this
/// (`CONSOLE_EXT_LOG_MAX`, 8192, up to 6.2; `PRINTK_MESSAGE_MAX`, 2048, since).
const BUFFER: usize = 8192;

/// How large the buffer may grow for a kernel that does.
const LARGEST_BUFFER: usize = 1 << 20;

/// How often it is said how far the log is read, when nothing was found.
const SAVE: Duration = Duration::from_secs(1);

/// Follows the kernel's log for all rule sets on it.
pub(crate) struct KernelLog {
    name: Arc<str>,
    sets: Vec<RuleSet>,
    /// From when on records count for each set, by the log's clock. Fixed when first run.
    starts: Vec<Duration>,
    /// The number of the record to come.
    next: Option<u64>,
    /// Whether the records before that are those of an earlier agent, and not yet in the rings.
    recalling: bool,
    /// When it was last said how far the log is read.
    reached: Instant,
    buffer: Vec<u8>,
}

/// Where an agent that is started again goes on.
#[derive(Serialize, Deserialize)]
struct KmsgPosition {
    /// The number of the record to come.
    next: u64,
    rules: Remembered,
}

/// Why [`KernelLog::follow`] came back.
struct Reopen;

impl KernelLog {
    pub(crate) fn new(sets: Vec<RuleSet>) -> Self {
        Self {
            name: Arc::from(NAME),
            sets,
            starts: Vec::new(),
            next: None,
            recalling: false,
            reached: Instant::now(),
            buffer: vec![0; BUFFER],
        }
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

    /// Settles where to begin, unless it is settled: at the record `saved`, or else by the windows.
    fn start(&mut self, now: Duration, saved: Option<KmsgPosition>) {
        if !self.starts.is_empty() {
            return;
        }
        if let Some(KmsgPosition { rules, .. }) = &saved {
            self.sets.iter_mut().for_each(|set| set.remember(rules));
        }
        let saved = saved.map(|place| place.next);
        let windows = self.sets.iter().map(|set| match saved {
            Some(_) => set.window.resumed(),
            None => set.window,
        });
        self.starts = windows.map(|window| window.start(now)).collect();
        self.next = saved;
        self.recalling = saved.is_some();
    }

    /// Reads until the device has to be opened anew.
    async fn follow(
        &mut self,
        device: &mut impl KmsgDevice,
        reporter: &Reporter,
    ) -> anyhow::Result<Reopen> {
        loop {
            let Some(read) = self.read(device).await else {
                let now = Timestamp::now();
                let over = self
                    .sets
                    .iter_mut()
                    .flat_map(|set| set.expired(now))
                    .collect();
                self.tell(over, reporter).await?;
                continue;
            };
            match read {
                Ok(0) => bail!("reading the kernel log: it ended"),
                Ok(length) => self.take(length, reporter).await?,
                Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                    // The record is larger than the buffer, and the kernel has moved past it.
                    // A reader that opens the log anew can have it.
                    Errno::EINVAL if self.buffer.len() < LARGEST_BUFFER => {
                        self.buffer.resize(self.buffer.len() * 2, 0);
                        return Ok(Reopen);
                    }
                    // Overrun, or a record too large for any buffer: the next record tells by its
                    // number how many are gone.
                    Errno::EPIPE | Errno::EINVAL => {}
                    _ => return Err(error).context("reading the kernel log"),
                },
            }
            // A flood must not keep the hub from running.
            consume_budget().await;
        }
    }

    async fn take(&mut self, length: usize, reporter: &Reporter) -> anyhow::Result<()> {
        let findings = self.find(length, reporter);
        self.tell(findings, reporter).await
    }

    /// Tells what was found, and how far the log is read.
    async fn tell(&mut self, findings: Vec<Finding>, reporter: &Reporter) -> anyhow::Result<()> {
        let news = !findings.is_empty();
        report(reporter, &self.name, self.next, findings).await?;
        if news || self.reached.elapsed() >= SAVE {
            self.reached = Instant::now();
            if let Some(next) = self.next {
                let rules = Remembered::of(&self.sets);
                let place = serde_json::to_value(KmsgPosition { next, rules })?;
                reporter.progress(NAME, place).await?;
            }
        }
        Ok(())
    }

    /// Reads a record, unless a condition is over before one comes.
    async fn read(&mut self, device: &mut impl KmsgDevice) -> Option<io::Result<usize>> {
        let read = device.read(&mut self.buffer);
        let Some(expiry) = self.sets.iter().filter_map(RuleSet::expiry).min() else {
            return Some(read.await);
        };
        let left = Duration::try_from(expiry.duration_since(Timestamp::now())).ok()?;
        timeout(left, read).await.ok()
    }

    /// What the record in the buffer completes.
    fn find(&mut self, length: usize, reporter: &Reporter) -> Vec<Finding> {
        let Self {
            sets,
            starts,
            next,
            recalling,
            buffer,
            ..
        } = self;
        let Some(record) = KmsgRecord::parse(&buffer[..length]) else {
            let malformed = reporter
                .metrics
                .records_malformed
                .with_label_values(&[NAME]);
            malformed.inc();
            // It had a number, too.
            *next = next.map(|next| next.saturating_add(1));
            return Vec::new();
        };
        let timestamp = clock::wall_time(record.stamp);
        let concerned = sets
            .iter_mut()
            .zip(starts)
            .filter(|(set, start)| record.stamp >= **start && !set.skips(&record.text))
            .map(|(set, _)| set);
        let expected = next.unwrap_or(record.sequence);
        if record.sequence < expected {
            // Seen before the log was opened anew.
            if *recalling {
                concerned.for_each(|set| set.matcher.recall(timestamp, &record.text));
            }
            return Vec::new();
        }
        *recalling = false;
        let lost = record.sequence - expected;
        if lost > 0 {
            let counter = reporter.metrics.records_lost.with_label_values(&[NAME]);
            counter.inc_by(lost);
        }
        *next = Some(record.sequence.saturating_add(1));
        let witness = if record.is_from_kernel() {
            Witness::KernelText
        } else {
            Witness::Other
        };
        concerned
            .flat_map(|set| set.take(timestamp, &record.text, witness))
            .collect()
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
