//! Following what lies on a disk.
//!
//! Disks hang, and network file systems more so. Therefore whatever touches a file runs on a thread
//! that may block; the runtime's never waits for a disk.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::watch::{FolderChanges, FolderWatch};
use crate::monitor::log::report::report;
use crate::monitor::{Declaration, Monitor, Task};
use crate::node::Node;
use crate::problem::{Finding, Forever};
use crate::reporter::Reporter;

/// How often a source is looked at although nothing says that it has changed.
const LOOK: Duration = Duration::from_secs(1);

/// The shortest time between two looks at a source of which all is read, so that a busy writer does
/// not wake the agent for every entry.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a disk may take to answer before the source is said to be down.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a source. May block.
pub(crate) trait Worker: Send + 'static {
    /// Makes ready to read on `node`, on from the place that an earlier agent has reached.
    fn start(&mut self, node: &Node, place: Option<&Value>);

    /// Reads what can be read at once, but not more than a bounded part of it. If all is read,
    /// `watch` is told what to watch for more.
    fn look(&mut self, watch: Option<&mut FolderWatch>) -> Look;
}

/// What a look has brought.
pub(crate) struct Look {
    pub(crate) step: io::Result<FollowStep>,
    pub(crate) findings: Vec<Finding>,
    /// Entries that made no sense.
    pub(crate) malformed: u64,
    /// The place that is reached, if that has to be said.
    pub(crate) progress: Option<Value>,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FollowStep {
    /// There may be more to read.
    More,
    /// All is read.
    End,
    /// There is nothing of that name, and nothing else to read meanwhile.
    Absent,
}

/// A monitor that follows a source with a worker.
pub(crate) struct Follower<W> {
    name: Arc<str>,
    declarations: Vec<Declaration>,
    started: bool,
    /// Away while a thread works with it.
    tools: Option<Tools<W>>,
}

struct Tools<W> {
    worker: W,
    watch: Option<FolderWatch>,
}

impl<W: Worker> Follower<W> {
    pub(super) fn of(name: String, declarations: Vec<Declaration>, worker: W) -> Self {
        Self {
            name: Arc::from(name),
            declarations,
            started: false,
            tools: Some(Tools {
                worker,
                watch: None,
            }),
        }
    }

    async fn follow(&mut self, reporter: &Reporter) -> Forever {
        let changes = self.start(reporter)?;
        loop {
            let look = self.look(reporter).await?;
            report(reporter, &self.name, None, look.findings).await?;
            let malformed = &reporter.metrics.records_malformed;
            malformed
                .with_label_values(&[&self.name])
                .inc_by(look.malformed);
            if let Some(place) = look.progress {
                reporter.progress(&self.name, place).await?;
            }
            match look
                .step
                .with_context(|| format!("reading {}", self.name))?
            {
                FollowStep::More => continue,
                FollowStep::End => reporter.source_up(&self.name, false),
                FollowStep::Absent => {
                    let reason = "there is no such file".to_owned();
                    reporter.source_down(&self.name, false, reason);
                }
            }
            sleep(PAUSE).await;
            match &changes {
                // Whether it has changed or not, it is time to look.
                Some(changes) => match timeout(LOOK, changes.wait()).await {
                    Ok(woken) => woken.context("waiting for a source to change")?,
                    Err(_elapsed) => {}
                },
                None => sleep(LOOK).await,
            }
        }
    }

    /// Makes the worker ready; returns what tells of changes, if anything does.
    fn start(&mut self, reporter: &Reporter) -> anyhow::Result<Option<FolderChanges>> {
        let tools = self
            .tools
            .as_mut()
            .context("the reader of the source is lost")?;
        if !std::mem::replace(&mut self.started, true) {
            let place: Option<Value> = reporter.saved(&self.name);
            tools.worker.start(&reporter.node, place.as_ref());
        }
        match FolderWatch::new() {
            Ok((watch, changes)) => {
                tools.watch = Some(watch);
                Ok(Some(changes))
            }
            Err(error) => {
                warn!(source = &*self.name, %error, "Source cannot be watched, and is only looked at now and then");
                Ok(None)
            }
        }
    }

    /// Lets a thread look at the source.
    async fn look(&mut self, reporter: &Reporter) -> anyhow::Result<Look> {
        let mut tools = self
            .tools
            .take()
            .context("the reader of the source is lost")?;
        let mut thread = spawn_blocking(move || {
            let look = tools.worker.look(tools.watch.as_mut());
            (tools, look)
        });
        let finished = loop {
            if let Ok(finished) = timeout(PATIENCE, &mut thread).await {
                break finished;
            }
            let reason = format!("reading it has taken more than {PATIENCE:?}");
            reporter.source_down(&self.name, false, reason);
        };
        let (tools, look) = finished.context("reading the source")?;
        self.tools = Some(tools);
        Ok(look)
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
