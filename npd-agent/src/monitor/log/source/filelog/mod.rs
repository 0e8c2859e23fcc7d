//! A log file.
//!
//! One reader feeds every rule set on the file. It follows the file through rotation and truncation
//! ([`tail`]), and looks closely only at lines that can matter ([`rules`]).
//!
//! Disks hang, and files of network file systems more so. Therefore whatever touches the file runs
//! on a thread that may block ([`worker`]); the runtime's never waits for a disk.

mod lookback;
mod mark;
mod rotation;
mod rules;
mod tail;
mod translate;
mod watch;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::warn;

use self::tail::Step;
pub(crate) use self::translate::Translator;
use self::watch::{Changes, Watch};
use self::worker::{Look, Worker};
use crate::monitor::log::report;
use crate::monitor::log::rule_set::RuleSet;
use crate::monitor::{Declaration, Monitor, Task};
use crate::problem::Forever;
use crate::reporter::Reporter;

/// How often the file is looked at although nothing says that it has changed.
const LOOK: Duration = Duration::from_secs(1);

/// The shortest time between two looks at a file of which all is read, so that a busy writer does
/// not wake the agent for every line.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a disk may take to answer before the source is said to be down.
const PATIENCE: Duration = Duration::from_secs(30);

/// Follows a log file for all rule sets on it.
pub(crate) struct LogFile {
    name: String,
    declarations: Vec<Declaration>,
    started: bool,
    /// Away while a thread works with it.
    worker: Option<Worker>,
}

impl LogFile {
    pub(crate) fn new(path: PathBuf, sets: Vec<(RuleSet, Translator)>) -> Self {
        Self {
            name: format!("filelog:{}", path.display()),
            declarations: sets.iter().map(|(set, _)| set.declaration()).collect(),
            started: false,
            worker: Some(Worker::new(path, sets)),
        }
    }

    async fn follow(&mut self, reporter: &Reporter) -> Forever {
        let changes = self.start(reporter)?;
        loop {
            let look = self.look(reporter).await?;
            report(reporter, look.findings).await?;
            let malformed = &reporter.metrics.records_malformed;
            malformed
                .with_label_values(&[&self.name])
                .inc_by(look.malformed);
            if let Some(places) = look.reached {
                reporter.reached(&self.name, places).await?;
            }
            match look
                .step
                .with_context(|| format!("reading {}", self.name))?
            {
                Step::More => continue,
                Step::End => reporter.source_up(&self.name, false),
                Step::Absent => {
                    let reason = "there is no such file".to_owned();
                    reporter.source_down(&self.name, false, reason);
                }
            }
            sleep(PAUSE).await;
            match &changes {
                // Whether it has changed or not, it is time to look.
                Some(changes) => match timeout(LOOK, changes.wait()).await {
                    Ok(woken) => woken.context("waiting for the log file to change")?,
                    Err(_elapsed) => {}
                },
                None => sleep(LOOK).await,
            }
        }
    }

    /// Makes the worker ready; returns what tells of changes, if anything does.
    fn start(&mut self, reporter: &Reporter) -> anyhow::Result<Option<Changes>> {
        let worker = self
            .worker
            .as_mut()
            .context("the reader of the file is lost")?;
        if !std::mem::replace(&mut self.started, true)
            && let Some(place) = reporter.saved(&self.name)
        {
            worker.resume(place);
        }
        match Watch::new() {
            Ok((watch, changes)) => {
                worker.watch = Some(watch);
                Ok(Some(changes))
            }
            Err(error) => {
                warn!(source = self.name, %error, "Log file cannot be watched, and is only looked at now and then");
                Ok(None)
            }
        }
    }

    /// Lets a thread look at the file.
    async fn look(&mut self, reporter: &Reporter) -> anyhow::Result<Look> {
        let mut worker = self
            .worker
            .take()
            .context("the reader of the file is lost")?;
        let mut thread = spawn_blocking(move || {
            let look = worker.look();
            (worker, look)
        });
        let finished = loop {
            if let Ok(finished) = timeout(PATIENCE, &mut thread).await {
                break finished;
            }
            let reason = format!("reading it has taken more than {PATIENCE:?}");
            reporter.source_down(&self.name, false, reason);
        };
        let (worker, look) = finished.context("reading the log file")?;
        self.worker = Some(worker);
        Ok(look)
    }
}

impl Monitor for LogFile {
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

#[cfg(test)]
mod tests;
