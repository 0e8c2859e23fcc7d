//! The objects of a journal file, as systemd's `journal-def.h` lays them out.
//!
//! Everything is little-endian. A file is written while it is read, so nothing in it is trusted: a bad
//! offset or an object of the wrong type is an error, and cannot do more harm.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::corruption::corrupt;
use super::payload;

/// Where the payload of `struct DataObject` begins, and with `COMPACT`.
const DATA: usize = 64;
const COMPACT_DATA: usize = 72;

/// Where the items of `struct EntryObject` begin.
const ENTRY: usize = 64;

/// Where the items of `struct EntryArrayObject` begin.
const ENTRY_ARRAY: usize = 24;

/// Where the payload of `struct FieldObject` begins.
const FIELD: usize = 40;

/// How many bytes of an object are read at first. Most data is shorter.
const GULP: usize = 512;

/// The largest size of a file, and so of everything in it. ext4 allows less.
const MAX_SIZE: u64 = 1 << 48;

/// The largest hash table of fields. systemd's have 333 chains of 16 bytes, in every file.
const MAX_HASH_TABLE: u64 = 256 << 10;

/// How many fields an entry may have (`ENTRY_FIELD_COUNT_MAX`).
const MAX_FIELDS: usize = 1024;

/// `enum ObjectType`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectKind {
    Data = 1,
    Field = 2,
    JournalEntry = 3,
    EntryArray = 6,
}

/// `struct Header`, the fields that are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    /// Whether offsets have 4 bytes and not 8 (`HEADER_INCOMPATIBLE_COMPACT`).
    pub(super) compact: bool,
    pub(super) state: FileState,
    pub(super) file_id: u128,
    /// The sequence number id. Entries of all files with the same id are numbered in one sequence.
    pub(super) sequence_id: u128,
    pub(super) field_table: u64,
    pub(super) field_table_size: u64,
}

/// The state of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileState {
    /// Not being written now (`STATE_OFFLINE`).
    Offline,
    /// Being written, or its writer has crashed (`STATE_ONLINE`).
    Online,
    /// Complete: nothing will be added (`STATE_ARCHIVED`).
    Archived,
}

/// `struct EntryObject`.
#[derive(Clone, Debug)]
pub(super) struct EntryObject {
    pub(super) sequence: u64,
    /// In microseconds since 1970.
    pub(super) realtime: u64,
    /// In microseconds since the boot.
    pub(super) monotonic: u64,
    pub(super) boot: u128,
    /// The offsets of its data.
    pub(super) data: Vec<u64>,
}

/// The head of `struct DataObject`, which lists the entries that contain the data.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataHead {
    /// The next data of the same field.
    pub(super) next_of_field: u64,
    /// The first entry.
    pub(super) entry: u64,
    /// The array of the others.
    pub(super) entry_array: u64,
    pub(super) entries: u64,
}

/// The supported flags of `incompatible_flags`: compression by XZ, LZ4 and ZSTD, keyed
/// hashes, and compact offsets.
const KNOWN_FLAGS: u32 = 0b1_1111;
const FLAG_COMPACT: u32 = 0b1_0000;

impl FileHeader {
    pub(super) fn read(file: &File) -> io::Result<Self> {
        let mut bytes = [0; 208];
        file.read_exact_at(&mut bytes, 0)?;
        if !bytes.starts_with(b"LPKSHHRH") {
            return Err(corrupt("no signature"));
        }
        let flags = u32::from_le_bytes(array(&bytes, 12));
        if flags & !KNOWN_FLAGS != 0 {
            let message = format!("unsupported features of the journal file: {flags:#x}");
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        Ok(Self {
            compact: flags & FLAG_COMPACT != 0,
            state: match bytes[16] {
                0 => FileState::Offline,
                1 => FileState::Online,
                2 => FileState::Archived,
                _ => return Err(corrupt("an unknown state")),
            },
            file_id: u128::from_be_bytes(array(&bytes, 24)),
            sequence_id: u128::from_be_bytes(array(&bytes, 72)),
            field_table: u64_at(&bytes, 120),
            field_table_size: u64_at(&bytes, 128),
        })
    }
}

/// Reads objects.
#[derive(Debug)]
pub(super) struct Objects {
    file: File,
    compact: bool,
}

impl Objects {
    pub(super) fn new(file: File, header: &FileHeader) -> Self {
        let compact = header.compact;
        Self { file, compact }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The first offset of each chain in a hash table.
    pub(super) fn hash_table(&self, offset: u64, size: u64) -> io::Result<Vec<u64>> {
        if size > MAX_HASH_TABLE {
            return Err(corrupt("a huge hash table"));
        }
        let mut table = self.reserve(Vec::new(), offset, size)?;
        self.file.read_exact_at(&mut table, offset)?;
        let heads = table.chunks_exact(16).map(|item| u64_at(item, 0));
        Ok(heads.filter(|head| *head != 0).collect())
    }

    /// The name of a field, the next field of its chain, and the field's newest data object.
    pub(super) fn field(&self, offset: u64) -> io::Result<(Vec<u8>, u64, u64)> {
        let (bytes, _) = self.object(offset, ObjectKind::Field, FIELD + 256)?;
        let name = bytes.get(FIELD..).unwrap_or_default().to_vec();
        Ok((name, u64_at(&bytes, 24), u64_at(&bytes, 32)))
    }

    pub(super) fn data_head(&self, offset: u64) -> io::Result<DataHead> {
        let (bytes, _) = self.object(offset, ObjectKind::Data, DATA)?;
        Ok(DataHead {
            next_of_field: u64_at(&bytes, 32),
            entry: u64_at(&bytes, 40),
            entry_array: u64_at(&bytes, 48),
            entries: u64_at(&bytes, 56),
        })
    }

    /// A data object, `FIELD=value`, if `wanted` is true for its beginning. Of a long value, only the
    /// beginning is read.
    pub(super) fn data(
        &self,
        offset: u64,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Option<Vec<u8>>> {
        let start = if self.compact { COMPACT_DATA } else { DATA };
        let (mut bytes, size) = self.object(offset, ObjectKind::Data, GULP)?;
        let compression = payload::Compression::of(bytes[1])?;
        let stored = bytes.get(start..).unwrap_or_default();
        if compression == payload::Compression::None && !wanted(stored) {
            return Ok(None);
        }
        if size > bytes.len() {
            let length = size.min(start + payload::MAX_STORED);
            bytes = self.reserve(bytes, offset, length as u64)?;
            self.file.read_exact_at(&mut bytes, offset)?;
        }
        let stored = bytes.get(start..).unwrap_or_default();
        if wanted(&compression.undo(stored, GULP)?) {
            let data = compression.undo(stored, payload::MAX_VALUE);
            data.map(Some)
        } else {
            Ok(None)
        }
    }

    pub(super) fn entry(&self, offset: u64) -> io::Result<EntryObject> {
        let item = if self.compact { 4 } else { 16 };
        let (bytes, _) =
            self.object(offset, ObjectKind::JournalEntry, ENTRY + MAX_FIELDS * item)?;
        let items = bytes.get(ENTRY..).unwrap_or_default().chunks_exact(item);
        Ok(EntryObject {
            sequence: u64_at(&bytes, 16),
            realtime: u64_at(&bytes, 24),
            monotonic: u64_at(&bytes, 32),
            boot: u128::from_be_bytes(array(&bytes, 40)),
            data: items.map(|item| self.offset_at(item, 0)).collect(),
        })
    }

    /// The number of items of an entry array, and the offset of the next array.
    pub(super) fn entry_array(&self, offset: u64) -> io::Result<(u64, u64)> {
        let (bytes, size) = self.object(offset, ObjectKind::EntryArray, ENTRY_ARRAY)?;
        Ok((
            ((size - ENTRY_ARRAY) / self.item()) as u64,
            u64_at(&bytes, 16),
        ))
    }

    /// An item of an entry array; 0 if it is not yet filled.
    pub(super) fn entry_array_item(&self, array: u64, index: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        let bytes = &mut bytes[..self.item()];
        let offset = array + ENTRY_ARRAY as u64 + index * self.item() as u64;
        self.file.read_exact_at(bytes, offset)?;
        Ok(self.offset_at(bytes, 0))
    }

    fn item(&self) -> usize {
        if self.compact { 4 } else { 8 }
    }

    fn offset_at(&self, bytes: &[u8], at: usize) -> u64 {
        if self.compact {
            u64::from(u32::from_le_bytes(array(bytes, at)))
        } else {
            u64_at(bytes, at)
        }
    }

    /// The first `most` bytes of an object, and its size.
    fn object(&self, offset: u64, kind: ObjectKind, most: usize) -> io::Result<(Vec<u8>, usize)> {
        let mut bytes = vec![0; most.min(GULP)];
        let filled = self.file.read_at(&mut bytes, place(offset)?)?;
        let size = usize::try_from(u64_at(&bytes, 8).min(MAX_SIZE)).unwrap_or(usize::MAX);
        let least = match kind {
            ObjectKind::Data => DATA,
            ObjectKind::Field => FIELD,
            ObjectKind::JournalEntry => ENTRY,
            ObjectKind::EntryArray => ENTRY_ARRAY,
        };
        if offset == 0 || filled < least || bytes[0] != kind as u8 || size < least {
            return Err(corrupt("an offset is outside the file"));
        }
        let length = size.min(most);
        if length > filled {
            bytes = self.reserve(bytes, offset, length as u64)?;
            self.file.read_exact_at(&mut bytes, offset)?;
        }
        bytes.truncate(length);
        Ok((bytes, size))
    }

    /// Makes `bytes` as long as what the file says it has at `offset`, if the file is long enough: the
    /// memory is taken only for what is there.
    fn reserve(&self, mut bytes: Vec<u8>, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let end = place(offset)?.saturating_add(length);
        if end > self.file.metadata()?.len() {
            return Err(corrupt("an offset is outside the file"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        bytes.resize(length, 0);
        Ok(bytes)
    }
}

/// Checks an offset.
fn place(offset: u64) -> io::Result<u64> {
    if offset < MAX_SIZE {
        Ok(offset)
    } else {
        Err(corrupt("an offset is outside the file"))
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().unwrap_or([0; N])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
