//! The kernel's log, `/dev/kmsg`.
//!
//! One read returns one record, whole. Records are numbered without gaps, so that whatever happens
//! to the reader (overrun by a flood, a record too large, a restart) it goes on after the last
//! record it has seen, and knows exactly how many it has missed. Reads never block.
//!
//! It cannot see what was overwritten before it came to it, and what the kernel printed before
//! `/dev/kmsg`'s oldest record.

mod device;
mod record;

use std::time::Duration;

use anyhow::{Context, bail};
use nix::errno::Errno;
use tokio::task::coop::consume_budget;

use self::device::{Device, Kmsg};
use self::record::Record;
use super::super::report;
use super::super::rule_set::RuleSet;
use crate::monitor::{Declaration, Monitor, Task};
use crate::node;
use crate::problem::{Forever, Witness};
use crate::reporter::Reporter;

/// Names the source in metrics and `/status`.
const NAME: &str = "kmsg";

/// The size of the read buffer. No kernel so far makes records larger than this
/// (`CONSOLE_EXT_LOG_MAX`, 8192, up to 6.2; `PRINTK_MESSAGE_MAX`, 2048, since).
const BUFFER: usize = 8192;

/// How large the buffer may grow for a kernel that does.
const LARGEST_BUFFER: usize = 1 << 20;

/// Follows the kernel's log for all rule sets on it.
pub(crate) struct KernelLog {
    sets: Vec<RuleSet>,
    /// From when on records count for each set, by the log's clock. Fixed when first run.
    starts: Vec<Duration>,
    /// The number of the record to come.
    next: Option<u64>,
    buffer: Vec<u8>,
}

/// Why [`KernelLog::follow`] came back.
struct Reopen;

impl KernelLog {
    pub(crate) fn new(sets: Vec<RuleSet>) -> Self {
        Self {
            sets,
            starts: Vec::new(),
            next: None,
            buffer: vec![0; BUFFER],
        }
    }

    async fn watch(&mut self, reporter: &Reporter) -> Forever {
        self.start(node::monotonic());
        let path = reporter.node.roots.dev.join("kmsg");
        loop {
            let mut device = Kmsg::open(&path)
                .with_context(|| format!("opening the kernel log {}", path.display()))?;
            reporter.source_up(NAME, true);
            let Reopen = self.follow(&mut device, reporter).await?;
        }
    }

    fn start(&mut self, now: Duration) {
        if self.starts.is_empty() {
            self.starts = self.sets.iter().map(|set| set.window.start(now)).collect();
        }
    }

    /// Reads until the device has to be opened anew.
    async fn follow(
        &mut self,
        device: &mut impl Device,
        reporter: &Reporter,
    ) -> anyhow::Result<Reopen> {
        loop {
            match device.read(&mut self.buffer).await {
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
        let Self {
            sets,
            starts,
            next,
            buffer,
        } = self;
        let Some(record) = Record::parse(&buffer[..length]) else {
            reporter
                .metrics
                .records_malformed
                .with_label_values(&[NAME])
                .inc();
            // It had a number, too.
            *next = next.map(|next| next.saturating_add(1));
            return Ok(());
        };
        let expected = next.unwrap_or(record.sequence);
        if record.sequence < expected {
            return Ok(()); // Seen before the log was opened anew.
        }
        let lost = record.sequence - expected;
        if lost > 0 {
            reporter
                .metrics
                .records_lost
                .with_label_values(&[NAME])
                .inc_by(lost);
        }
        *next = Some(record.sequence.saturating_add(1));

        let witness = if record.is_from_kernel() {
            Witness::KernelText
        } else {
            Witness::Other
        };
        let timestamp = node::wall_time(record.stamp);
        for (set, start) in sets.iter_mut().zip(starts) {
            if record.stamp >= *start {
                report(reporter, set.take(timestamp, &record.text, witness)).await?;
            }
        }
        Ok(())
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
            }
            result
        })
    }
}

#[cfg(test)]
mod tests;
