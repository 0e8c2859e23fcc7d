//! `--exporter.terminal`: one line a problem on standard output, for people or for `jq`.

mod notes;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::Context;
use jiff::tz::TimeZone;
use prometheus::IntCounter;
use serde::Serialize;
use tokio::sync::watch;

use self::notes::{Known, Note, Notes, note};
use super::{BuildContext, Built, Exporter};
use crate::flags::TerminalFormat;
use crate::problem::{Condition, Event, Severity, Update};

/// How many bytes of lines may wait for a slow reader of our standard output.
const QUEUED: usize = 4 << 20;

/// How many bytes are written at once. A pipe takes so many as a whole or not at all (`PIPE_BUF`),
/// so that an agent that is killed has not told half of them.
const AT_ONCE: usize = 4096;

/// Writes lines from a thread of its own: standard output may be a pipe that nobody reads.
struct Terminal {
    format: TerminalFormat,
    zone: TimeZone,
    lines: Sender<QueuedLine>,
    queue: Arc<Queue>,
    known: Known,
    dropped: IntCounter,
}

/// A line on its way.
struct QueuedLine {
    number: u64,
    text: String,
    note: Option<Note>,
}

#[derive(Default)]
struct Queue {
    /// How many bytes of lines there are in it.
    bytes: AtomicUsize,
    /// The number of the last status that was put into it, or dropped.
    given: AtomicU64,
}

/// Builds the exporter if it is asked for, or if there is no cluster to report to.
pub fn build(context: &BuildContext<'_>) -> anyhow::Result<Option<Built>> {
    let unasked = if context.cluster {
        TerminalFormat::Off
    } else {
        TerminalFormat::Text
    };
    let format = context.options.terminal.unwrap_or(unasked);
    if format == TerminalFormat::Off {
        return Ok(None);
    }
    let (sender, lines) = channel();
    let (tell, acknowledged) = watch::channel(0);
    let queue = Arc::new(Queue::default());
    let (notes, known) = context.state.map(Notes::open).unzip();
    let queued = Arc::clone(&queue);
    std::thread::Builder::new()
        .name("terminal".to_owned())
        .spawn(move || write_lines(&lines, &queued, notes, &tell))
        .context("starting the thread that writes to standard output")?;
    let terminal = Terminal {
        format,
        zone: TimeZone::system(),
        lines: sender,
        queue,
        known: known.unwrap_or_default(),
        dropped: context
            .metrics
            .exporter_dropped
            .with_label_values(&["terminal"]),
    };
    Ok(Some(Built {
        exporter: Box::new(terminal),
        acknowledged: Some(acknowledged),
        task: None,
        finish: None,
    }))
}

/// Writes lines, and notes that they are told, until nobody reads them any more.
fn write_lines(
    lines: &Receiver<QueuedLine>,
    queue: &Queue,
    mut notes: Option<Notes>,
    acknowledged: &watch::Sender<u64>,
) {
    let mut out = std::io::stdout().lock();
    let mut waiting = None;
    while let Some(line) = waiting.take().or_else(|| lines.recv().ok()) {
        let QueuedLine {
            mut number,
            mut text,
            note,
        } = line;
        let mut to_note = Vec::from_iter(note);
        let given = queue.given.load(SeqCst);
        let drained = loop {
            match lines.try_recv() {
                Ok(next) if text.len() + next.text.len() <= AT_ONCE => {
                    text.push_str(&next.text);
                    to_note.extend(next.note);
                    number = next.number;
                }
                Ok(next) => {
                    waiting = Some(next);
                    break false;
                }
                Err(_empty) => break true,
            }
        };
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        // A reader that has gone is no reason to stop watching the node.
        if written.is_err() {
            return;
        }
        if let Some(notes) = &mut notes {
            notes.add(&to_note);
        }
        queue.bytes.fetch_sub(text.len(), SeqCst);
        // What was dropped after it is settled, too.
        acknowledged.send_replace(if drained { number.max(given) } else { number });
    }
}

impl Exporter for Terminal {
    fn export(&mut self, status: &Update) {
        let text = if self.known.take(status.occurrence.as_ref()) {
            String::new()
        } else {
            match self.format {
                TerminalFormat::Json => json(status),
                _ => text(status, &self.zone),
            }
        };
        let line = QueuedLine {
            number: status.number,
            note: note(status).filter(|_| !text.is_empty()),
            text,
        };
        let length = line.text.len();
        if self.queue.bytes.fetch_add(length, SeqCst) + length > QUEUED
            || self.lines.send(line).is_err()
        {
            self.queue.bytes.fetch_sub(length, SeqCst);
            self.dropped.inc();
        }
        self.queue.given.store(status.number, SeqCst);
    }
}

/// One JSON object and a newline.
fn json(status: &Update) -> String {
    #[derive(Serialize)]
    struct JsonLine<'a> {
        source: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        event: Option<&'a Event>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        conditions: &'a [Condition],
    }
    let Update {
        source,
        event,
        conditions,
        ..
    } = status;
    let line = JsonLine {
        source,
        event: event.as_ref(),
        conditions,
    };
    // Maps with string keys and finite numbers only: this cannot fail.
    serde_json::to_string(&line)
        .map(|line| line + "\n")
        .unwrap_or_default()
}

/// A line for the event, or a line for each condition if there was none.
fn text(status: &Update, zone: &TimeZone) -> String {
    let time = |timestamp: jiff::Timestamp| {
        timestamp
            .to_zoned(zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S%.3f")
            .to_string()
    };
    if let Some(event) = &status.event {
        let level = match event.severity {
            Severity::Warn => "WARN",
            Severity::Info => "INFO",
        };
        let pod = event.pod.as_ref().map(|pod| match &pod.name {
            Some(name) => format!(" pod={}/{}", name.namespace, name.name),
            None => format!(" pod={}", pod.uid),
        });
        return format!(
            "{} {level} {} [{}{}] {}\n",
            time(event.timestamp),
            event.reason,
            status.source,
            pod.unwrap_or_default(),
            one_line(&event.message),
        );
    }
    let line = |condition: &Condition| {
        let Condition {
            r#type,
            status: now,
            reason,
            message,
            transition,
        } = condition;
        let (time, source) = (time(*transition), &status.source);
        format!(
            "{time} INFO {reason} [{source}] {type} is {now}: {}\n",
            one_line(message)
        )
    };
    status.conditions.iter().map(line).collect()
}

/// Keeps control characters of a log from driving the reader's terminal.
fn one_line(message: &str) -> String {
    message
        .chars()
        .flat_map(|c| match c {
            '\n' => vec!['\\', 'n'],
            c if c.is_control() => c.escape_default().collect(),
            c => vec![c],
        })
        .collect()
}
