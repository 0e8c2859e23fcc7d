//! An open log file, and how far it has been read.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::libc::O_NONBLOCK;

use super::super::fingerprint::{Fingerprint, read_at};
use super::super::rotation::Rotated;

/// How much is read at once. Enough to make the cost of a read small.
const CHUNK: usize = 256 << 10;

/// The longest line, in bytes. What comes after that of a longer one is skipped and counted.
pub(in crate::monitor::log::source::filelog) const MAX_LINE: usize = 1 << 20;

/// Takes what is read.
pub(in crate::monitor::log::source::filelog) trait Sink {
    /// Where to begin in a file that is read for the first time.
    fn beginning(&mut self, file: &File) -> io::Result<u64>;

    /// Reading goes on at a place in a file up to which it was read before the agent was started.
    fn resumed(&mut self, file: &File, position: u64) -> io::Result<()>;

    /// Whole lines, each with its newline. The last may lack it: it is what was left of a file, or
    /// the beginning of a line too long to be read.
    fn lines(&mut self, lines: &[u8]);
}

/// What came of reading from a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Lines,
    End,
    /// What was read before is no longer in the file: it was truncated.
    Replaced,
}

/// An open log file, and how far it has been read.
pub(super) struct OpenFile {
    pub(super) file: File,
    pub(super) mark: Fingerprint,
}

/// Makes room for a chunk; a buffer that has grown for a long line stays as it is.
pub(super) fn reserve(buffer: &mut Vec<u8>) {
    if buffer.len() < CHUNK {
        buffer.resize(CHUNK, 0);
    }
}

impl OpenFile {
    pub(super) fn at_beginning(file: File) -> io::Result<Self> {
        let mark = Fingerprint::beginning(&file.metadata()?);
        Ok(Self { file, mark })
    }

    /// Hands out the lines of one chunk.
    pub(super) fn read(
        &mut self,
        buffer: &mut Vec<u8>,
        cut: &mut u64,
        sink: &mut impl Sink,
    ) -> io::Result<Read> {
        loop {
            let filled = read_at(&self.file, self.mark.position, buffer)?;
            // Only now: what was read was there, or it would not hold.
            if !self.mark.holds_in(&self.file)? {
                return Ok(Read::Replaced);
            }
            let read = &buffer[..filled];
            if filled == 0 {
                return Ok(Read::End);
            }
            if self.mark.skipping {
                let newline = read.iter().position(|&byte| byte == b'\n');
                self.mark
                    .advance(&read[..newline.map_or(filled, |newline| newline + 1)]);
                self.mark.skipping = newline.is_none();
                return Ok(Read::Lines);
            }
            if let Some(newline) = read.iter().rposition(|&byte| byte == b'\n') {
                let lines = &read[..=newline];
                sink.lines(lines);
                self.mark.advance(lines);
                return Ok(Read::Lines);
            }
            if filled < buffer.len() {
                return Ok(Read::End); // The line is not complete yet.
            }
            if filled >= MAX_LINE {
                sink.lines(read);
                self.mark.advance(read);
                self.mark.skipping = true;
                *cut += 1;
                return Ok(Read::Lines);
            }
            buffer.resize((buffer.len() * 2).min(MAX_LINE), 0);
        }
    }
}

/// Opens a regular file; `None` if there is none of that name.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    // A fifo of that name must not hold the agent.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.is_file() {
        Ok(Some(file))
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}

/// Opens what was listed; `None` if the name is another file's by now.
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
