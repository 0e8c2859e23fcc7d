//! `--exporter.terminal`: one line a problem on standard output, for people or for `jq`.

use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use anyhow::Context;
use jiff::tz::TimeZone;
use prometheus::IntCounter;
use serde::Serialize;

use super::{Built, Exporter, Setting};
use crate::flags::TerminalFormat;
use crate::problem::{Condition, Event, Severity, Status};

/// How many lines may wait for a slow reader of our standard output.
const LINES_QUEUED: usize = 1024;

/// Writes lines from a thread of its own: standard output may be a pipe that nobody reads.
struct Terminal {
    format: TerminalFormat,
    zone: TimeZone,
    lines: SyncSender<String>,
    dropped: IntCounter,
}

/// Builds the exporter if it is asked for, or if there is no cluster to report to.
pub fn build(setting: &Setting<'_>) -> anyhow::Result<Option<Built>> {
    let unasked = if setting.cluster {
        TerminalFormat::Off
    } else {
        TerminalFormat::Text
    };
    let format = setting.options.terminal.unwrap_or(unasked);
    if format == TerminalFormat::Off {
        return Ok(None);
    }
    let (sender, lines) = sync_channel(LINES_QUEUED);
    std::thread::Builder::new()
        .name("terminal".to_owned())
        .spawn(move || write_lines(&lines))
        .context("starting the thread that writes to standard output")?;
    let terminal = Terminal {
        format,
        zone: TimeZone::system(),
        lines: sender,
        dropped: setting
            .metrics
            .exporter_dropped
            .with_label_values(&["terminal"]),
    };
    Ok(Some(Built {
        exporter: Box::new(terminal),
        task: None,
        finish: None,
    }))
}

fn write_lines(lines: &Receiver<String>) {
    let mut out = std::io::stdout();
    for line in lines {
        // A reader that has gone is no reason to stop watching the node.
        if out
            .write_all(line.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            return;
        }
    }
}

impl Exporter for Terminal {
    fn export(&mut self, status: &Status) {
        let line = match self.format {
            TerminalFormat::Json => json(status),
            _ => text(status, &self.zone),
        };
        match self.lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped.inc(),
        }
    }
}

/// One JSON object and a newline.
fn json(status: &Status) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        source: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        event: Option<&'a Event>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        conditions: &'a [Condition],
    }
    let Status {
        source,
        event,
        conditions,
    } = status;
    let line = Line {
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
fn text(status: &Status, zone: &TimeZone) -> String {
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
