//! The agent's own log, on standard error.
//!
//! Standard error can be a pipe that nobody reads, a closed pipe, or a file on a full disk. This
//! happens especially when the node is sick. Then log lines are lost, and counted. Nothing waits for
//! the log, and nothing ends because of it: a separate thread writes, and only this thread may hang.
//! The flags of the descriptor are not changed, because other processes share it.

mod format;

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::panic;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::bail;
use jiff::tz::TimeZone;
use prometheus::{IntCounter, Registry};
use tracing::level_filters::LevelFilter;
use tracing::{error, warn};

use self::format::{Header, Json, Klog};
use crate::bounded_queue::BoundedQueue;
use crate::fd;
use crate::metrics::registered;

/// How many bytes of lines may wait to be written.
const WAITING: usize = 1 << 20;

/// How long an agent that ends waits for its last lines to be written.
const PATIENCE: Duration = Duration::from_millis(500);

/// The target of a line that says why the agent ends.
const FATAL: &str = "fatal";

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: time, level, message, fields.
    Text,
    /// One JSON object per line.
    Json,
    /// As NPD's logging library writes: `W1130 11:10:55.947000       1 file.rs:12] "Message" key="value"`.
    Klog,
}

impl FromStr for LogFormat {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "klog" => Ok(Self::Klog),
            _ => bail!("must be text, json or klog"),
        }
    }
}

/// The log. All clones write to the same log.
#[derive(Clone, Debug)]
pub struct Log {
    lines: Arc<BoundedQueue<Vec<u8>>>,
    lost: IntCounter,
}

impl Log {
    /// A log that goes to standard error.
    pub fn to_stderr() -> prometheus::Result<Self> {
        Self::to(io::stderr())
    }

    fn to(out: impl AsFd + Send + 'static) -> prometheus::Result<Self> {
        let lost = IntCounter::new(
            "npd_log_lines_lost_total",
            "Lines of the agent's own log that were lost because standard error could not be written.",
        )?;
        let log = Self {
            lines: Arc::new(BoundedQueue::new(WAITING)),
            lost,
        };
        let writing = log.clone();
        let thread = thread::Builder::new().name("log".to_owned());
        // If the thread cannot be started, the agent works, and every line is lost and counted.
        if thread.spawn(move || writing.write_lines(&out)).is_err() {
            log.lines.close();
        }
        Ok(log)
    }

    /// Adds the number of lost lines to the metrics.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registered(registry, self.lost.clone()).map(drop)
    }

    /// Makes this the log of the whole program. `verbosity` is klog's: 0 for
    /// operators, 4 and up for debugging, 6 for every step.
    pub fn start(&self, format: LogFormat, verbosity: i32) {
        let level = match verbosity {
            ..4 => LevelFilter::INFO,
            4..6 => LevelFilter::DEBUG,
            6.. => LevelFilter::TRACE,
        };
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(move || log.clone())
            .with_ansi(false)
            .with_target(false)
            // Otherwise it prints its own errors to standard error, and panics if that fails.
            .log_internal_errors(false);
        // NPD's log has local time. The zone is read once, because its disk may hang later.
        let header = || Header::new(TimeZone::system());
        match format {
            LogFormat::Text => subscriber.init(),
            LogFormat::Json => subscriber.event_format(Json).init(),
            LogFormat::Klog => subscriber.event_format(Klog(header())).init(),
        }
        // The standard hook writes to standard error, and could wait there for ever.
        let log = self.clone();
        panic::set_hook(Box::new(move |panic| {
            error!(target: FATAL, %panic, "Stopping because of a bug");
            log.flush();
        }));
    }

    /// Logs why the agent ends.
    pub fn fatal(&self, error: &anyhow::Error) {
        error!(target: FATAL, error = %format_args!("{error:#}"), "Stopping because of an error");
    }

    /// Writes a line for people, as it is.
    pub fn line(&self, line: impl fmt::Display) {
        self.push(format!("{line}\n").into_bytes());
    }

    /// Waits until everything is written, but not for long.
    pub fn flush(&self) {
        self.lines.wait_until_done(PATIENCE);
    }

    fn push(&self, line: Vec<u8>) {
        if !self.lines.push(line.len(), line) {
            self.lost.inc();
        }
    }

    /// Writes lines until the log is closed.
    fn write_lines(&self, out: &impl AsFd) {
        let mut is_torn = false;
        let mut reported = 0;
        while let Some(line) = self.lines.pop() {
            // The rest of a line must not look like the beginning of the next one.
            let line = if is_torn {
                [b"\n", &*line].concat()
            } else {
                line
            };
            let mut rest = &*line;
            let written = write_all(out, &mut rest);
            is_torn = written.is_err() && (is_torn || rest.len() < line.len());
            if written.is_err() {
                self.lost.inc();
                continue;
            }
            let lost = self.lost.get();
            if lost > reported {
                warn!(
                    lines = lost - reported,
                    "Log lines were lost because standard error could not be written"
                );
                reported = lost;
            }
        }
    }
}

fn write_all(out: &impl AsFd, rest: &mut &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        let written = fd::write(out, rest)?;
        *rest = &rest[written..];
    }
    Ok(())
}

impl io::Write for Log {
    /// Accepts a whole line. Cannot fail.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
