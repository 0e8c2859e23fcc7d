//! A reading position in a log file that can be found again after the file was renamed or copied.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use serde::{Deserialize, Serialize};

use super::rotation::written;

/// How many bytes are remembered from the beginning of a file, and from before a position in it.
/// Lines contain their time, so two files differ in these bytes.
const REMEMBERED: usize = 64;

/// A position between two lines of a log file, and how to recognise the file.
///
/// The device and inode stay the same when a file is renamed. But they do not identify the content:
///
/// * The kernel uses the inode of a deleted file again.
/// * `copytruncate` copies the file and then truncates it. The inode then belongs to the new
///   content, and the lines that were read are in the copy, which has another inode.
///
/// So the content decides: the first bytes of the file, and the last bytes before the position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    /// Bytes from the file's beginning.
    pub(super) position: u64,
    /// Whether the position is inside a line that is too long and is being skipped.
    pub(super) skipping: bool,
    /// The file's modification time when this fingerprint was made.
    pub(super) written: (i64, i64),
    #[serde(with = "hex")]
    head: Vec<u8>,
    #[serde(with = "hex")]
    tail: Vec<u8>,
}

impl Fingerprint {
    /// The beginning of a file.
    pub(super) fn beginning(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            position: 0,
            skipping: false,
            written: written(metadata),
            head: Vec::new(),
            tail: Vec::new(),
        }
    }

    /// A position in `file`.
    pub(super) fn at(file: &File, position: u64) -> io::Result<Self> {
        let mut fingerprint = Self::beginning(&file.metadata()?);
        let remembered = usize::try_from(position).map_or(REMEMBERED, |all| all.min(REMEMBERED));
        fingerprint.head = read_exactly(file, 0, remembered)?;
        fingerprint.tail = read_exactly(file, position - remembered as u64, remembered)?;
        fingerprint.position = position;
        Ok(fingerprint)
    }

    /// Whether nothing of the content is known: nothing was read, and nothing is expected.
    pub(super) fn is_unknown(&self) -> bool {
        self.head.is_empty()
    }

    /// Sets the first bytes that the file must have when it is read, because a copy of it has them.
    pub(super) fn expect(&mut self, other: &Self) {
        self.head.clone_from(&other.head);
    }

    /// Moves the position over `read`, the bytes that follow it.
    pub(super) fn advance(&mut self, read: &[u8]) {
        // Bytes after the position were only expected, and are replaced by those that were read.
        let known = usize::try_from(self.position).unwrap_or(REMEMBERED);
        self.head.truncate(known);
        let missing = REMEMBERED - self.head.len();
        self.head
            .extend_from_slice(&read[..read.len().min(missing)]);
        let news = &read[read.len().saturating_sub(REMEMBERED)..];
        let outdated = (self.tail.len() + news.len()).saturating_sub(REMEMBERED);
        self.tail.drain(..outdated);
        self.tail.extend_from_slice(news);
        self.position += read.len() as u64;
    }

    /// Whether the file has this device and inode.
    pub(super) fn is_of(&self, metadata: &Metadata) -> bool {
        (self.device, self.inode) == (metadata.dev(), metadata.ino())
    }

    /// The same position in `file`, if `file` contains what was read: it is the same file, renamed, or
    /// a copy. A copy may be shorter than what was read: it was made, then more lines were read, and
    /// then the original was truncated. The position is then the end of the copy.
    pub(super) fn found_in(&self, file: &File) -> io::Result<Option<Self>> {
        let metadata = file.metadata()?;
        let renamed = self.is_of(&metadata);
        if self.head.is_empty() && !renamed {
            return Ok(None); // Nothing was read, so any file could be a copy.
        }
        if self.holds_in(file)? {
            return Ok(Some(Self {
                device: metadata.dev(),
                inode: metadata.ino(),
                ..self.clone()
            }));
        }
        let earlier = !renamed
            && metadata.len() < self.position
            && metadata.len() >= REMEMBERED as u64
            && self.head == read_exactly(file, 0, self.head.len())?;
        if earlier {
            Self::at(file, metadata.len()).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Whether `file` still contains what was read up to the position.
    pub(super) fn holds_in(&self, file: &File) -> io::Result<bool> {
        if file.metadata()?.len() < self.position {
            return Ok(false);
        }
        let before = self.position - self.tail.len() as u64;
        Ok(self.head == read_exactly(file, 0, self.head.len())?
            && self.tail == read_exactly(file, before, self.tail.len())?)
    }
}

/// Bytes as hexadecimal text.
mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let text: String = digits
            .map(|digit| char::from(DIGITS[usize::from(digit)]))
            .collect();
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<_> = text.as_bytes().chunks(2).map(byte).collect();
        bytes.ok_or_else(|| de::Error::custom("not hexadecimal"))
    }
}

/// Reads `length` bytes from `offset`, or fewer if the file ends.
fn read_exactly(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let read = read_at(file, offset, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Fills `buffer` from `offset`, or less of it if the file ends.
pub(super) fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
