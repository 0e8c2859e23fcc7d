//! `--exporter.terminal`: prints one line per problem on standard output, for people or for `jq`.
//!
//! Standard output can be a pipe that nobody reads, or a file on a full disk. So a separate thread
//! writes, and tries again until it succeeds. Meanwhile lines wait in a queue with a limit. Lines that
//! are not written are counted as dropped, so every line is either written or counted.

mod notes;
mod output;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use anyhow::Context;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use prometheus::IntCounter;
use serde::Serialize;
use tokio::sync::watch;
use tracing::error;

use self::notes::{Known, Note, Notes, note};
use self::output::Output;
use super::{BuildContext, Built, Exporter};
use crate::bounded_queue::BoundedQueue;
use crate::flags::TerminalFormat;
use crate::go::quote::is_printable;
use crate::problem::{Condition, Event, Severity, Update};

/// How many bytes of lines may wait for a slow reader of our standard output.
const WAITING: usize = 4 << 20;

/// How many bytes are written at once. A pipe takes this many as a whole or not at all (`PIPE_BUF`),
/// so an agent that is killed has never written only a part of them.
const AT_ONCE: usize = 4096;

/// Puts lines into a queue.
struct Terminal {
    format: TerminalFormat,
    zone: TimeZone,
    lines: Arc<LineQueue>,
    known: Known,
    dropped: IntCounter,
}

/// A line that waits to be written.
struct QueuedLine {
    number: u64,
    text: String,
    note: Option<Note>,
}

struct LineQueue {
    lines: BoundedQueue<QueuedLine>,
    /// The number of the last update that was put into the queue, or dropped.
    given: AtomicU64,
}

/// Counts the lines that are still not written when the agent ends, which drops this.
struct Unwritten {
    queue: Arc<LineQueue>,
    dropped: IntCounter,
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
    let (acknowledge, acknowledged) = watch::channel(0);
    let queue = Arc::new(LineQueue {
        lines: BoundedQueue::new(WAITING),
        given: AtomicU64::new(0),
    });
    let (notes, known) = context.state.map(Notes::open).unzip();
    let written = Arc::clone(&queue);
    let output = Output::new(std::io::stdout(), context.status_page.clone());
    std::thread::Builder::new()
        .name("terminal".to_owned())
        .spawn(move || write_lines(&written, output, notes, &acknowledge))
        .context("starting the thread that writes to standard output")?;
    let dropped = context
        .metrics
        .exporter_dropped
        .with_label_values(&["terminal"]);
    let unwritten = Unwritten {
        queue: Arc::clone(&queue),
        dropped: dropped.clone(),
    };
    let terminal = Terminal {
        format,
        zone: TimeZone::system(),
        lines: queue,
        known: known.unwrap_or_default(),
        dropped,
    };
    Ok(Some(Built {
        exporter: Box::new(terminal),
        finish: Some(Box::pin(finish(unwritten, acknowledged.clone()))),
        acknowledged: Some(acknowledged),
        task: None,
    }))
}

/// Ends when everything is written.
async fn finish(unwritten: Unwritten, mut acknowledged: watch::Receiver<u64>) {
    let given = unwritten.queue.given.load(SeqCst);
    // This fails if the thread has ended. Then there is nothing to wait for.
    drop(acknowledged.wait_for(|number| *number >= given).await);
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        let lines = self.queue.lines.close() as u64;
        if lines > 0 {
            self.dropped.inc_by(lines);
            error!(
                lines,
                "Stopping before everything is written to standard output"
            );
        }
    }
}

/// Writes lines, and notes that they are printed, until the queue is closed.
fn write_lines(
    queue: &LineQueue,
    mut output: Output<impl AsFd>,
    mut notes: Option<Notes>,
    acknowledged: &watch::Sender<u64>,
) {
    while let Some(line) = queue.lines.pop() {
        let QueuedLine {
            mut number,
            mut text,
            note,
        } = line;
        let mut to_note = Vec::from_iter(note);
        let given = queue.given.load(SeqCst);
        let fits = |next: &QueuedLine, length| length + next.text.len() <= AT_ONCE;
        while let Some(next) = queue.lines.pop_if(|next| fits(next, text.len())) {
            text.push_str(&next.text);
            to_note.extend(next.note);
            number = next.number;
        }
        let drained = queue.lines.is_empty();
        output.write(text.as_bytes());
        if let Some(notes) = &mut notes {
            notes.add(&to_note);
        }
        // Updates that were dropped after this line are finished too.
        acknowledged.send_replace(if drained { number.max(given) } else { number });
    }
}

impl Exporter for Terminal {
    fn export(&mut self, status: &Update) {
        let text = if self.known.take(status.occurrence.as_ref()) {
            String::new()
        } else {
            line(self.format, status, &|time| local(time, &self.zone))
        };
        let line = QueuedLine {
            number: status.number,
            note: note(status).filter(|_| !text.is_empty()),
            text,
        };
        if !self.lines.lines.push(line.text.len(), line) {
            self.dropped.inc();
        }
        self.lines.given.store(status.number, SeqCst);
    }
}

/// What is printed about an update, in one line or more. `shown` writes a time in a text.
pub fn line(
    format: TerminalFormat,
    update: &Update,
    shown: &dyn Fn(Timestamp) -> String,
) -> String {
    match format {
        TerminalFormat::Json => json(update),
        _ => text(update, shown),
    }
}

/// A time for people.
pub fn local(time: Timestamp, zone: &TimeZone) -> String {
    let time = time.to_zoned(zone.clone());
    time.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
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
    // This cannot fail: there are only string keys and finite numbers.
    serde_json::to_string(&line)
        .map(|line| escaped(line) + "\n")
        .unwrap_or_default()
}

/// A line for the event, or a line for each condition if there was none.
fn text(status: &Update, time: &dyn Fn(Timestamp) -> String) -> String {
    if let Some(event) = &status.event {
        let level = match event.severity {
            Severity::Info => "INFO",
            Severity::Warning => "WARN",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        };
        let pod = event.pod.as_ref().map(|pod| match &pod.name {
            Some(name) => format!(" pod={}/{}", name.namespace, name.name),
            None => format!(" pod={}", pod.uid),
        });
        return format!(
            "{} {level} {} [{}{}{}] {}\n",
            time(event.timestamp),
            event.reason,
            status.source,
            pod.unwrap_or_default(),
            if event.dry_run { " dry-run" } else { "" },
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
            ..
        } = condition;
        let (time, source) = (time(*transition), &status.source);
        format!(
            "{time} INFO {reason} [{source}] {type} is {now}: {}\n",
            one_line(message)
        )
    };
    status.conditions.iter().map(line).collect()
}

/// Escapes unprintable characters in encoded JSON, where they can be only in strings.
fn escaped(json: String) -> String {
    if json.chars().all(is_printable) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_printable(c) {
            escaped.push(c);
        } else {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units).iter();
            escaped.extend(units.map(|unit| format!("\\u{unit:04x}")));
        }
    }
    escaped
}

/// Escapes unprintable characters, so that a log line cannot control the reader's terminal: control
/// characters, and those that change the direction of the text.
fn one_line(message: &str) -> String {
    message
        .chars()
        .flat_map(|c| match c {
            '\n' => vec!['\\', 'n'],
            c if !is_printable(c) => c.escape_default().collect(),
            c => vec![c],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unprintable_characters_are_escaped() {
        let bad = "\u{1b}[31m é 漢 \u{202e}txt.exe\u{2066}\u{e0041}\u{9b}";
        let shown = r"\u{1b}[31m é 漢 \u{202e}txt.exe\u{2066}\u{e0041}\u{9b}";
        assert_eq!(one_line(bad), shown);
        let json = escaped(serde_json::to_string(bad).unwrap());
        let encoded = r#""\u001b[31m é 漢 \u202etxt.exe\u2066\udb40\udc41\u009b""#;
        assert_eq!(json, encoded);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), bad);
    }
}
