//! One section's collector at work, where it cannot hold up the others.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use super::Section;
use super::metric::{Collect, Pass, Wanted};
use super::store::Store;
use crate::node::Roots;

/// How long a collector that may block is waited for; it goes on without us.
const PATIENCE: Duration = Duration::from_secs(5);

/// A section's collector, and what became of its last pass.
pub(super) struct Lane {
    pub(super) section: &'static Section,
    wanted: Wanted,
    state: State,
    last_error: Option<String>,
}

enum State {
    /// Ready for the next pass.
    Idle(Box<dyn Collect>),
    /// On a thread of its own.
    Running(JoinHandle<Ended>),
    /// A pass panicked, and took the collector with it.
    Gone,
}

/// A collector that comes back, what it saw, and why it did not see all.
type Ended = (Box<dyn Collect>, Pass, anyhow::Result<()>);

impl Lane {
    /// A lane with an idle collector.
    pub(super) fn new(
        section: &'static Section,
        wanted: Wanted,
        collector: Box<dyn Collect>,
    ) -> Self {
        Self {
            section,
            wanted,
            state: State::Idle(collector),
            last_error: None,
        }
    }

    /// Starts a pass on a thread of its own, unless the last one still hangs.
    pub(super) fn start(&mut self, roots: &Roots) {
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Idle(collector) => {
                let (wanted, roots) = (self.wanted.clone(), roots.clone());
                let pass = move || run(collector, &roots, Pass::new(&wanted));
                State::Running(tokio::task::spawn_blocking(pass))
            }
            other => other,
        };
    }

    /// Makes a pass, or takes the one that was started; `None` while it hangs.
    pub(super) async fn collect(&mut self, roots: &Roots) -> Option<Pass> {
        let ended = match std::mem::replace(&mut self.state, State::Gone) {
            State::Idle(collector) => run(collector, roots, Pass::new(&self.wanted)),
            State::Running(mut task) => match timeout(PATIENCE, &mut task).await {
                Ok(Ok(ended)) => ended,
                Ok(Err(panic)) => {
                    self.complain(format!("the collector panicked: {panic}"));
                    return None;
                }
                Err(_) => {
                    self.state = State::Running(task);
                    self.complain("a file system does not answer".to_owned());
                    return None;
                }
            },
            State::Gone => return None,
        };
        let (collector, pass, result) = ended;
        self.state = State::Idle(collector);
        match result {
            Ok(()) => self.last_error = None,
            Err(error) => self.complain(format!("{error:#}")),
        }
        Some(pass)
    }

    /// Makes a pass at once.
    #[cfg(test)]
    pub(super) fn collect_now(&mut self, roots: &Roots) -> Pass {
        let State::Idle(collector) = &mut self.state else {
            panic!("the collector is not idle");
        };
        let mut pass = Pass::new(&self.wanted);
        // What it could not read is told apart by what it saw.
        drop(collector.collect(roots, &mut pass));
        pass
    }

    /// Shows a pass.
    pub(super) fn publish(&self, pass: Pass, store: &Store) {
        pass.publish(&self.wanted, store);
    }

    /// Says once what is wrong, not on every pass.
    fn complain(&mut self, error: String) {
        if self.last_error.as_ref() != Some(&error) {
            let section = self.section.name;
            warn!(section, error, "Some system stats cannot be collected");
            self.last_error = Some(error);
        }
    }
}

fn run(mut collector: Box<dyn Collect>, roots: &Roots, mut pass: Pass) -> Ended {
    let result = collector.collect(roots, &mut pass);
    (collector, pass, result)
}
