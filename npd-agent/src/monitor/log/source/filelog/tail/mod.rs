//! Follows a log file through rotation, truncation and absence, without losing or repeating a line.
//!
//! Everything here may block on a disk, and so does not run on the runtime's thread.

mod generations;
mod open;

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracing::warn;

pub(super) use self::open::Sink;
use self::open::{LineBuffer, OpenFile, Read, open, stat};
use super::fingerprint::{Fingerprint, read_at};
use super::rotation::written;
use crate::monitor::log::source::follow::FollowStep;

/// How long a rotated file is still read after it has last grown. Its writer may not have noticed
/// the rotation.
const GRACE: Duration = Duration::from_mins(1);

/// How many rotated files stay open.
const MAX_RETIRED: usize = 8;

/// For how many files the reading position is remembered after they were closed.
const MAX_PAST: usize = 16;

/// A log file, by its name.
pub(super) struct Tail {
    path: PathBuf,
    /// The file being read, and those to read after it. The last one is the file at the path.
    queue: VecDeque<OpenFile>,
    /// Rotated files that were read and may still grow.
    retired: VecDeque<Retired>,
    /// How far closed files were read.
    past: VecDeque<Fingerprint>,
    /// Where reading stopped before the agent was started.
    saved: Option<Fingerprint>,
    buffer: LineBuffer,
    /// Lines that were too long.
    pub(super) cut: u64,
}

/// How far a log and its earlier generations have been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct LogPositions {
    current: Option<Fingerprint>,
    past: VecDeque<Fingerprint>,
}

struct Retired {
    open: OpenFile,
    grown: Instant,
}

impl Tail {
    /// The file at `path`, to be read from the saved positions, or else from where the sink says.
    pub(super) fn new(path: PathBuf, saved: LogPositions) -> Self {
        Self {
            path,
            queue: VecDeque::new(),
            retired: VecDeque::new(),
            past: saved.past,
            saved: saved.current,
            buffer: LineBuffer::new(),
            cut: 0,
        }
    }

    /// Reads no longer lines than this.
    pub(super) fn limit(&mut self, longest_line: usize) {
        self.buffer.limit(longest_line);
    }

    /// How far everything has been passed to the sink.
    pub(super) fn positions(&self) -> LogPositions {
        let retired = self.retired.iter().map(|retired| &retired.open.fingerprint);
        LogPositions {
            current: self
                .queue
                .front()
                .map(|open| &open.fingerprint)
                .or(self.saved.as_ref())
                .cloned(),
            past: self.past.iter().chain(retired).cloned().collect(),
        }
    }

    /// Reads what is there, at most one chunk from each file, and passes the lines to `sink`.
    pub(super) fn step(&mut self, now: Instant, sink: &mut impl Sink) -> io::Result<FollowStep> {
        self.drain_retired(now, sink)?;
        // Check the name before reading: when the name belongs to another file by now, everything that
        // was written before the rename is then read from this file.
        let named = stat(&self.path)?;
        self.queue_copies()?;
        let newest = self.queue.len() == 1;
        let Some(current) = self.queue.front_mut() else {
            return self.begin(now, sink);
        };
        self.buffer.reserve();
        match current.read(&mut self.buffer, &mut self.cut, sink)? {
            Read::Lines => Ok(FollowStep::More),
            Read::Replaced => {
                let fingerprint = current.fingerprint.clone();
                self.resume(&fingerprint)?;
                Ok(FollowStep::More)
            }
            Read::End if !newest => {
                self.retire(now, sink)?;
                Ok(FollowStep::More)
            }
            Read::End => {
                self.buffer.free();
                match named {
                    Some(named) if !current.fingerprint.is_of(&named) => {
                        let last = written(&current.file.metadata()?);
                        self.enqueue(last..)?;
                        Ok(FollowStep::More)
                    }
                    _ => Ok(FollowStep::End),
                }
            }
        }
    }

    /// Opens the file for the first time.
    fn begin(&mut self, now: Instant, sink: &mut impl Sink) -> io::Result<FollowStep> {
        if let Some(fingerprint) = self.saved.take() {
            self.resume(&fingerprint)?;
            self.reopen_past(now)?;
            if let Some(current) = self.queue.front() {
                sink.resumed(&current.file, current.fingerprint.position)?;
            }
            return Ok(FollowStep::More);
        }
        let Some(file) = open(&self.path)? else {
            return Ok(FollowStep::Absent);
        };
        let fingerprint = Fingerprint::at(&file, sink.beginning(&file)?)?;
        self.queue.push_back(OpenFile { file, fingerprint });
        Ok(FollowStep::More)
    }

    /// Continues after `fingerprint`, in whichever file has its content now.
    fn resume(&mut self, fingerprint: &Fingerprint) -> io::Result<()> {
        self.queue.clear();
        if let Some(file) = open(&self.path)?
            && fingerprint.is_of(&file.metadata()?)
            && fingerprint.holds_in(&file)?
        {
            self.queue.push_back(OpenFile {
                file,
                fingerprint: fingerprint.clone(),
            });
            return Ok(());
        }
        if let Some(found) = self.find(fingerprint)? {
            let last = written(&found.file.metadata()?);
            self.queue.push_back(found);
            return self.enqueue(last..);
        }
        warn!(file = %self.path.display(), "Log file was replaced, and its unread lines cannot be found");
        let named = self.open_named()?;
        self.queue.extend(named);
        Ok(())
    }

    fn is_open(&self, metadata: &Metadata) -> bool {
        let retired = self.retired.iter().map(|retired| &retired.open);
        self.queue
            .iter()
            .chain(retired)
            .any(|open| open.fingerprint.is_of(metadata))
    }

    fn past_fingerprint(&self, file: &File) -> io::Result<Option<Fingerprint>> {
        let metadata = file.metadata()?;
        for fingerprint in self
            .past
            .iter()
            .rev()
            .filter(|fingerprint| fingerprint.is_of(&metadata))
        {
            if fingerprint.holds_in(file)? {
                return Ok(Some(fingerprint.clone()));
            }
        }
        Ok(None)
    }

    /// The first file of the queue is read to its end, and another one follows it.
    fn retire(&mut self, now: Instant, sink: &mut impl Sink) -> io::Result<()> {
        if let Some(open) = self.queue.pop_front() {
            self.retired.push_back(Retired { open, grown: now });
        }
        while self.retired.len() > MAX_RETIRED {
            self.close_oldest_retired(sink)?;
        }
        Ok(())
    }

    fn drain_retired(&mut self, now: Instant, sink: &mut impl Sink) -> io::Result<()> {
        for Retired { open, grown } in &mut self.retired {
            self.buffer.reserve();
            if open.read(&mut self.buffer, &mut self.cut, sink)? == Read::Lines {
                *grown = now;
            }
        }
        while self
            .retired
            .front()
            .is_some_and(|oldest| now - oldest.grown > GRACE)
        {
            self.close_oldest_retired(sink)?;
        }
        Ok(())
    }

    /// Closes the oldest retired file, and passes on its last line even if it has no newline.
    fn close_oldest_retired(&mut self, sink: &mut impl Sink) -> io::Result<()> {
        let Some(Retired { mut open, .. }) = self.retired.pop_front() else {
            return Ok(());
        };
        self.buffer.reserve();
        let end = loop {
            match open.read(&mut self.buffer, &mut self.cut, sink)? {
                Read::Lines => {}
                end => break end,
            }
        };
        if end == Read::End && !open.fingerprint.skipping {
            let bytes = &mut self.buffer.bytes;
            let filled = read_at(&open.file, open.fingerprint.position, bytes)?;
            if filled > 0 {
                sink.lines(&bytes[..filled]);
                open.fingerprint.advance(&bytes[..filled]);
            }
        }
        if self.past.len() >= MAX_PAST {
            self.past.pop_front();
        }
        self.past.push_back(open.fingerprint);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
