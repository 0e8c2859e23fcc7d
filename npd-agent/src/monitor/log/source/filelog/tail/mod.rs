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
use self::open::{OpenFile, Read, open, reserve, stat};
use super::fingerprint::{Fingerprint, read_at};
use super::rotation::written;
use crate::monitor::log::source::follow::FollowStep;

/// How long a file that was rotated away is still read after it has last grown: its writer may not
/// have noticed yet.
const GRACE: Duration = Duration::from_mins(1);

/// How many such files are kept open.
const MAX_RETIRED: usize = 8;

/// Of how many files it is remembered where reading ended.
const MAX_PAST: usize = 16;

/// A log file, by its name.
pub(super) struct Tail {
    path: PathBuf,
    /// The file being read, and those to be read after it: the last one bears the name.
    queue: VecDeque<OpenFile>,
    /// Files that were read before and may still grow.
    retired: VecDeque<Retired>,
    /// Where reading ended in files that were read before.
    past: VecDeque<Fingerprint>,
    /// Where reading stopped before the agent was started.
    saved: Option<Fingerprint>,
    buffer: Vec<u8>,
    /// Lines that were too long.
    pub(super) cut: u64,
}

/// The places up to which a log and its earlier generations have been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Places {
    current: Option<Fingerprint>,
    past: VecDeque<Fingerprint>,
}

struct Retired {
    open: OpenFile,
    grown: Instant,
}

impl Tail {
    /// The file at `path`, read on from the saved places or else from where the sink says.
    pub(super) fn new(path: PathBuf, saved: Places) -> Self {
        Self {
            path,
            queue: VecDeque::new(),
            retired: VecDeque::new(),
            past: saved.past,
            saved: saved.current,
            buffer: Vec::new(),
            cut: 0,
        }
    }

    /// The places up to which everything has been handed out.
    pub(super) fn places(&self) -> Places {
        let retired = self.retired.iter().map(|retired| &retired.open.mark);
        Places {
            current: self
                .queue
                .front()
                .map(|open| &open.mark)
                .or(self.saved.as_ref())
                .cloned(),
            past: self.past.iter().chain(retired).cloned().collect(),
        }
    }

    /// Hands out what can be read at once, a chunk at most from each file.
    pub(super) fn step(&mut self, now: Instant, sink: &mut impl Sink) -> io::Result<FollowStep> {
        self.drain_retired(now, sink)?;
        // First the name, then the file: what was written before the name moved on is not missed.
        let named = stat(&self.path)?;
        self.look_for_copies()?;
        let newest = self.queue.len() == 1;
        let Some(current) = self.queue.front_mut() else {
            return self.begin(now, sink);
        };
        reserve(&mut self.buffer);
        match current.read(&mut self.buffer, &mut self.cut, sink)? {
            Read::Lines => Ok(FollowStep::More),
            Read::Replaced => {
                let mark = current.mark.clone();
                self.resume(&mark)?;
                Ok(FollowStep::More)
            }
            Read::End if !newest => {
                self.retire(now, sink)?;
                Ok(FollowStep::More)
            }
            Read::End => {
                self.buffer = Vec::new(); // Nothing to read soon.
                match named {
                    Some(named) if !current.mark.is_of(&named) => {
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
        if let Some(mark) = self.saved.take() {
            self.resume(&mark)?;
            self.reopen_past(now)?;
            if let Some(current) = self.queue.front() {
                sink.resumed(&current.file, current.mark.position)?;
            }
            return Ok(FollowStep::More);
        }
        let Some(file) = open(&self.path)? else {
            return Ok(FollowStep::Absent);
        };
        let mark = Fingerprint::at(&file, sink.beginning(&file)?)?;
        self.queue.push_back(OpenFile { file, mark });
        Ok(FollowStep::More)
    }

    /// Reads on from `mark`, wherever its content is now.
    fn resume(&mut self, mark: &Fingerprint) -> io::Result<()> {
        self.queue.clear();
        if let Some(file) = open(&self.path)?
            && mark.is_of(&file.metadata()?)
            && mark.holds_in(&file)?
        {
            self.queue.push_back(OpenFile {
                file,
                mark: mark.clone(),
            });
            return Ok(());
        }
        if let Some(found) = self.find(mark)? {
            let last = written(&found.file.metadata()?);
            self.queue.push_back(found);
            return self.enqueue(last..);
        }
        warn!(file = %self.path.display(), "Log file was replaced, and is nowhere to be found as it was");
        let named = self.open_named()?;
        self.queue.extend(named);
        Ok(())
    }

    fn is_open(&self, metadata: &Metadata) -> bool {
        let retired = self.retired.iter().map(|retired| &retired.open);
        self.queue
            .iter()
            .chain(retired)
            .any(|open| open.mark.is_of(metadata))
    }

    fn past_mark(&self, file: &File) -> io::Result<Option<Fingerprint>> {
        let metadata = file.metadata()?;
        for mark in self.past.iter().rev().filter(|mark| mark.is_of(&metadata)) {
            if mark.holds_in(file)? {
                return Ok(Some(mark.clone()));
            }
        }
        Ok(None)
    }

    /// The first file of the queue is read to its end, and another comes after it.
    fn retire(&mut self, now: Instant, sink: &mut impl Sink) -> io::Result<()> {
        if let Some(open) = self.queue.pop_front() {
            self.retired.push_back(Retired { open, grown: now });
        }
        while self.retired.len() > MAX_RETIRED {
            self.bury(sink)?;
        }
        Ok(())
    }

    fn drain_retired(&mut self, now: Instant, sink: &mut impl Sink) -> io::Result<()> {
        for Retired { open, grown } in &mut self.retired {
            reserve(&mut self.buffer);
            if open.read(&mut self.buffer, &mut self.cut, sink)? == Read::Lines {
                *grown = now;
            }
        }
        while self
            .retired
            .front()
            .is_some_and(|oldest| now - oldest.grown > GRACE)
        {
            self.bury(sink)?;
        }
        Ok(())
    }

    /// Closes the oldest file. Nobody completes its last line any more.
    fn bury(&mut self, sink: &mut impl Sink) -> io::Result<()> {
        let Some(Retired { mut open, .. }) = self.retired.pop_front() else {
            return Ok(());
        };
        reserve(&mut self.buffer);
        let end = loop {
            match open.read(&mut self.buffer, &mut self.cut, sink)? {
                Read::Lines => {}
                end => break end,
            }
        };
        if end == Read::End && !open.mark.skipping {
            let filled = read_at(&open.file, open.mark.position, &mut self.buffer)?;
            if filled > 0 {
                sink.lines(&self.buffer[..filled]);
                open.mark.advance(&self.buffer[..filled]);
            }
        }
        if self.past.len() >= MAX_PAST {
            self.past.pop_front();
        }
        self.past.push_back(open.mark);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
