//! Follows a log on a disk.
//!
//! A disk may hang, and a network file system even more so. So everything that touches a file runs on a
//! thread that may block. The runtime's thread never waits for a disk.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::watch::{FolderChanges, FolderWatch};
use crate::monitor::log::report::report;
use crate::monitor::{Declaration, Monitor, Task};
use crate::node::Node;
use crate::problem::{Finding, Forever};
use crate::reporter::Reporter;
use crate::threads::ThreadPool;

/// How often a source is read if inotify reports no change.
const POLL: Duration = Duration::from_secs(1);

/// The shortest pause after a source was read to its end, so that a busy writer does not wake the agent
/// for every entry.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a disk may take to answer before the source counts as down.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a source. May block.
pub(crate) trait Worker: Send + 'static {
    /// Prepares to read on `node`, from the position that an earlier agent has saved.
    fn start(&mut self, node: &Node, position: Option<&Value>);

    /// Reads what is there, up to a limit. When everything is read, tells `watch` what to watch.
    fn read(&mut self, watch: Option<&mut FolderWatch>) -> ReadBatch;
}

/// The result of one [`Worker::read`].
pub(crate) struct ReadBatch {
    pub(crate) step: io::Result<FollowStep>,
    pub(crate) findings: Vec<Finding>,
    /// The number of entries that could not be parsed.
    pub(crate) malformed: u64,
    /// The number of entries that do not count because they are too old.
    pub(crate) too_old: u64,
    /// Why the source is read, but not well.
    pub(crate) degraded: Option<String>,
    /// The new reading position, if it must be reported.
    pub(crate) progress: Option<Value>,
}

/// How far a read came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FollowStep {
    /// There may be more to read.
    More,
    /// Everything is read.
    End,
    /// The file does not exist, and there is nothing else to read.
    Absent,
}

/// A monitor that follows a source with a worker.
pub(crate) struct Follower<W> {
    name: Arc<str>,
    declarations: Vec<Declaration>,
    started: bool,
    threads: ThreadPool,
    /// `None` while a thread uses it.
    reader: Option<SourceReader<W>>,
}

struct SourceReader<W> {
    worker: W,
    watch: Option<FolderWatch>,
}

impl<W: Worker> Follower<W> {
    pub(super) fn of(name: String, declarations: Vec<Declaration>, worker: W) -> Self {
        Self {
            threads: ThreadPool::new("log-reader", 1),
            name: Arc::from(name),
            declarations,
            started: false,
            reader: Some(SourceReader {
                worker,
                watch: None,
            }),
        }
    }

    async fn follow(&mut self, reporter: &Reporter) -> Forever {
        let changes = self.start(reporter)?;
        let mut checked = false;
        let mut degraded = None;
        reporter.source_degraded(&self.name, None);
        loop {
            let batch = self.read(reporter).await?;
            report(reporter, &self.name, None, batch.findings).await?;
            let counters = &reporter.metrics;
            for (counter, count) in [
                (&counters.records_malformed, batch.malformed),
                (&counters.logs.too_old, batch.too_old),
            ] {
                counter.with_label_values(&[&self.name]).inc_by(count);
            }
            if let Some(position) = batch.progress {
                reporter.progress(&self.name, position).await?;
            }
            match batch
                .step
                .with_context(|| format!("reading {}", self.name))?
            {
                FollowStep::More => continue,
                FollowStep::End => {
                    reporter.source_up(&self.name, false);
                    if degraded != batch.degraded {
                        reporter.source_degraded(&self.name, batch.degraded.clone());
                        degraded = batch.degraded;
                    }
                    if !std::mem::replace(&mut checked, true) {
                        for declaration in &self.declarations {
                            declaration.all_checked(reporter).await?;
                        }
                    }
                }
                FollowStep::Absent => {
                    let reason = "there is no such file".to_owned();
                    reporter.source_down(&self.name, false, reason);
                }
            }
            sleep(PAUSE).await;
            match &changes {
                Some(changes) => match timeout(POLL, changes.wait()).await {
                    Ok(woken) => woken.context("waiting for a source to change")?,
                    Err(_elapsed) => {}
                },
                None => sleep(POLL).await,
            }
        }
    }

    /// Starts the worker. Returns the inotify watch, if there is one.
    fn start(&mut self, reporter: &Reporter) -> anyhow::Result<Option<FolderChanges>> {
        let reader = self
            .reader
            .as_mut()
            .context("the thread that read the source has panicked")?;
        if !std::mem::replace(&mut self.started, true) {
            let position: Option<Value> = reporter.saved(&self.name);
            reader.worker.start(&reporter.node, position.as_ref());
        }
        match FolderWatch::new() {
            Ok((watch, changes)) => {
                reader.watch = Some(watch);
                Ok(Some(changes))
            }
            Err(error) => {
                warn!(source = &*self.name, %error, "Source cannot be watched with inotify; reading it once a second instead");
                Ok(None)
            }
        }
    }

    /// Reads the source on a thread that may block.
    async fn read(&mut self, reporter: &Reporter) -> anyhow::Result<ReadBatch> {
        let threads = self.threads.ready();
        let threads = threads.context("making a thread to read the source")?;
        let mut reader = self
            .reader
            .take()
            .context("the thread that read the source has panicked")?;
        let mut thread = threads.run(move || {
            let batch = reader.worker.read(reader.watch.as_mut());
            (reader, batch)
        });
        let finished = loop {
            if let Ok(finished) = timeout(PATIENCE, &mut thread).await {
                break finished;
            }
            let reason = format!("reading it has taken more than {PATIENCE:?}");
            reporter.source_down(&self.name, false, reason);
        };
        let (reader, batch) = finished.context("reading the source")?;
        self.reader = Some(reader);
        Ok(batch)
    }
}

impl<W: Worker> Monitor for Follower<W> {
    fn name(&self) -> &str {
        &self.name
    }

    fn declarations(&self) -> Vec<Declaration> {
        self.declarations.clone()
    }

    fn run<'a>(&'a mut self, reporter: &'a Reporter) -> Task<'a> {
        Box::pin(async move {
            let result = self.follow(reporter).await;
            if let Err(error) = &result {
                reporter.source_down(&self.name, false, format!("{error:#}"));
            }
            result
        })
    }
}
