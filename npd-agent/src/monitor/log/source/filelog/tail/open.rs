//! An open log file, and how far it has been read.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::super::fingerprint::{Fingerprint, read_at};
use super::super::rotation::Rotated;
use crate::node::files::open_regular;

/// How many bytes are read at once.
const CHUNK: usize = 256 << 10;

/// The longest line that is read, in bytes, unless there are [many files](LineBuffer::limit). The rest of a
/// longer line is skipped and counted.
pub(in crate::monitor::log::source::filelog) const MAX_LINE: usize = 1 << 20;

/// How many lines are passed on at once. Each may be a finding of every rule.
pub(super) const MAX_LINES: usize = 4096;

/// Takes what is read.
pub(in crate::monitor::log::source::filelog) trait Sink {
    /// Where to begin in a file that is read for the first time.
    fn beginning(&mut self, file: &File) -> io::Result<u64>;

    /// Reading continues at `position`, up to which an earlier agent has read the file.
    fn resumed(&mut self, file: &File, position: u64) -> io::Result<()>;

    /// Whole lines, each with its newline. The last may lack it: it is the end of a rotated file, or
    /// the first part of a line that is too long.
    fn lines(&mut self, lines: &[u8]);
}

/// The result of reading from a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Lines,
    End,
    /// The file no longer contains what was read: it was truncated.
    Replaced,
}

/// An open log file, and how far it has been read.
pub(super) struct OpenFile {
    pub(super) file: File,
    pub(super) fingerprint: Fingerprint,
}

/// What files are read into.
pub(super) struct LineBuffer {
    pub(super) bytes: Vec<u8>,
    longest: usize,
}

impl LineBuffer {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            longest: MAX_LINE,
        }
    }

    /// Reads no longer lines than this, and no more bytes at once.
    pub(super) fn limit(&mut self, longest: usize) {
        self.longest = longest.min(MAX_LINE);
    }

    /// Makes it large enough for a chunk. If it has grown for a long line it keeps its size.
    pub(super) fn reserve(&mut self) {
        let chunk = CHUNK.min(self.longest);
        if self.bytes.len() < chunk {
            self.bytes.resize(chunk, 0);
        }
    }

    /// Gives the memory back: there is nothing to read soon.
    pub(super) fn free(&mut self) {
        self.bytes = Vec::new();
    }

    /// Grows for a longer line. Returns false if it is too long.
    fn grow(&mut self) -> bool {
        let may_grow = self.bytes.len() < self.longest;
        if may_grow {
            let length = (self.bytes.len() * 2).min(self.longest);
            self.bytes.reserve_exact(length - self.bytes.len());
            self.bytes.resize(length, 0);
        }
        may_grow
    }
}

impl OpenFile {
    pub(super) fn at_beginning(file: File) -> io::Result<Self> {
        let fingerprint = Fingerprint::beginning(&file.metadata()?);
        Ok(Self { file, fingerprint })
    }

    /// Reads one chunk, and passes its whole lines to `sink`. Counts a line that is too long in `cut`.
    pub(super) fn read(
        &mut self,
        buffer: &mut LineBuffer,
        cut: &mut u64,
        sink: &mut impl Sink,
    ) -> io::Result<Read> {
        loop {
            let filled = read_at(&self.file, self.fingerprint.position, &mut buffer.bytes)?;
            // Check this after the read, not before: if the file had been truncated between a check and
            // the read, lines of the new content would be taken for those that follow the position.
            if !self.fingerprint.holds_in(&self.file)? {
                return Ok(Read::Replaced);
            }
            let read = &buffer.bytes[..filled];
            if filled == 0 {
                return Ok(Read::End);
            }
            if self.fingerprint.skipping {
                let newline = read.iter().position(|&byte| byte == b'\n');
                self.fingerprint
                    .advance(&read[..newline.map_or(filled, |newline| newline + 1)]);
                self.fingerprint.skipping = newline.is_none();
                return Ok(Read::Lines);
            }
            if let Some(newline) = last_newline(read) {
                let lines = &read[..=newline];
                sink.lines(lines);
                self.fingerprint.advance(lines);
                return Ok(Read::Lines);
            }
            if filled < buffer.bytes.len() {
                return Ok(Read::End); // The line is not complete yet.
            }
            if !buffer.grow() {
                let read = &buffer.bytes[..filled];
                sink.lines(read);
                self.fingerprint.advance(read);
                self.fingerprint.skipping = true;
                *cut += 1;
                return Ok(Read::Lines);
            }
        }
    }
}

/// The newline of the last line that is passed on.
fn last_newline(read: &[u8]) -> Option<usize> {
    let is_newline = |byte: &u8| *byte == b'\n';
    if read.iter().filter(|byte| is_newline(byte)).count() <= MAX_LINES {
        return read.iter().rposition(is_newline);
    }
    let mut newlines = read.iter().enumerate().filter(|(_, byte)| is_newline(byte));
    newlines.nth(MAX_LINES - 1).map(|(place, _)| place)
}

/// Opens a regular file; `None` if it does not exist.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    match open_regular(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// Opens a listed file; `None` if the name belongs to another file by now.
pub(super) fn open_listed(listed: &Rotated) -> io::Result<Option<File>> {
    let Some(file) = open(&listed.path)? else {
        return Ok(None);
    };
    let (now, then) = (file.metadata()?, &listed.metadata);
    let same = (now.dev(), now.ino()) == (then.dev(), then.ino());
    Ok(same.then_some(file))
}

pub(super) fn stat(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
