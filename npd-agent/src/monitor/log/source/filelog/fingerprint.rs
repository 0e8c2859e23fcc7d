//! A place in a log file that can be found again, whatever has become of the file's name.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use serde::{Deserialize, Serialize};

use super::rotation::written;

/// How many bytes are remembered of the beginning of a file, and before a place in it. Lines carry
/// their time, so that these are not the same in two files.
const REMEMBERED: usize = 64;

/// A place in a log file, between two lines.
///
/// A file is known by its device and inode while it is renamed. But inodes are used again, and a
/// file that was truncated and written anew (`copytruncate`) keeps its own, while what was read of
/// it is now in a copy. So the content counts: the beginning of the file, and what stands before
/// the place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    /// Bytes from the file's beginning.
    pub(super) position: u64,
    /// Whether a line too long to be read is still being skipped at the place.
    pub(super) skipping: bool,
    /// When the file had last been written as the place was first made.
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

    /// A place in `file`.
    pub(super) fn at(file: &File, position: u64) -> io::Result<Self> {
        let mut mark = Self::beginning(&file.metadata()?);
        let remembered = usize::try_from(position).map_or(REMEMBERED, |all| all.min(REMEMBERED));
        mark.head = read_exactly(file, 0, remembered)?;
        mark.tail = read_exactly(file, position - remembered as u64, remembered)?;
        mark.position = position;
        Ok(mark)
    }

    /// Whether nothing was read, nor is it known what is to be read.
    pub(super) fn is_unknown(&self) -> bool {
        self.head.is_empty()
    }

    /// Nothing was read yet, but this is what stands at the beginning of the file to be read.
    pub(super) fn expect(&mut self, other: &Self) {
        self.head.clone_from(&other.head);
    }

    /// Moves on over what was read.
    pub(super) fn advance(&mut self, read: &[u8]) {
        // What is there at a place where nothing was read may have been expected.
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

    /// Whether this is a file's device and inode.
    pub(super) fn is_of(&self, metadata: &Metadata) -> bool {
        (self.device, self.inode) == (metadata.dev(), metadata.ino())
    }

    /// The same place in another file, if what was read stands there: it is the file renamed, or a
    /// copy of it. A copy that ends before the place was made before the last lines were read and
    /// the file truncated; then the place is its end.
    pub(super) fn found_in(&self, file: &File) -> io::Result<Option<Self>> {
        let metadata = file.metadata()?;
        let renamed = self.is_of(&metadata);
        if self.head.is_empty() && !renamed {
            return Ok(None); // Nothing was read, and every file begins with that.
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

    /// Whether what was read up to the place still stands in `file`.
    pub(super) fn holds_in(&self, file: &File) -> io::Result<bool> {
        if file.metadata()?.len() < self.position {
            return Ok(false);
        }
        let before = self.position - self.tail.len() as u64;
        Ok(self.head == read_exactly(file, 0, self.head.len())?
            && self.tail == read_exactly(file, before, self.tail.len())?)
    }
}

/// Bytes as text, two digits each.
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

/// Fills `buffer` from `offset`; what is short of that is not there.
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
